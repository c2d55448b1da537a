//! The state of the daemon, for `totpd status` and `totpd doctor`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Whether the daemon serves logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    /// The daemon answers logins.
    Serving,
    /// The daemon refuses every login.
    Refusing,
}

/// `Daemon`: asks for the state of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {}

/// The reply to [`Daemon`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonReply {
    /// Whether the daemon serves logins.
    pub state: DaemonState,
    /// Why the daemon refuses every login, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The version of the daemon.
    pub version: String,
    /// The id of the store that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// The address of the HTTP API, or why it does not serve. `None` if it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// How many log lines were dropped since the daemon started, because nobody read the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_dropped: Option<u64>,
    /// How many log lines wait to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_lines_waiting: Option<u64>,
    /// The time of the latest granted code, if the clock is so far behind it that codes are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
    /// What an administrator should attend to although the daemon serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// The configuration in use. `None` while the daemon refuses every login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// How many seconds ago the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The daemon's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
    /// Where the store is: the state folder, or a database and its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// What the store contains. `None` if it did not answer within a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overview: Option<Overview>,
}

/// The configuration that the daemon uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Whether it is that of the file or a saved copy.
    pub in_use: ConfigurationInUse,
    /// What is wrong with the file, if the saved copy is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When the daemon began to use the saved copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When the copy was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<u64>,
}

/// Where the configuration in use comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigurationInUse {
    /// The file `totpd.toml`.
    File,
    /// The saved copy of the last valid configuration. It exempts no user.
    LastGood,
}

/// A summary of the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// The size of the store's file in bytes.
    pub size: u64,
    /// The version of the store's schema.
    pub schema: u64,
    /// How many users have an active factor.
    pub enrolled: u64,
    /// How many users have a factor that waits for its first code.
    pub pending: u64,
    /// How many users are locked for at least one class of sources.
    pub locked: u64,
    /// The names of some locked users.
    pub locked_users: Vec<String>,
    /// How many enrollment tickets can still be used.
    pub tickets: u64,
    /// How many logins were refused in the last 24 hours, among the latest 20,000 events.
    pub refused: u64,
    /// Whether `refused` may be too low, because there were more than 20,000 events in that time.
    pub refused_at_least: bool,
    /// The latest refusals, at most three: events as `docs/reference/audit.md` describes them.
    pub refusals: Vec<Box<RawValue>>,
}

/// `TrustClock`: accepts the clock as right, although it is behind codes that were granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustClock {}

/// The reply to [`TrustClock`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustClockReply {}
