//! Decides which input the module may send to the daemon: only text that has the form of a code. A
//! password that a user types at the wrong prompt, or that sshd passes on, is never sent.
//!
//! Only the form is checked here. The daemon decides what a character means (`totp_core::Typed`, by
//! the tables of Unicode) and whether a code is right. This filter is a little wider and needs no
//! table: a digit is any numeric character, and outside ASCII a separator is any character that is
//! neither a letter nor a number. A test compares the two for every character.

use crate::login::{Accept, Prompt, RejectedInput};

/// What sshd answers for a user whom it refuses anyway, repeated or cut to the length of the input
/// (`fake_password` in auth-pam.c).
const HOST_JUNK: &[u8] = b"\x08\n\r\x7fINCORRECT";
/// The number of symbols in a recovery code, without its separators.
const RECOVERY_SYMBOLS: usize = 16;
/// The number of symbols in each group of a recovery code as it is printed.
const GROUP_SYMBOLS: usize = 4;

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
    if typed.chars().all(char::is_whitespace) {
        return Err(RejectedInput::Empty);
    }
    if typed.len() > usize::from(prompt.max_len) {
        return Err(RejectedInput::Shape);
    }
    match prompt.accept {
        Accept::Text | Accept::Confirm => Ok(()),
        Accept::Code if is_code(typed) || is_recovery_code(typed) => Ok(()),
        Accept::Code => Err(RejectedInput::Shape),
    }
}

/// Splits a line into password and code. The code ends the line: a recovery code in groups of four,
/// or else the last `digits` digits, with separators between and after them. The password is every
/// byte before the code's first character, in any encoding. Returns `None` when the line ends in
/// neither.
///
/// The groups of the recovery code need more than blanks between them: passphrases are words of
/// four letters.
///
/// ```
/// use totp_wire::input_filter::split_combined;
/// assert_eq!(split_combined(b"hunter2123456", 6), Some((&b"hunter2"[..], "123456")));
/// assert_eq!(split_combined(b"hunter212 34 56", 6), Some((&b"hunter2"[..], "12 34 56")));
/// assert_eq!(split_combined(b"hunter2", 6), None);
/// ```
pub fn split_combined(typed: &[u8], digits: u8) -> Option<(&[u8], &str)> {
    // A code is valid UTF-8 to the end of the line.
    let text = typed.utf8_chunks().last().filter(|chunk| chunk.invalid().is_empty())?.valid();
    let start = recovery_start(text).or_else(|| code_start(text, digits))?;
    let (before, code) = text.split_at_checked(start)?;
    let password = typed.get(..typed.len() - text.len() + before.len())?;
    Some((password, code))
}

/// Returns where the last `digits` digits begin, if only separators stand between and after them.
fn code_start(text: &str, digits: u8) -> Option<usize> {
    let mut missing = digits;
    for (at, c) in text.char_indices().rev() {
        if c.is_numeric() {
            missing = missing.checked_sub(1)?;
            if missing == 0 {
                return Some(at);
            }
        } else if !is_separator(c) {
            return None;
        }
    }
    None
}

/// Returns where the recovery code begins that ends `text`.
fn recovery_start(text: &str) -> Option<usize> {
    let (mut symbols, mut is_divided) = (0, true);
    for (at, c) in text.char_indices().rev() {
        let is_between_groups = symbols % GROUP_SYMBOLS == 0;
        if is_symbol(c) {
            if is_between_groups && !is_divided {
                return None;
            }
            symbols += 1;
            is_divided = false;
            if symbols == RECOVERY_SYMBOLS {
                return Some(at);
            }
        } else if (c.is_whitespace() || c.is_ascii()) && !is_between_groups {
            return None;
        } else if !c.is_whitespace() {
            if !is_separator(c) && !is_punctuation(c) {
                return None;
            }
            is_divided = true;
        }
    }
    None
}

/// Returns whether the input is sshd's. It begins with a backspace, which no user types.
fn is_host_junk(typed: &str) -> bool {
    !typed.is_empty() && typed.bytes().zip(HOST_JUNK.iter().cycle()).all(|(typed, junk)| typed == *junk)
}

/// Returns whether the text has 6 to 8 digits, whatever the prompt says: a pending factor may have
/// codes of another length.
fn is_code(text: &str) -> bool {
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    (6..=8).contains(&digits) && text.chars().all(|c| c.is_numeric() || is_separator(c))
}

fn is_recovery_code(text: &str) -> bool {
    let symbols = text.chars().filter(|c| is_symbol(*c)).count();
    let is_allowed = |c| is_symbol(c) || is_separator(c) || is_punctuation(c);
    symbols == RECOVERY_SYMBOLS && text.chars().all(is_allowed)
}

/// Blanks, dashes, and outside ASCII whatever is neither letter nor number.
fn is_separator(c: char) -> bool {
    c == '-' || c.is_whitespace() || (!c.is_ascii() && !c.is_alphanumeric())
}

/// What separates the groups of a recovery code besides.
fn is_punctuation(c: char) -> bool {
    matches!(c, '.' | ',' | ':' | '_')
}

/// A letter or digit of a recovery code. Input methods for Chinese and Japanese write wide letters.
fn is_symbol(c: char) -> bool {
    match c {
        'U' | 'u' => false,
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => true,
        _ => c.is_ascii_alphanumeric() || c.is_numeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompt(accept: Accept) -> Prompt {
        Prompt { text: String::new(), echo: false, accept, max_len: 64, digits: 6 }
    }

    #[test]
    fn codes_and_recovery_codes_are_sent() {
        for typed in [
            "123456",
            "12345678",
            " 123 456\n",
            "12-34-56",
            "١٢٣\u{200f} ٤٥٦",
            "１２３\u{3000}４５６",
            "0123456789ABCDEF",
            "0123-4567-89ab-cdef",
            "0123.4567.89AB.CDEF",
            "０１２３–４５６７–８９ａｂ–ＣＤＥＦ",
        ] {
            assert_eq!(check_input(typed, &prompt(Accept::Code)), Ok(()), "{typed}");
        }
    }

    #[test]
    fn passwords_are_not_sent() {
        for typed in [
            "correct horse",
            "12345",
            "123456789",
            "hunter2!",
            "pass-word-1234-56",
            "Ünïcode",
            "01.02.1990",
            "123456€x",
        ] {
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
        assert_eq!(split_combined(b"p\xe4ssw\xf6rd654321\n", 6), Some((&b"p\xe4ssw\xf6rd"[..], "654321\n")));
        assert_eq!(split_combined(b"hunter2", 6), None);
        assert_eq!(split_combined("é12345".as_bytes(), 6), None);
        assert_eq!(split_combined(b"pw12345x6", 6), None);
        assert_eq!(split_combined(b"", 6), None);
    }

    #[test]
    fn a_combined_line_takes_a_recovery_code_in_groups() {
        for printed in
            ["0123-4567-89AB-CD23", "0123.4567.89AB.CD23", "0123–4567–89AB–CD23", "0123 - 4567_89AB, CD23 "]
        {
            let line = format!("my-pw {printed}");
            assert_eq!(split_combined(line.as_bytes(), 6), Some((&b"my-pw "[..], printed)), "{printed}");
        }
        for password in
            ["0123456789ABCDEF", "blue fish wall tree", "blue-fish-wal-ltree", "blue/fish/wall/tree"]
        {
            assert_eq!(split_combined(password.as_bytes(), 6), None, "{password}");
        }
        assert_eq!(
            split_combined(b"blue fish wall 1234 5678", 8),
            Some((&b"blue fish wall "[..], "1234 5678"))
        );
    }

    proptest! {
        #[test]
        fn a_combined_password_keeps_every_byte(
            mut password in prop::collection::vec(any::<u8>(), 0..40),
            code in prop::sample::select(vec![
                "123456", "12 34 56", "123\u{a0}456", "١٢٣ ٤٥٦", "۱۲۳\u{200f}۴۵۶", "１２３－４５６\r\n", "𝟏𝟐𝟑𝟒𝟓𝟔\u{feff}",
                "3BZ9.71NQ.8XWA.2K4M", "３ＢＺ９-71NQ-8XWA-2K4M",
            ]),
        ) {
            let length = password.len();
            password.extend_from_slice(code.as_bytes());
            prop_assert_eq!(split_combined(&password, 6), Some((&password[..length], code)));
        }

        #[test]
        fn no_line_breaks_the_filter(line in prop::collection::vec(any::<u8>(), 0..80), digits in any::<u8>()) {
            if let Some((password, code)) = split_combined(&line, digits) {
                prop_assert_eq!([password, code.as_bytes()].concat(), line);
            }
        }
    }
}
