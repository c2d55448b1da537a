//! The envelope of a Varlink call and reply.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// A method: its parameters' type knows its name and its reply.
pub trait Method: Serialize + DeserializeOwned {
    /// The full name, interface included.
    const NAME: &'static str;
    /// What a successful call returns.
    type Reply: Serialize + DeserializeOwned;
}

/// A call as it arrives. `oneway`, `more` and `upgrade` are read to be refused.
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    /// The full name of the method.
    pub method: String,
    /// Its parameters, unread.
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
    /// No reply is wanted.
    #[serde(default)]
    pub oneway: bool,
    /// Several replies are wanted.
    #[serde(default)]
    pub more: bool,
    /// Another protocol is wanted.
    #[serde(default)]
    pub upgrade: bool,
}

/// Why a message cannot be read: category and position only, since serde's own text quotes the
/// input.
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

/// Reads JSON; the error names category and position and quotes nothing.
///
/// # Errors
/// [`MalformedMessage`].
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

/// The bytes of a call, its NUL included.
///
/// # Errors
/// When the parameters have no JSON form; our own always have.
pub fn call_bytes<M: Method>(parameters: &M) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        method: &'static str,
        parameters: &'a P,
    }
    bytes(&Envelope { method: M::NAME, parameters })
}

/// The bytes of a successful reply, its NUL included.
///
/// # Errors
/// As [`call_bytes`].
pub fn reply_bytes<R: Serialize>(parameters: &R) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        parameters: &'a P,
    }
    bytes(&Envelope { parameters })
}

/// The bytes of an error reply, its NUL included.
///
/// # Errors
/// As [`call_bytes`].
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
    // Measured first and written once, so that growing leaves no copy of what may be secret behind.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, envelope)?;
    let mut out = Zeroizing::new(Vec::with_capacity(length.0 + 1));
    serde_json::to_writer(&mut *out, envelope)?;
    out.push(0);
    Ok(out)
}

/// Counts what would be written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A reply as it arrives.
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
