//! The account name that an authenticator app shows for a factor.

use crate::clock::rfc3339;
use totp_core::{Account, Time};

/// The name for the factor that is made at `now`. That of a replacement has the minute in it, in
/// UTC: apps take a second code of the same issuer and name for the same entry, and overwrite the
/// one that works until the first code of the new one.
pub(super) fn app_account(account: &Account, now: Time) -> String {
    match &account.active {
        Some(_) => replacement_account(account.display_name(), now),
        None => account.display_name().to_owned(),
    }
}

/// The name of a replacement that was made at `created`.
pub(super) fn replacement_account(name: &str, created: Time) -> String {
    let time = rfc3339(created);
    let minute: String = time.chars().take("2026-11-26T14:05".len()).filter(|c| *c != ':').collect();
    format!("{name}-{}", minute.replace('T', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_named_by_its_minute() {
        assert_eq!(replacement_account("alice", Time::from_unix(1_795_701_945)), "alice-2026-11-26-1405");
    }
}
