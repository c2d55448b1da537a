//! What there is to know of a user.

use serde::{Deserialize, Serialize};

/// A class of sources that is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// `known`, `local`, `own`, `client`, `console`, `local-stranger` or `others`.
    pub class: String,
    /// The application whose class it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The source address of a known source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The uid of another local user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// When it ends.
    pub until: u64,
}

/// A change of a factor in use that its user has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// `replace`, `remove` or `recovery-codes`.
    pub change: String,
    /// When it was staged.
    pub staged_at: u64,
    /// Where, in words.
    pub from: String,
    /// It can be done from then on.
    pub ripens_at: u64,
    /// A login that counts has shown the notice.
    pub notice_shown: bool,
    /// When it is gone.
    pub expires_at: u64,
}

/// Where a user's enrollment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No factor.
    None,
    /// A factor waits for its first code.
    Pending,
    /// A factor lets in.
    Active,
}

/// What there is to know about a user's factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login name.
    pub user: String,
    /// Where the enrollment is.
    pub state: State,
    /// The active factor, or the pending one when there is no active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// A factor waits for its first code beside the active one.
    pub replacement_pending: bool,
    /// When the pending factor is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Recovery codes that are unspent.
    pub recovery_codes_left: u64,
    /// Grants that are remembered.
    pub remembered: u64,
    /// A change that the user has staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
    /// Failures since the last success or lock, all classes together.
    pub failures: u64,
    /// The classes that are locked now.
    pub locks: Vec<Lock>,
    /// The uid that the name had when it was enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Who has the name on this host now; none when the directory does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_user: Option<HostUser>,
    /// The uid that the name has now, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid_now: Option<u32>,
    /// When an open ticket ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_expires_at: Option<u64>,
    /// The latest login that passed, as far as the history reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login: Option<u64>,
    /// The record cannot be read: the user is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<bool>,
}

/// Who has a name on this host now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostUser {
    /// The user who was enrolled.
    Same,
    /// Another uid: every login is refused.
    Changed,
    /// Nobody: the user was deleted.
    Gone,
}
