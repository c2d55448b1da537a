//! The steps a login is answered with. [`granted`] is the one function that lets somebody in, and [`exempt`] the
//! one that lets somebody by.

use crate::store::Committed;
use totp_core::policy::Pass;
use totp_core::recovery::LOW_CODES;
use totp_core::{How, Verified};
use totp_wire::SecretText;
use totp_wire::login::{Accept, Message, Prompt, Step, Style, Verdict};
use totp_wire::text::printable;

/// The most that may be typed at a code's prompt: a recovery code with room for blanks.
const CODE_LENGTH: u16 = 64;
/// The most with a password in the same line.
const COMBINED_LENGTH: u16 = 512;

/// Digits that a prompt names where they do not matter: only a combined line is split by them.
const ANY_DIGITS: u8 = 6;

/// The question for a code.
pub(crate) fn ask(id: &str, text: &str, digits: u8, combined: bool, again: bool) -> Step {
    let text = if combined { format!("Password and {}", decapitalized(text)) } else { text.to_owned() };
    let messages = if again { vec![error("That code was not accepted.")] } else { Vec::new() };
    Step {
        id: id.to_owned(),
        messages,
        prompt: Some(Prompt {
            text: printable(&text, 256),
            echo: false,
            accept: Accept::Code,
            max_len: if combined { COMBINED_LENGTH } else { CODE_LENGTH },
            digits,
        }),
        verdict: None,
        known: None,
    }
}

/// A question of an enrollment: any code may be sent back.
pub(crate) fn question(id: &str, messages: Vec<Message>, text: &str, echo: bool) -> Step {
    let prompt = Prompt {
        text: text.to_owned(),
        echo,
        accept: Accept::Code,
        max_len: CODE_LENGTH,
        digits: ANY_DIGITS,
    };
    Step { id: id.to_owned(), messages, prompt: Some(prompt), verdict: None, known: None }
}

/// Lets in: takes the proof of the factor, and the proof that its use is on stable storage. `told` is what the
/// user has to hear besides.
#[expect(clippy::needless_pass_by_value, reason = "a proof is given away once")]
pub(crate) fn granted(id: &str, verified: Verified, _durable: Committed, told: &[String]) -> Step {
    let mut messages: Vec<Message> = told.iter().map(error).collect();
    if verified.confirmed() {
        messages.push(info("Your authenticator app is confirmed."));
    }
    match verified.how() {
        How::Recovery { left } if left > LOW_CODES => {
            messages.push(info(format!("That recovery code is used up; {left} are left.")));
        }
        How::Recovery { left } => {
            let text = format!("That recovery code is used up; only {left} left. Ask for new ones now.");
            messages.push(error(text));
        }
        How::BreakGlass => {
            messages.push(error("Break-glass: this login is recorded, and its code is used up."));
        }
        How::Totp { .. } | How::Remembered { .. } => {}
    }
    end(id, messages, Verdict::Granted, true)
}

/// Lets the stack go on without a code: takes the policy's leave, and the proof that it is recorded. `known` says
/// whether the name is a user's.
pub(crate) fn exempt(id: &str, _leave: Pass, _durable: Committed, known: bool) -> Step {
    end(id, Vec::new(), Verdict::Exempt, known)
}

/// Refuses. A person reads the same for every reason; `known` tells the client's log whether the name is a user's.
pub(crate) fn denied(id: &str, known: bool) -> Step {
    end(id, Vec::new(), Verdict::Denied, known)
}

fn end(id: &str, messages: Vec<Message>, verdict: Verdict, known: bool) -> Step {
    Step { id: id.to_owned(), messages, prompt: None, verdict: Some(verdict), known: Some(known) }
}

pub(crate) fn info(text: impl Into<String>) -> Message {
    Message { style: Style::Info, text: SecretText::from(text.into()) }
}

pub(crate) fn error(text: impl Into<String>) -> Message {
    Message { style: Style::Error, text: SecretText::from(text.into()) }
}

fn decapitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
