//! Decides which input the module may send to the daemon: only text that has the form of a code. A
//! password that a user types at the wrong prompt, or that sshd passes on, is never sent.
//!
//! Only the form is checked here. The daemon decides whether a code is right.

use crate::login::{Accept, Prompt, RejectedInput};

/// What sshd answers for a user whom it refuses anyway, repeated or cut to the length of the input
/// (`fake_password` in auth-pam.c).
const HOST_JUNK: &[u8] = b"\x08\n\r\x7fINCORRECT";
/// The number of symbols in a recovery code, without its dashes.
const RECOVERY_SYMBOLS: usize = 16;
/// The length of a recovery code as it is printed: four groups of four symbols, with dashes.
const RECOVERY_PRINTED: usize = 19;

/// Checks whether `typed` may be sent as the answer to `prompt`.
///
/// # Errors
/// Why not, which the client sends instead of the input.
///
/// ```
/// use totp_wire::input_filter::check_input;
/// use totp_wire::login::{Accept, Prompt, RejectedInput};
///
/// let text = "Code: ".to_owned();
/// let prompt = Prompt { text, echo: false, accept: Accept::Code, max_len: 64, digits: 6 };
/// assert_eq!(check_input("123 456", &prompt), Ok(()));
/// assert_eq!(check_input("hunter2", &prompt), Err(RejectedInput::Shape), "a password");
/// ```
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

/// Splits a line into password and code: the code is a recovery code with its dashes, or else the
/// last `digits` digits. Returns `None` when the line ends in neither.
///
/// ```
/// use totp_wire::input_filter::split_combined;
/// assert_eq!(split_combined(b"hunter2123456", 6), Some((&b"hunter2"[..], "123456")));
/// assert_eq!(split_combined(b"hunter2", 6), None);
/// ```
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

/// Returns whether the input is sshd's. It begins with a backspace, which no user types.
fn is_host_junk(typed: &str) -> bool {
    !typed.is_empty() && typed.bytes().zip(HOST_JUNK.iter().cycle()).all(|(typed, junk)| typed == *junk)
}

/// Returns whether the text has 6 to 8 digits, whatever the prompt says: a pending factor may have
/// codes of another length.
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
