//! The state of a user's second factor.

use serde::{Deserialize, Serialize};

/// A class of sources that is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The class: `known`, `local`, `own`, `client`, `console`, `local-stranger` or `others`.
    pub class: String,
    /// The name of the application, for the class `client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The address, for the class `known`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The uid of the other local user, for the class `local-stranger`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// When the lock ends.
    pub until: u64,
}

/// A change of the active factor that its user has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The kind of change: `replace`, `add`, `remove` or `recovery-codes`.
    pub change: String,
    /// When the change was staged.
    pub staged_at: u64,
    /// Where the change was staged from, as text.
    pub from: String,
    /// The time from which the change can be carried out.
    pub ripens_at: u64,
    /// Whether a login that counts has shown the notice of the change.
    pub notice_shown: bool,
    /// When the change expires.
    pub expires_at: u64,
}

/// One authenticator of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticator {
    /// The id of its factor.
    pub totp_id: String,
    /// Its name; "authenticator" where it was given none.
    pub name: String,
    /// When its first code was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// The state of a user's enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The user has no factor.
    None,
    /// The user has only a factor that waits for its first code.
    Pending,
    /// The user has an active factor.
    Active,
}

/// The state of a user's factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login name.
    pub user: String,
    /// The state of the enrollment.
    pub state: State,
    /// The id of the active factor, or else of the pending one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// The authenticators: the active factors, the one with the recovery codes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticators: Option<Vec<Authenticator>>,
    /// The name of the authenticator that waits for its first code, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_name: Option<String>,
    /// Whether another factor waits for its first code, and will then replace an active one or join
    /// them.
    pub replacement_pending: bool,
    /// When the replacement was made that expired before its first code, until a login tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement_expired: Option<u64>,
    /// When the pending factor expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// How many recovery codes are left.
    pub recovery_codes_left: u64,
    /// How many logins are remembered.
    pub remembered: u64,
    /// The change that the user has staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
    /// How many attempts failed since the last success or lock, in all classes of sources.
    pub failures: u64,
    /// The classes of sources that are locked now.
    pub locks: Vec<Lock>,
    /// The uid that the name had at enrollment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Which user of this host has the name now. `None` if the user directory does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_user: Option<HostUser>,
    /// The uid that the name has now, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid_now: Option<u32>,
    /// When the enrollment ticket expires, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_expires_at: Option<u64>,
    /// When the passcode expires, if there is one that was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passcode_expires_at: Option<u64>,
    /// The time of the latest successful login in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login: Option<u64>,
    /// Whether the record is damaged, so that the user is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<bool>,
}

/// Which user of this host has a name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostUser {
    /// The user who enrolled.
    Same,
    /// A user with another uid, whose logins are refused.
    Changed,
    /// No user: the one who enrolled was deleted.
    Gone,
}
