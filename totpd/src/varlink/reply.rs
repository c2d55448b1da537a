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

/// The reply when a reply cannot be written as JSON. Every client takes it as a failure.
const NOT_WRITABLE: &[u8] =
    b"{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{\"method\":\"\"}}\0";

/// A successful reply.
pub(crate) fn done(reply: &impl Serialize) -> Bytes {
    written(message::reply_bytes(reply))
}

/// An error with these parameters.
pub(crate) fn failed_with(error: &str, parameters: &impl Serialize) -> Bytes {
    written(message::error_bytes(error, parameters))
}

/// An error with one parameter.
pub(crate) fn failed(error: &str, key: &str, value: &str) -> Bytes {
    let value = totp_wire::text::printable(value, 256);
    failed_with(error, &serde_json::json!({ key: value }))
}

/// An error without parameters.
pub(crate) fn failed_plainly(error: &str) -> Bytes {
    failed_with(error, &serde_json::json!({}))
}

/// No reply of this program is known to fail here. One that did must not leave its client waiting.
fn written(reply: Result<Bytes, serde_json::Error>) -> Bytes {
    reply.unwrap_or_else(|error| {
        tracing::error!("a reply cannot be written: {error}");
        Zeroizing::new(NOT_WRITABLE.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_reply_that_cannot_be_written_is_an_error() {
        let unwritable = BTreeMap::from([((1, 2), "JSON has no such key")]);
        let reply = done(&unwritable);
        let (&nul, json) = reply.split_last().unwrap();
        assert_eq!(nul, 0);
        let reply: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(reply["error"], "org.varlink.service.MethodNotImplemented");
    }
}
