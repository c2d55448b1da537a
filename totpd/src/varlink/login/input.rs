//! What a user typed, as a client sends it.

use totp_core::{Input, RejectedInput, Typed};
use totp_wire::login::{Answer, RejectedInput as Reason};

/// The code that was typed, or why the input is not one. A client that sends neither says that
/// nothing was typed.
pub(super) fn of(answer: &Answer) -> Input {
    match (&answer.text, answer.unusable) {
        (_, Some(Reason::Shape)) => Err(RejectedInput::Shape),
        (_, Some(Reason::HostJunk)) => Err(RejectedInput::HostJunk),
        (_, Some(Reason::Empty)) | (None, None) => Err(RejectedInput::Empty),
        (Some(text), None) => Typed::parse(text.reveal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use totp_wire::input_filter::{check_input, split_combined};
    use totp_wire::login::{Accept, Prompt};

    #[test]
    fn the_module_sends_whatever_the_daemon_reads_as_a_code() {
        let (text, echo, accept) = (String::new(), false, Accept::Code);
        let prompt = Prompt { text, echo, accept, max_len: 256, digits: 6 };
        for c in '\0'..=char::MAX {
            for code in [format!("123{c}456"), format!("{c}12345"), format!("{c}123456789ABCDE{c}")] {
                if Typed::parse(&code).is_ok() {
                    assert_eq!(check_input(&code, &prompt), Ok(()), "{code:?}");
                }
                if matches!(Typed::parse(&code), Ok(Typed::Code(typed)) if typed.digits() == 6) {
                    let line = format!("Pa55w0rd{code}");
                    assert_eq!(split_combined(line.as_bytes(), 6), Some((&b"Pa55w0rd"[..], &*code)));
                }
            }
        }
    }
}
