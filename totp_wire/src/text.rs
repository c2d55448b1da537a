//! Text that must not be printed: codes, secrets, recovery codes.

use core::fmt;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Wiped when dropped, redacted when printed, without `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Returns the text: only for code that sends or shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Makes text fit for a terminal and a log line: control characters become `?`, and the length is
/// bounded to `max` bytes (at a character).
pub fn printable(text: &str, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text[..end].chars().map(|c| if c.is_control() || is_bidi(c) { '?' } else { c }).collect()
}

/// Characters that reorder or hide what stands around them on a terminal (Unicode TR 36).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_text_prints_nothing() {
        assert_eq!(format!("{:?}", SecretText::from("123456".to_owned())), "SecretText(…)");
    }

    #[test]
    fn printable_text_is_bounded_and_has_no_control_characters() {
        assert_eq!(printable("a\x1b[31mb\n", 100), "a?[31mb?");
        assert_eq!(printable("ab\u{202e}c", 100), "ab?c");
        assert_eq!(printable("ééé", 3), "é");
        assert_eq!(printable("", 3), "");
    }
}
