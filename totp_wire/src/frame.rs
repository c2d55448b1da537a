//! Splits a stream of bytes into messages. A message ends with a NUL byte and has at most 16 KiB.

use zeroize::Zeroizing;

/// The longest message in bytes, with its NUL.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// How long a message may take to arrive after its first byte.
pub const MESSAGE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The error for a message longer than [`MAX_MESSAGE`]. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl core::fmt::Display for TooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a message has more than {MAX_MESSAGE} bytes")
    }
}

impl core::error::Error for TooLong {}

/// Collects received bytes until a message is complete. Wipes from memory what it held, since a
/// message may contain a code.
///
/// ```
/// use totp_wire::frame::Framer;
///
/// let mut framer = Framer::default();
/// framer.push(b"{\"method\":\"org.varlink.service.Get");
/// assert_eq!(framer.next_message(), Ok(None), "incomplete");
/// framer.push(b"Info\"}\0{}\0");
/// let message = framer.next_message()?.expect("complete");
/// assert_eq!(message.as_slice(), br#"{"method":"org.varlink.service.GetInfo"}"#);
/// assert_eq!(framer.next_message()?.expect("complete").as_slice(), b"{}");
/// assert!(framer.is_empty());
/// # Ok::<(), totp_wire::frame::TooLong>(())
/// ```
#[derive(Default)]
pub struct Framer {
    buffer: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Framer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Framer({} bytes)", self.buffer.len())
    }
}

impl Framer {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Not by Vec's own growth, which leaves a copy of the bytes in freed memory.
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two().max(1024)));
            grown.extend_from_slice(&self.buffer);
            self.buffer = grown;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Removes the next complete message and returns it without its NUL. Returns `None` while the
    /// message is incomplete.
    ///
    /// # Errors
    /// [`TooLong`], also for every later call: the rest of the stream cannot be split any more.
    pub fn next_message(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, TooLong> {
        let window = &self.buffer[..self.buffer.len().min(MAX_MESSAGE)];
        let Some(end) = window.iter().position(|b| *b == 0) else {
            return if self.buffer.len() >= MAX_MESSAGE { Err(TooLong) } else { Ok(None) };
        };
        let message = Zeroizing::new(self.buffer[..end].to_vec());
        let rest = Zeroizing::new(self.buffer[end + 1..].to_vec());
        self.buffer = rest;
        Ok(Some(message))
    }

    /// Returns the number of bytes that [`Self::next_message`] has not returned yet.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns whether [`Self::next_message`] has returned every byte.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_has_at_most_16_kib_with_its_nul() {
        let mut framer = Framer::default();
        framer.push(&[b'x'; MAX_MESSAGE - 1]);
        assert_eq!(framer.next_message(), Ok(None));
        framer.push(&[0]);
        assert_eq!(framer.next_message().map(|m| m.map(|m| m.len())), Ok(Some(MAX_MESSAGE - 1)));
        framer.push(&[b'x'; MAX_MESSAGE]);
        framer.push(&[0]);
        assert_eq!(framer.next_message(), Err(TooLong));
        assert_eq!(framer.next_message(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_the_bytes_arrive(
            messages in prop::collection::vec(prop::collection::vec(1u8.., 0..200), 0..8), cut in 1usize..50
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let (mut framer, mut seen) = (Framer::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                framer.push(piece);
                while let Some(message) = framer.next_message().unwrap() {
                    seen.push(message.to_vec());
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert!(framer.is_empty());
        }
    }
}
