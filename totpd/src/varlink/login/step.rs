//! The steps that a login is answered with. [`granted`] is the one function that lets somebody in,
//! and [`exempt`] the one that lets the stack go on without a code.

use crate::authority::Reader;
use crate::store::Committed;
use totp_core::policy::Pass;
use totp_core::recovery::LOW_CODES;
use totp_core::{How, Verified};
use totp_wire::SecretText;
use totp_wire::login::{Accept, MAX_TEXT, Message, Prompt, Step, Style, Verdict};
use totp_wire::text::printable;

/// The most bytes at a prompt for a code: the digits of some scripts have four, and phones copy
/// invisible marks along.
const CODE_LENGTH: u16 = 256;
/// The most bytes with a password in the same line.
const COMBINED_LENGTH: u16 = 512;
/// Digits that a prompt names where they do not matter: only a combined line is split by them.
const ANY_DIGITS: u8 = 6;
/// The question below notices.
const GO_ON: &str = "Press Enter to go on: ";

/// Whether what is typed is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    On,
    Off,
}

/// Whether the name of the attempt is a user's, and may be in the client's log.
#[derive(Clone, Copy)]
pub(super) struct Known(pub(super) bool);

/// A question for a code, which may be answered with a recovery code.
#[derive(Clone, Debug)]
pub(super) struct CodeQuestion {
    pub(super) text: String,
    /// Said first, if an earlier question of the same program led to no login.
    pub(super) refused: Option<String>,
    pub(super) digits: u8,
    /// Password and code are typed in one line.
    pub(super) combined: bool,
}

/// The question for a code. All of it is the prompt: sudo and sshd show no message before one.
pub(super) fn ask(id: &str, question: &CodeQuestion) -> Step {
    let CodeQuestion { text, refused, digits, combined } = question;
    let text = if *combined { format!("Password and {}", decapitalized(text)) } else { text.to_owned() };
    let text = refused.iter().map(|refused| format!("{refused} ")).chain([text]).collect::<String>();
    Step {
        id: id.to_owned(),
        messages: Vec::new(),
        prompt: Some(Prompt {
            text: printable(&text, MAX_TEXT - 1),
            echo: false,
            accept: Accept::Code,
            max_len: if *combined { COMBINED_LENGTH } else { CODE_LENGTH },
            digits: *digits,
        }),
        verdict: None,
        known: None,
    }
}

/// A question below some lines. Any code may be sent back.
pub(super) fn prompt(id: &str, messages: Vec<Message>, text: &str, echo: Echo) -> Step {
    let prompt = Prompt {
        text: text.to_owned(),
        echo: echo == Echo::On,
        accept: Accept::Code,
        max_len: CODE_LENGTH,
        digits: ANY_DIGITS,
    };
    Step { id: id.to_owned(), messages, prompt: Some(prompt), verdict: None, known: None }
}

/// Notices of changes, shown by a question after a right code. OpenSSH shows what follows the last
/// question on a terminal only. What stands before a question it shows to every client, and Enter
/// says that it was read.
pub(super) fn notices(id: &str, notices: &[String]) -> Step {
    let mut step = prompt(id, notices.iter().map(error).collect(), GO_ON, Echo::On);
    step.prompt = step.prompt.map(|prompt| Prompt { accept: Accept::Confirm, ..prompt });
    step
}

/// Lets in. It takes the proof of the factor, and the proof that its use is on stable storage.
/// `notices` are lines for the user, which nobody else reads.
#[expect(clippy::needless_pass_by_value, reason = "a proof is given away once")]
pub(super) fn granted(
    id: &str,
    verified: Verified,
    _durable: Committed,
    reader: Reader,
    notices: &[String],
) -> Step {
    if reader == Reader::OtherUser {
        return end(id, Vec::new(), Verdict::Granted, Known(true));
    }
    let mut messages: Vec<Message> = notices.iter().map(error).collect();
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
        How::Passcode { .. } => {
            messages.push(info("That passcode is used up. Next time, bring your phone or ask for another."));
        }
        How::BreakGlass => {
            messages.push(error("Break-glass: this login is recorded, and its code is used up."));
        }
        How::Totp { .. } | How::Remembered { .. } => {}
    }
    end(id, messages, Verdict::Granted, Known(true))
}

/// Lets the stack go on without a code. It takes the policy's pass, and the proof that it is
/// recorded.
pub(super) fn exempt(id: &str, _pass: Pass, _durable: Committed, known: Known) -> Step {
    end(id, Vec::new(), Verdict::Exempt, known)
}

/// Refuses. A person reads the same for every reason.
pub(super) fn denied(id: &str, known: Known) -> Step {
    end(id, Vec::new(), Verdict::Denied, known)
}

/// Refuses a user who has proved the first factor and was shown a key: they are told why.
pub(super) fn not_enrolled(id: &str, why: String) -> Step {
    end(id, vec![error(why)], Verdict::Denied, Known(true))
}

fn end(id: &str, messages: Vec<Message>, verdict: Verdict, Known(known): Known) -> Step {
    Step { id: id.to_owned(), messages, prompt: None, verdict: Some(verdict), known: Some(known) }
}

/// A line for the user.
pub(super) fn info(text: impl Into<String>) -> Message {
    Message { style: Style::Info, text: SecretText::from(text.into()) }
}

/// A line for the user that they must not overlook.
pub(super) fn error(text: impl Into<String>) -> Message {
    Message { style: Style::Error, text: SecretText::from(text.into()) }
}

fn decapitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
