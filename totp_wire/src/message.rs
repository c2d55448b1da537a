//! Encoding and decoding of Varlink messages: calls, replies and errors.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// A Varlink method. The type that implements this holds the method's parameters.
///
/// ```
/// use totp_wire::Method;
/// use totp_wire::message::{Call, call_bytes, read};
/// use totp_wire::service::GetInterfaceDescription;
///
/// let parameters = GetInterfaceDescription { interface: "org.totpd.Login".to_owned() };
/// let bytes = call_bytes(&parameters)?;
/// let (nul, message) = bytes.split_last().expect("a message ends with NUL");
/// assert_eq!(*nul, 0);
///
/// let call: Call<'_> = read(message)?;
/// assert_eq!(call.method, GetInterfaceDescription::NAME);
/// let sent = call.parameters.expect("parameters");
/// assert_eq!(sent.get(), r#"{"interface":"org.totpd.Login"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Method: Serialize + DeserializeOwned {
    /// The full name of the method, with its interface.
    const NAME: &'static str;
    /// The parameters of a successful reply.
    type Reply: Serialize + DeserializeOwned;
}

/// A received call. The daemon refuses calls with `oneway`, `more` or `upgrade`.
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    /// The full name of the method.
    pub method: String,
    /// The parameters as JSON, not parsed yet.
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
    /// Whether the caller wants no reply.
    #[serde(default)]
    pub oneway: bool,
    /// Whether the caller accepts several replies.
    #[serde(default)]
    pub more: bool,
    /// Whether the caller wants to change to another protocol.
    #[serde(default)]
    pub upgrade: bool,
}

/// Why a message cannot be parsed. It tells only the category and the position, because the text of
/// serde's error quotes the message, which may contain a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMessage {
    category: &'static str,
    column: usize,
}

impl core::fmt::Display for MalformedMessage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} error at byte {}", self.category, self.column)
    }
}

impl core::error::Error for MalformedMessage {}

/// Parses a message, without its NUL, or the parameters in it.
///
/// # Errors
/// [`MalformedMessage`] when it is not JSON, or not of the type `T`.
///
/// ```
/// use totp_wire::login::Answer;
/// let error = totp_wire::message::read::<Answer>(br#"{"text": 123456}"#).unwrap_err();
/// assert_eq!(error.to_string(), "data error at byte 15", "the code is not quoted");
/// ```
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, MalformedMessage> {
    serde_json::from_slice(bytes).map_err(|error| MalformedMessage {
        category: match error.classify() {
            serde_json::error::Category::Io => "read",
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof => "end-of-message",
        },
        column: error.column(),
    })
}

/// Encodes a call, with its NUL.
///
/// # Errors
/// When the parameters cannot be encoded as JSON. Those of this crate always can.
pub fn call_bytes<M: Method>(parameters: &M) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        method: &'static str,
        parameters: &'a P,
    }
    bytes(&Envelope { method: M::NAME, parameters })
}

/// Encodes a successful reply, with its NUL.
///
/// # Errors
/// When the parameters cannot be encoded as JSON. Those of this crate always can.
pub fn reply_bytes<R: Serialize>(parameters: &R) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        parameters: &'a P,
    }
    bytes(&Envelope { parameters })
}

/// Encodes an error reply, with its NUL. `error` is the full name of the error.
///
/// # Errors
/// When the parameters cannot be encoded as JSON. Those of this crate always can.
pub fn error_bytes<P: Serialize>(
    error: &str,
    parameters: &P,
) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        error: &'a str,
        parameters: &'a P,
    }
    bytes(&Envelope { error, parameters })
}

fn bytes(envelope: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    // The length is measured first: a buffer that grows leaves copies of secrets in freed memory.
    let mut counter = ByteCounter(0);
    serde_json::to_writer(&mut counter, envelope)?;
    let mut out = Zeroizing::new(Vec::with_capacity(counter.0 + 1));
    serde_json::to_writer(&mut *out, envelope)?;
    out.push(0);
    Ok(out)
}

/// A writer that only counts the bytes.
struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A received reply.
#[derive(Deserialize)]
pub(crate) struct Reply<'a> {
    #[serde(borrow, default)]
    pub(crate) parameters: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

impl core::fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Reply(error: {:?})", self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_message_is_described_without_quoting_it() {
        let error = read::<Call<'_>>(br#"{"method": 424242}"#).unwrap_err();
        assert_eq!(error.to_string(), "data error at byte 17");
        let error = read::<Call<'_>>(b"hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn deeply_nested_json_is_refused() {
        let nest = format!(r#"{{"method":"x","parameters":{}"#, "[".repeat(16_000));
        assert!(read::<Call<'_>>(nest.as_bytes()).is_err());
    }
}
