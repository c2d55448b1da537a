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
