//! What applications store about a user beside the factor: addresses, a name, metadata. No decision
//! depends on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A mail address or phone number, and its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The id: `email-` or `phone-number-`, and 26 characters.
    pub id: String,
    /// The address in its canonical spelling ([`crate::contact`]).
    pub address: String,
}

/// A person's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullName {
    /// The first name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first: String,
    /// The middle name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub middle: String,
    /// The last name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
}

/// What applications store about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The mail address; no two users have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Contact>,
    /// The phone number (E.164); no two users have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Contact>,
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<FullName>,
    /// Metadata that only the application changes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub trusted_metadata: Map<String, Value>,
    /// Metadata that the application lets the user change.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub untrusted_metadata: Map<String, Value>,
    /// The names of the application's roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whether the user was made as pending: active from the first accepted code on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

impl Profile {
    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Merges `given` into `kept`, key by key: a null value removes the key. Nested objects are
/// replaced as a whole.
///
/// ```
/// use serde_json::json;
/// let mut kept = json!({ "a": 1, "b": 2 }).as_object().cloned().unwrap();
/// let given = json!({ "b": null, "c": 3 }).as_object().cloned().unwrap();
/// totp_core::profile::merge(&mut kept, given);
/// assert_eq!(json!(kept), json!({ "a": 1, "c": 3 }));
/// ```
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
    fn keys_are_replaced_and_null_removes_them() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let mut kept = map(json!({ "a": 1, "b": { "x": 1 }, "c": 3 }));
        merge(&mut kept, map(json!({ "b": { "y": 2 }, "c": null, "d": null, "e": 5 })));
        assert_eq!(kept, map(json!({ "a": 1, "b": { "y": 2 }, "e": 5 })));
    }

    #[test]
    fn a_profile_without_content_is_empty() {
        assert!(Profile::default().is_empty());
        assert!(!Profile { pending: true, ..Profile::default() }.is_empty());
    }
}
