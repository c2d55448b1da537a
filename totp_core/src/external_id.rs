//! The `external_id` of the API: the login name, in the API's alphabet of letters, digits and `. _ - |`.
//!
//! A name of that alphabet stands for itself. Any other has each byte that is no letter, digit, `.`, `_` or `-`
//! written as `||` and two hexadecimal digits: `alice@corp` is `alice||40corp`. Each name has exactly one external
//! id and each external id at most one name. (A single `|` is left alone, since identity providers use it:
//! `auth0|507f1f77`.)

use crate::name::UserName;

/// The longest name that can be given as an external id, in bytes.
pub const MAX_BYTES: usize = 128;

const MARK: &str = "||";

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The external id of a login name.
pub fn of_name(name: &UserName) -> String {
    let text = name.as_str();
    if text.bytes().all(|byte| is_plain(byte) || byte == b'|') && !text.contains(MARK) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("{MARK}{byte:02X}"));
        }
    }
    out
}

/// The login name of an external id; `None` when it is the external id of no name.
pub fn to_name(external_id: &str) -> Option<UserName> {
    let mut parts = external_id.split(MARK);
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let name = UserName::parse(&String::from_utf8(bytes).ok()?).ok()?;
    // One spelling alone: what does not come back the same is nobody's.
    (name.as_str().len() <= MAX_BYTES && of_name(&name) == external_id).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_alphabet_stand_for_themselves_and_others_are_escaped() {
        for (name, id) in [
            ("alice", "alice"),
            ("svc_backup-1.a", "svc_backup-1.a"),
            ("auth0|507f1f77", "auth0|507f1f77"),
            ("alice@corp", "alice||40corp"),
            ("CORP\\bob", "CORP||5Cbob"),
            ("host$", "host||24"),
            ("josé", "jos||C3||A9"),
            ("a|b@c", "a||7Cb||40c"),
            ("a||b", "a||7C||7Cb"),
        ] {
            let name = UserName::parse(name).unwrap();
            assert_eq!(of_name(&name), id);
            assert_eq!(to_name(id), Some(name));
        }
    }

    #[test]
    fn what_is_no_names_external_id_is_refused() {
        let long = "x".repeat(129);
        // Another spelling, a half escape, what needs none, what no name may hold.
        for bad in
            ["", "alice@corp", "a||4", "a||zz", "a||40|b", "a||61", "a||0A", "a||2Fb", "a||5c", "é", &long]
        {
            assert_eq!(to_name(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(text in "[^\\p{C}:/]{1,30}") {
            let name = UserName::parse(&text).unwrap();
            let id = of_name(&name);
            prop_assert!(id.bytes().all(|b| is_plain(b) || b == b'|'));
            prop_assert_eq!(to_name(&id), Some(name));
        }

        #[test]
        fn no_two_external_ids_are_one_name(text in "[a-zA-Z0-9|._-]{1,30}") {
            if let Some(name) = to_name(&text) {
                prop_assert_eq!(of_name(&name), text);
            }
        }
    }
}
