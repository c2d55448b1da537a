//! What a record is found by, beside its name and id: columns that a database has for it.

use crate::seal::SealedAccount;

/// The ids by which applications name the factors of an account, one for each column.
pub(super) struct TotpIds<'a> {
    pub(super) active: Option<&'a str>,
    pub(super) second: Option<&'a str>,
    pub(super) third: Option<&'a str>,
    pub(super) pending: Option<&'a str>,
}

impl<'a> TotpIds<'a> {
    /// The ids of the account's factors.
    pub(super) fn of(account: &'a SealedAccount) -> Self {
        let mut authenticators = account.authenticators().map(|factor| factor.id.as_str());
        Self {
            active: authenticators.next(),
            second: authenticators.next(),
            third: authenticators.next(),
            pending: account.pending.as_ref().map(|factor| factor.id.as_str()),
        }
    }
}
