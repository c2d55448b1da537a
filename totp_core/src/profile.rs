//! What applications know of a user beside the factor: addresses, a name, data of their own. Nothing of it decides
//! anything.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An address, and the id that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// `email-` or `phone-number-` and 26 characters.
    pub id: String,
    /// In the one spelling that is kept (`contact`).
    pub address: String,
}

/// A person's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullName {
    /// The first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first: String,
    /// What stands in the middle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub middle: String,
    /// The last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
}

/// What applications keep of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// A mail address; nobody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Contact>,
    /// A phone number (E.164); nobody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Contact>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<FullName>,
    /// Data that the application alone changes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trusted_metadata: Map<String, Value>,
    /// Data that the application lets the user change.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub untrusted_metadata: Map<String, Value>,
    /// Names of roles, the application's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Made as pending: active from the first accepted code on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

impl Profile {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Puts `given` over `kept`, key by key: null takes a key away.
pub fn merge(kept: &mut Map<String, Value>, given: Map<String, Value>) {
    for (key, value) in given {
        match value {
            Value::Null => drop(kept.remove(&key)),
            value => drop(kept.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_replaced_and_null_takes_them_away() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let mut kept = map(json!({ "a": 1, "b": { "x": 1 }, "c": 3 }));
        merge(&mut kept, map(json!({ "b": { "y": 2 }, "c": null, "d": null, "e": 5 })));
        assert_eq!(kept, map(json!({ "a": 1, "b": { "y": 2 }, "e": 5 })));
    }

    #[test]
    fn a_profile_without_anything_is_empty() {
        assert!(Profile::default().is_empty());
        assert!(!Profile { pending: true, ..Profile::default() }.is_empty());
    }
}
