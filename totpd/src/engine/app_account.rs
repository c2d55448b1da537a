//! The account name that an authenticator app shows for a factor.

use crate::clock::rfc3339;
use totp_core::authenticator::AuthenticatorName;
use totp_core::{Account, Factor, Time};

/// The name for the pending factor, which is made at `now`. That of a replacement has the second in
/// it, in UTC: apps take a second code of the same issuer and name for the same entry, and
/// overwrite the one that works until the first code of the new one.
pub(super) fn app_account(account: &Account, pending: &Factor, now: Time) -> String {
    let name = pending.name.as_ref();
    if account.authenticators().any(|active| active.name == pending.name) {
        replacement_account(account.display_name(), name, now)
    } else {
        named_account(account.display_name(), name)
    }
}

/// The name of an authenticator that replaces none.
pub(super) fn named_account(user: &str, name: Option<&AuthenticatorName>) -> String {
    match name {
        Some(name) => format!("{user}-{}", name.as_str().replace(' ', "-")),
        None => user.to_owned(),
    }
}

/// The name of a replacement that was made at `created`.
pub(super) fn replacement_account(user: &str, name: Option<&AuthenticatorName>, created: Time) -> String {
    let name = named_account(user, name);
    let time = rfc3339(created);
    let second: String = time.chars().take("2026-11-26T14:05:45".len()).filter(|c| *c != ':').collect();
    format!("{name}-{}", second.replace('T', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_named_by_its_second() {
        assert_eq!(
            replacement_account("alice", None, Time::from_unix(1_795_701_945)),
            "alice-2026-11-26-140545"
        );
        let name = AuthenticatorName::parse("work phone").unwrap();
        assert_eq!(named_account("alice", Some(&name)), "alice-work-phone");
    }
}
