//! The `external_id` of the API: the login name, in the API's alphabet of letters, digits and
//! `. _ - |`.
//!
//! A name in that alphabet is its own external id. In every other name, each byte that is not a
//! letter, digit, `.`, `_` or `-` is written as `||` and two hexadecimal digits: `alice@corp`
//! becomes `alice||40corp`. Each name has exactly one external id, and each external id at most one
//! name. (A single `|` stays as it is, since identity providers use it: `auth0|507f1f77`.)

use crate::name::UserName;

/// The longest login name that has an external id, in bytes.
pub const MAX_BYTES: usize = 128;

/// What begins an escaped byte.
const ESCAPE: &str = "||";

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Returns the external id of a login name.
///
/// ```
/// use totp_core::{UserName, external_id};
/// let name = UserName::parse("alice@corp").unwrap();
/// assert_eq!(external_id::of_name(&name), "alice||40corp");
/// assert_eq!(external_id::to_name("alice||40corp"), Some(name));
/// ```
pub fn of_name(name: &UserName) -> String {
    let text = name.as_str();
    if text.bytes().all(|byte| is_plain(byte) || byte == b'|') && !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("{ESCAPE}{byte:02X}"));
        }
    }
    out
}

/// Returns the login name with this external id, or `None` when no name has it.
pub fn to_name(external_id: &str) -> Option<UserName> {
    let mut parts = external_id.split(ESCAPE);
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let name = UserName::parse(&String::from_utf8(bytes).ok()?).ok()?;
    // Only one spelling is accepted: the one that `of_name` returns.
    (name.as_str().len() <= MAX_BYTES && of_name(&name) == external_id).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_names_outside_the_alphabet_are_escaped() {
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
    fn other_spellings_of_external_ids_are_refused() {
        let long = "x".repeat(129);
        // Unescaped, half an escape, a needless escape, a character that no name may have.
        for bad in
            ["", "alice@corp", "a||4", "a||zz", "a||40|b", "a||61", "a||0A", "a||2Fb", "a||5c", "é", &long]
        {
            assert_eq!(to_name(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_reads_back_from_its_external_id(text in "[^\\p{C}:/]{1,30}") {
            let name = UserName::parse(&text).unwrap();
            let id = of_name(&name);
            prop_assert!(id.bytes().all(|b| is_plain(b) || b == b'|'));
            prop_assert_eq!(to_name(&id), Some(name));
        }

        #[test]
        fn no_two_external_ids_have_the_same_name(text in "[a-zA-Z0-9|._-]{1,30}") {
            if let Some(name) = to_name(&text) {
                prop_assert_eq!(of_name(&name), text);
            }
        }
    }
}
