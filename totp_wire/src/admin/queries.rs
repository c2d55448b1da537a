//! Queries of administrators: the history, and what the policy would do with a login attempt.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `History`: asks for a page of the history, the latest events first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Only events of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The [`next`](HistoryReply::next) of the previous page. `None`: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Only events at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The most events to return, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The reply to [`History`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryReply {
    /// The events, as `docs/reference/audit.md` describes them.
    pub events: Vec<Box<RawValue>>,
    /// The value of [`before`](History::before) for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// `Explain`: asks what would happen to a login attempt. Nothing is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The user who logs in (`PAM_USER`).
    pub user: String,
    /// The PAM service (`PAM_SERVICE`).
    pub service: String,
    /// The user who runs the program that asks (`PAM_RUSER`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// The remote address (`PAM_RHOST`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Lines of `SSH_AUTH_INFO_0`, or only the name of a method, such as `publickey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_auth: Option<Vec<String>>,
    /// Whether the PAM line says `first_factor=passed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<bool>,
    /// The uid of the program that connects to the daemon. `None`: root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_uid: Option<u32>,
    /// The time of the attempt. `None`: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// A rule that was compared with the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The name of the rule.
    pub rule: String,
    /// Whether the rule decides.
    pub decides: bool,
    /// The key of the rule that does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
}

/// What would happen to a login attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// A code would be asked for.
    Asked,
    /// A code would be asked for, and any answer would pass.
    AskedAndPassed,
    /// The user would pass without a code.
    Exempt,
    /// The user would enroll during the login.
    Enrolled,
    /// Every answer would be refused.
    Refused,
}

/// The reply to [`Explain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReply {
    /// The rules up to the one that decides.
    pub checked: Vec<Checked>,
    /// The action of that rule: `require`, `exempt`, `enroll` or `deny`.
    pub action: String,
    /// The mode of that rule at that time: `enforce`, `monitor`, `monitor-ask` or `off`.
    pub mode: String,
    /// The user whose factor would be asked for.
    pub subject: String,
    /// How a first factor would be proved: `ssh`, `pam-line` or `local-rule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<String>,
    /// What would happen.
    pub outcome: ExpectedOutcome,
    /// Why the attempt would be refused, or would not pass without a code: a reason of the audit
    /// log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What enforcement would do, where the mode lets the user pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<String>,
    /// For how many seconds a grant would be remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<u64>,
    /// What prevents something that the rule allows, a sentence each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacles: Option<Vec<String>>,
}
