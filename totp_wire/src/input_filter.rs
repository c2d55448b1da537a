//! What may leave the host: text that could be a code. A password that sshd hands the module stays
//! there.
//!
//! Only the shape is looked at. Whether it is right, and what exactly it means, is the daemon's to
//! say.

use crate::login::{Accept, Prompt, RejectedInput};

/// What sshd answers for users that it refuses anyway, repeated or cut to the length of what was
/// typed (`fake_password` of auth-pam.c).
const HOST_JUNK: &[u8] = b"\x08\n\r\x7fINCORRECT";
/// Symbols of a recovery code without its dashes.
const RECOVERY_SYMBOLS: usize = 16;
/// A recovery code as it is printed: four groups of four with dashes.
const RECOVERY_PRINTED: usize = 19;

/// Says whether `typed` may be sent from `prompt`.
///
/// # Errors
/// Why not; to be sent instead.
pub fn check_input(typed: &str, prompt: &Prompt) -> Result<(), RejectedInput> {
    if is_host_junk(typed) {
        return Err(RejectedInput::HostJunk);
    }
    let text = typed.trim_matches([' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Err(RejectedInput::Empty);
    }
    if typed.len() > usize::from(prompt.max_len) {
        return Err(RejectedInput::Shape);
    }
    match prompt.accept {
        Accept::Text | Accept::Confirm => Ok(()),
        Accept::Code if is_code(text) || is_recovery_code(text) => Ok(()),
        Accept::Code => Err(RejectedInput::Shape),
    }
}

/// Splits what was typed as password and code in one line into the two. A recovery code counts only
/// as it is printed, dashes included; otherwise the last `digits` digits are the code.
pub fn split_combined(typed: &[u8], digits: u8) -> Option<(&[u8], &str)> {
    let end = typed.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let text = typed.get(..end)?;
    let tail = |length: usize| {
        let (password, code) = text.split_at_checked(text.len().checked_sub(length)?)?;
        Some((password, str::from_utf8(code).ok()?))
    };
    if let Some((password, code)) = tail(RECOVERY_PRINTED)
        && code.bytes().enumerate().all(|(i, b)| (b == b'-') == (i % 5 == 4))
        && is_recovery_code(code)
    {
        return Some((password, code));
    }
    tail(usize::from(digits)).filter(|(_, code)| code.bytes().all(|b| b.is_ascii_digit()))
}

/// A backspace first: nobody types that.
fn is_host_junk(typed: &str) -> bool {
    !typed.is_empty() && typed.bytes().zip(HOST_JUNK.iter().cycle()).all(|(typed, junk)| typed == *junk)
}

/// 6 to 8 digits, whatever the prompt says: the code of a replacement may have another length.
fn is_code(text: &str) -> bool {
    let separators = text.bytes().filter(|b| matches!(b, b' ' | b'-')).count();
    let numerals = text.bytes().filter(u8::is_ascii_digit).count();
    separators <= 1 && (6..=8).contains(&numerals) && numerals + separators == text.len()
}

fn is_recovery_code(text: &str) -> bool {
    let mut symbols = 0;
    for byte in text.bytes() {
        match byte {
            b' ' | b'-' => {}
            b'U' | b'u' => return false,
            b if b.is_ascii_alphanumeric() => symbols += 1,
            _ => return false,
        }
    }
    symbols == RECOVERY_SYMBOLS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(accept: Accept) -> Prompt {
        Prompt { text: String::new(), echo: false, accept, max_len: 64, digits: 6 }
    }

    #[test]
    fn codes_and_recovery_codes_are_sent() {
        for typed in
            ["123456", "12345678", " 123 456\n", "123-456", "0123-4567-89ab-cdef", "0123456789ABCDEF"]
        {
            assert_eq!(check_input(typed, &prompt(Accept::Code)), Ok(()), "{typed}");
        }
    }

    #[test]
    fn passwords_are_not_sent() {
        for typed in ["correct horse", "12345", "123456789", "hunter2!", "pass-word-1234-56", "Ünïcode"] {
            assert_eq!(check_input(typed, &prompt(Accept::Code)), Err(RejectedInput::Shape), "{typed}");
        }
        assert_eq!(check_input("", &prompt(Accept::Code)), Err(RejectedInput::Empty));
        for junk in ["\u{8}\n\r\u{7f}INCORRECT", "\u{8}\n\r\u{7f}IN", "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r"] {
            assert_eq!(check_input(junk, &prompt(Accept::Code)), Err(RejectedInput::HostJunk));
        }
        assert_eq!(check_input(&"1".repeat(65), &prompt(Accept::Text)), Err(RejectedInput::Shape));
    }

    #[test]
    fn the_last_digits_of_a_combined_line_are_the_code() {
        assert_eq!(split_combined(b"hunter2123456", 6), Some((&b"hunter2"[..], "123456")));
        assert_eq!(split_combined(b"123456", 6), Some((&b""[..], "123456")));
        assert_eq!(split_combined(b"pw12345678", 8), Some((&b"pw"[..], "12345678")));
        assert_eq!(split_combined(b"p\xe4ssw\xf6rd654321\n", 6), Some((&b"p\xe4ssw\xf6rd"[..], "654321")));
        assert_eq!(split_combined(b"hunter2", 6), None);
        assert_eq!(split_combined("é12345".as_bytes(), 6), None);
        assert_eq!(split_combined(b"", 6), None);
    }

    #[test]
    fn a_combined_line_takes_a_recovery_code_with_dashes() {
        let printed = b"my-pw 0123-4567-89AB-CD23";
        assert_eq!(split_combined(printed, 6), Some((&b"my-pw "[..], "0123-4567-89AB-CD23")));
        assert_eq!(split_combined(b"0123456789ABCDEF", 6), None);
    }
}
