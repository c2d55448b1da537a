//! Passcodes: one login without the phone.

use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// `Passcode`: makes a code with which the user logs in once. An earlier passcode is no longer
/// accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passcode {
    /// The login name.
    pub user: String,
    /// For how many seconds the passcode is accepted. `None`: four hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
}

/// The reply to [`Passcode`]. The daemon shows the passcode only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasscodeReply {
    /// The login name.
    pub user: String,
    /// The text of the passcode.
    pub passcode: SecretText,
    /// When the passcode expires.
    pub expires_at: u64,
}

/// `CancelPasscode`: deletes the passcode of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelPasscode {
    /// The login name.
    pub user: String,
}

/// The reply to [`CancelPasscode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelPasscodeReply {
    /// Whether there was a passcode that could still be used.
    pub cancelled: bool,
}
