//! `org.totpd.Login`: one attempt to log in.

use crate::message::Method;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// The interface's name.
pub const INTERFACE: &str = "org.totpd.Login";
/// The interface's text.
pub const DESCRIPTION: &str = include_str!("../interfaces/org.totpd.Login.varlink");
/// Error: too much is going on for this peer or in all.
pub const BUSY: &str = "org.totpd.Login.Busy";
/// Error: the time ran out before the answer was judged.
pub const TIMED_OUT: &str = "org.totpd.Login.TimedOut";
/// Error: the store cannot be used.
pub const STORE_UNAVAILABLE: &str = "org.totpd.Login.StoreUnavailable";
/// Error: a call that the attempt's order does not allow.
pub const OUT_OF_ORDER: &str = "org.totpd.Login.OutOfOrder";

/// The longest prompt or message text, in bytes: `PAM_MAX_MSG_SIZE` of Linux-PAM.
pub const MAX_TEXT: usize = 512;
/// The most that may be typed at a prompt, in bytes: `PAM_MAX_RESP_SIZE` of Linux-PAM.
pub const MAX_TYPED: usize = 512;

/// What the host program tells about the attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Who wants in (`PAM_USER`).
    pub user: String,
    /// The PAM service (`PAM_SERVICE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Who asks (`PAM_RUSER`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// From where (`PAM_RHOST`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// On which terminal (`PAM_TTY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The lines of `SSH_AUTH_INFO_0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_auth: Option<Vec<String>>,
    /// The real uid of the client: who started it, where it is setuid. 0 for daemons and for root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_uid: Option<u32>,
    /// The client's audit login uid (`/proc/self/loginuid`), where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The client's audit session (`/proc/self/sessionid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_session: Option<u32>,
    /// `PAM_SILENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// The PAM line says that a first factor succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<bool>,
    /// Password and code are typed in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combined: Option<bool>,
    /// Prompts the client allows in this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u8>,
    /// The person is asked nothing: the code comes from what another module asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<bool>,
    /// `PAM_RHOST` is one of the host's own addresses: the daemon has no network and cannot know
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_address: Option<bool>,
}

/// How a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// `PAM_TEXT_INFO`.
    Info,
    /// `PAM_ERROR_MSG`.
    Error,
}

/// One line for the person. An enrollment shows its secret in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How it is shown.
    pub style: Style,
    /// The line.
    pub text: SecretText,
}

/// What may be sent back from a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// A code of the phone or a recovery code.
    Code,
    /// Any text.
    Text,
    /// Yes or no.
    Confirm,
}

/// A question to the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The question.
    pub text: String,
    /// Whether what is typed may be seen.
    pub echo: bool,
    /// What may be sent back.
    pub accept: Accept,
    /// The most bytes that may be typed.
    pub max_len: u16,
    /// Digits of a code.
    pub digits: u8,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The factor was proved.
    Granted,
    /// The policy asks for no factor here.
    Exempt,
    /// Refused; why is the audit's.
    Denied,
}

/// What to do next: show `messages`, then either ask or end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Names the attempt in the audit.
    pub id: String,
    /// Lines to show first.
    pub messages: Vec<Message>,
    /// The question, unless there is a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// The end, unless there is a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the name of the attempt is a user's: only then the client may log it. People type
    /// passwords at prompts for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
}

/// The reply to both calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReply {
    /// What to do next.
    pub step: Step,
}

/// Why what was typed is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedInput {
    /// Nothing was typed.
    Empty,
    /// It has not the shape of a code.
    Shape,
    /// sshd's `\b\n\r\177INCORRECT`.
    HostJunk,
}

/// Starts the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// What the host program tells.
    pub attempt: Attempt,
    /// How long the caller still waits, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// Sends what was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was typed, when it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<SecretText>,
    /// Why it is not sent, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<RejectedInput>,
    /// How long the caller still waits, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

impl Method for Begin {
    const NAME: &'static str = "org.totpd.Login.Begin";
    type Reply = StepReply;
}

impl Method for Answer {
    const NAME: &'static str = "org.totpd.Login.Answer";
    type Reply = StepReply;
}
