//! What administrators look at: the history, and what the policy would do.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Asks for a page of the history, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Of this user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the page starts: `next` of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Not before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// At most this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A page of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryReply {
    /// Events as `docs/reference/audit.md` describes them.
    pub events: Vec<Box<RawValue>>,
    /// Where the next page starts, when there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// Asks what would happen to an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// `PAM_USER`
    pub user: String,
    /// `PAM_SERVICE`
    pub service: String,
    /// `PAM_RUSER`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// `PAM_RHOST`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Lines as in `SSH_AUTH_INFO_0`; a method's name will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_auth: Option<Vec<String>>,
    /// The PAM line says `first_factor=passed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<bool>,
    /// The uid that speaks (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_uid: Option<u32>,
    /// At this moment instead of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What it is called.
    pub rule: String,
    /// It decides.
    pub decides: bool,
    /// The key that does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
}

/// What would become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// A code would be asked for.
    Asked,
    /// A code would be asked for, and it would pass whatever is typed.
    AskedAndPassed,
    /// It would pass without a code.
    Exempt,
    /// A factor would be made inside the login.
    Enrolled,
    /// Whatever is typed would be refused.
    Refused,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// The rules up to the one that decides.
    pub checked: Vec<Checked>,
    /// `require`, `exempt`, `enroll` or `deny`.
    pub action: String,
    /// `enforce`, `monitor`, `monitor-ask` or `off`, at that moment.
    pub mode: String,
    /// Whose factor would be asked for.
    pub subject: String,
    /// How a first factor would be proved: `ssh`, `pam-line` or `local-rule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<String>,
    /// What would become of it.
    pub outcome: ExpectedOutcome,
    /// Why it would be refused, or why it would not pass unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What enforcement would do, where the mode lets pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
    /// For how many seconds a grant would be remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<u64>,
    /// What stands in the way of what the rule grants, a sentence each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacles: Option<Vec<String>>,
}
