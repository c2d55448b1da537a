//! Replies of org.varlink.service: results and errors as bytes, and parameters from bytes.

use serde::Serialize;
use totp_wire::message;
use totp_wire::{Method, service};
use zeroize::Zeroizing;

/// A reply that is ready to be sent, its NUL included. Wiped when dropped.
pub(crate) type Bytes = Zeroizing<Vec<u8>>;

/// The parameters of a call, or the reply that says they are wrong (without quoting them).
pub(crate) fn read<M: Method>(parameters: &[u8]) -> Result<M, Bytes> {
    message::read(parameters).map_err(|_| failed(service::INVALID_PARAMETER, "parameter", "parameters"))
}

/// A successful reply.
pub(crate) fn done(reply: &impl Serialize) -> Bytes {
    message::reply_bytes(reply).unwrap_or_default()
}

/// An error with one parameter.
pub(crate) fn failed(error: &str, key: &str, value: &str) -> Bytes {
    let value = totp_wire::text::printable(value, 256);
    message::error_bytes(error, &serde_json::json!({ key: value })).unwrap_or_default()
}

/// An error without parameters.
pub(crate) fn failed_plainly(error: &str) -> Bytes {
    message::error_bytes(error, &serde_json::json!({})).unwrap_or_default()
}
