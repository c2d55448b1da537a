//! What a conversation reads of a user while they type.

use super::{Engine, EngineError};
use crate::audit::{EventOutcome, recorded_outcome};
use crate::store::{HistoryQuery, StoredAccount};
use totp_core::{Digits, UserName};

/// Rows of the history in which a grant of a name that nobody has now is looked for.
const ROWS_OF_A_NAME: usize = 50;

/// What a conversation remembers of the record while it waits for a person.
#[derive(Clone, Debug)]
pub struct PrefetchedAccount {
    /// Digits of the code.
    pub digits: Digits,
    /// The record as it was then, still sealed.
    pub(super) stored: Option<StoredAccount>,
    /// The name as the system has it, or as it was given when there is no such user.
    pub(super) name: Option<UserName>,
    /// Its uid, when there is such a user. Looked up before the answer: how long a directory takes
    /// to know a name must not be told by how long a refusal takes.
    pub(super) uid: Option<u32>,
    /// The name is a user's, or was.
    pub(super) known: bool,
}

impl PrefetchedAccount {
    /// The user of the name, if the system has one.
    pub(super) fn user(&self) -> Option<(&UserName, u32)> {
        self.name.as_ref().zip(self.uid)
    }
}

/// Where the record may come from that is read before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyRead {
    /// Also from the records that this daemon wrote last: nobody waits for it yet.
    MayBeKept,
    /// From the store: a question waits for it, and its time must not tell who has logged in here.
    FromStore,
}

impl Engine {
    /// What can be known before the code is typed. Nobody's code has as many digits as a new
    /// enrollment's.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`], or [`EngineError::Busy`] when a directory does not answer.
    pub async fn prepare(&self, user: &str, read: EarlyRead) -> Result<PrefetchedAccount, EngineError> {
        let found = self.find(user).await?;
        let uid = found.as_ref().map(|found| found.uid);
        let name = found.map(|found| found.name).or_else(|| UserName::parse(user).ok());
        let stored = match &name {
            Some(name) if read == EarlyRead::MayBeKept => self.load_early(name.into()).await?,
            Some(name) => self.load(name).await?,
            None => None,
        };
        let factor = stored.as_ref().and_then(|s| s.account.active.as_ref().or(s.account.pending.as_ref()));
        let digits = factor.map_or(self.config.totp.params.digits, |f| f.params.digits);
        let known = match &name {
            Some(name) if uid.is_none() && stored.is_none() => self.was_granted(name).await?,
            name => name.is_some(),
        };
        Ok(PrefetchedAccount { digits, stored, name, uid, known })
    }

    /// Whether a name is a user's or was one, and no password that somebody typed at the wrong
    /// prompt.
    pub(super) async fn knows(&self, user: &str) -> Result<bool, EngineError> {
        let Ok(name) = UserName::parse(user) else { return Ok(false) };
        Ok(self.users.has_seen(user) || self.load(&name).await?.is_some() || self.was_granted(&name).await?)
    }

    /// Whether the history has a grant of this name.
    async fn was_granted(&self, name: &UserName) -> Result<bool, EngineError> {
        let (user, limit) = (Some(name.to_string()), ROWS_OF_A_NAME);
        let rows = self.store.history(HistoryQuery { user, limit, ..HistoryQuery::default() }).await?;
        Ok(rows.iter().any(|row| recorded_outcome(&row.json) == Some(EventOutcome::Granted)))
    }
}
