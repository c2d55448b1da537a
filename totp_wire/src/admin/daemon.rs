//! How the daemon is: what `totpd status` and `totpd doctor` ask.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Whether the daemon serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    /// It answers logins.
    Serving,
    /// It refuses every login.
    Refusing,
}

/// Asks how the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {}

/// How the daemon is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonReply {
    /// Whether it serves.
    pub state: DaemonState,
    /// Why it refuses, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its version.
    pub version: String,
    /// The store it serves from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// Where the HTTP API answers, or why it does not; none when there is to be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Lines that the log lacks since the daemon started, because nobody read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_dropped: Option<u64>,
    /// Lines that wait for the reader of the log at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_waiting: Option<u64>,
    /// The clock lies so far behind the latest granted code, which was granted then, that codes are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
    /// What an administrator has to see to while it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// The configuration in use; none while the daemon refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// Seconds since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The clock of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
    /// The folder of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// What the store holds; none when it did not answer within a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overview: Option<Overview>,
}

/// The configuration in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Which one it is.
    pub in_use: ConfigurationInUse,
    /// What is wrong with the file, under the last good configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when the last good configuration is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When the last good configuration was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<u64>,
}

/// Which configuration is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigurationInUse {
    /// That of `totpd.toml`.
    File,
    /// The copy of the one that served last, with every favour off.
    LastGood,
}

/// What the store holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// Bytes of its file.
    pub size: u64,
    /// The version of its schema.
    pub schema: u64,
    /// Users with a factor in use.
    pub enrolled: u64,
    /// Users with a factor that waits for its first code.
    pub pending: u64,
    /// Users of whom a class is locked.
    pub locked: u64,
    /// The first of them.
    pub locked_users: Vec<String>,
    /// Tickets that were not used yet.
    pub tickets: u64,
    /// Refusals of the last 24 hours, among the latest 20,000 events.
    pub refused: u64,
    /// There were more than 20,000 events in the last 24 hours: `refused` may be too low.
    pub refused_at_least: bool,
    /// The latest of them, up to three: events as `docs/reference/audit.md` describes them.
    pub refusals: Vec<Box<RawValue>>,
}

/// Takes the clock for right, whatever codes were granted later by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustClock {}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustClockReply {}
