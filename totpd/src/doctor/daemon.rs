//! What the daemon says of itself and of its users.

use serde_json::Value;
use totp_wire::CallError;
use totp_wire::admin::{DaemonReply, User};

/// What it answered.
#[derive(Debug)]
pub struct DaemonFacts {
    /// How it is.
    pub reply: Result<DaemonReply, CallError>,
    /// Its process, as systemd or the kernel names it.
    pub pid: Option<i32>,
    /// The users who have a factor.
    pub users: Vec<User>,
    /// What happened in the last day, the latest first.
    pub events: Vec<Value>,
}
