//! The daemon's answers about itself and its users.

use serde_json::Value;
use totp_wire::CallError;
use totp_wire::admin::{DaemonReply, User};

/// The daemon's answers.
#[derive(Debug)]
pub struct DaemonFacts {
    /// Its state, or why it did not answer.
    pub reply: Result<DaemonReply, CallError>,
    /// Its pid, from systemd or the kernel.
    pub pid: Option<i32>,
    /// The users who have a factor.
    pub users: Vec<User>,
    /// The events of the last day, the latest first.
    pub events: Vec<Value>,
}
