//! Secrets that were made elsewhere.

use super::State;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// A secret that was made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenSecret {
    /// The secret in base32: 16 to 128 bytes.
    pub secret: SecretText,
    /// From 10 bytes on, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_short: Option<bool>,
}

/// Takes over a factor of another tool. What is left out takes the default of RFC 6238: SHA-1,
/// 6 digits, 30 seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The login name.
    pub user: String,
    /// The uid that the user must have: whose file the factor was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The secret.
    pub given: GivenSecret,
    /// `SHA1`, `SHA256` or `SHA512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// 6 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Seconds, 15 to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// Time steps whose codes were used there: at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_steps: Option<Vec<u64>>,
    /// Seconds for which the factor waits for its first code. Left out: it is active at once,
    /// unless it replaces another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// Replaces a factor that the user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<bool>,
    /// Leaves alone a user who has a record here: their factor may have been revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_revoked: Option<bool>,
    /// Says what would happen, and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// What came of it, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReply {
    /// Whether the factor is active or waits for its first code.
    pub state: State,
    /// The id of the factor; none after a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// The new recovery codes; none after a dry run.
    pub recovery_codes: Vec<SecretText>,
    /// When it is gone unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// From when on its codes are accepted: earlier ones may have been used elsewhere.
    pub codes_from: u64,
}
