//! `org.totpd.Login`: the interface for login attempts. A connection is one attempt: [`Begin`],
//! then [`Answer`] until a [`Step`] has a verdict.

use crate::message::Method;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "org.totpd.Login";
/// The interface description, in the Varlink language.
pub const DESCRIPTION: &str = include_str!("../interfaces/org.totpd.Login.varlink");
/// Error: the daemon has too many requests, from this caller or overall. Or it does not know
/// whether its decision is stored, and then a code may be used.
pub const BUSY: &str = "org.totpd.Login.Busy";
/// Error: the caller's time ran out before the answer was judged. Nothing was used up.
pub const TIMED_OUT: &str = "org.totpd.Login.TimedOut";
/// Error: the store cannot be used, so every login is refused.
pub const STORE_UNAVAILABLE: &str = "org.totpd.Login.StoreUnavailable";
/// Error: the attempt does not allow this call now, such as an answer before `Begin`.
pub const OUT_OF_ORDER: &str = "org.totpd.Login.OutOfOrder";

/// The longest prompt or message in bytes: `PAM_MAX_MSG_SIZE` of Linux-PAM.
pub const MAX_TEXT: usize = 512;
/// The longest input at a prompt in bytes: `PAM_MAX_RESP_SIZE` of Linux-PAM.
pub const MAX_TYPED: usize = 512;

/// What the client reports about a login attempt: PAM items (pam_get_item(3)), the arguments of the
/// PAM line, and facts about its process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The user who logs in, or the target user of `su` (`PAM_USER`).
    pub user: String,
    /// The PAM service, such as `sshd` (`PAM_SERVICE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The user who runs the program that asks (`PAM_RUSER`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// The remote address or host name (`PAM_RHOST`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// The terminal (`PAM_TTY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The lines of `SSH_AUTH_INFO_0`: the authentication methods that have succeeded
    /// (sshd_config(5), `ExposeAuthInfo`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_auth: Option<Vec<String>>,
    /// The real uid of the client: the user who started it, even if it is setuid. It is 0 for
    /// system daemons and for programs that root started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_uid: Option<u32>,
    /// The client's audit login uid (`/proc/self/loginuid`), if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The client's audit session (`/proc/self/sessionid`), if it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_session: Option<u32>,
    /// Whether the program wants no messages (`PAM_SILENT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Whether the PAM line says that a first factor has succeeded (`first_factor=passed`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<bool>,
    /// Whether the user types password and code in one line (`forward_pass`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combined: Option<bool>,
    /// How many prompts the client allows in this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u8>,
    /// Whether the client shows no prompt, and takes the code from what another module has asked
    /// for (`use_first_pass`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<bool>,
    /// Whether `rhost` is an address of this host. The client says so, because the daemon runs
    /// without access to the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_address: Option<bool>,
    /// When the client's process started, as in [`Process`]: a later one may have the same pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The parent of the client's process. sshd asks in a new process each time, and they have one
    /// parent in each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Process>,
}

/// A process, told apart from a later one of the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The pid, in the client's namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the host booted (proc_pid_stat(5), starttime).
    pub started: u64,
}

/// The style of a message, in the terms of pam_conv(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// `PAM_TEXT_INFO`.
    Info,
    /// `PAM_ERROR_MSG`.
    Error,
}

/// A line to show to the user. During an enrollment it may contain the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How to show the line.
    pub style: Style,
    /// The line.
    pub text: SecretText,
}

/// Which input the client may send as the answer to a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// A code of the phone, or a recovery code.
    Code,
    /// Any text.
    Text,
    /// Nothing: Enter says that the user has read the messages. The answer is an empty text then.
    /// Anything else that was typed, or no answer at all, is sent as [`Answer::unusable`]: the
    /// attempt goes on, and the messages count as unread.
    Confirm,
}

/// A prompt to show to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The text of the prompt.
    pub text: String,
    /// Whether the terminal shows what the user types.
    pub echo: bool,
    /// Which input may be sent.
    pub accept: Accept,
    /// The longest input that may be sent, in bytes.
    pub max_len: u16,
    /// The number of digits of a code.
    pub digits: u8,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The daemon verified the second factor.
    Granted,
    /// The policy requires no second factor for this attempt.
    Exempt,
    /// The daemon refused. Only the audit log says why.
    Denied,
}

/// What the client must do next: show the messages, and then either prompt or end the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The id of the attempt in the audit log.
    pub id: String,
    /// The lines to show before the prompt or the end.
    pub messages: Vec<Message>,
    /// The prompt, if the attempt goes on. Exactly one of `prompt` and `verdict` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// The verdict, if the attempt has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the attempt's user exists. Otherwise the client must not log the name, because it
    /// may be a password that somebody typed at the prompt for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
}

/// The reply to [`Begin`] and [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReply {
    /// What the client must do next.
    pub step: Step,
}

/// Why the client does not send what the user typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectedInput {
    /// The user typed nothing.
    Empty,
    /// The input does not have the form of a code; it may be a password.
    Shape,
    /// sshd sent `\b\n\r\177INCORRECT` for a user whom it refuses anyway.
    HostJunk,
}

/// `Begin`: starts a login attempt.
///
/// ```
/// use totp_wire::login::{Attempt, Begin};
/// use totp_wire::message::call_bytes;
///
/// let attempt = Attempt { user: "alice".to_owned(), tries: Some(1), ..Attempt::default() };
/// let bytes = call_bytes(&Begin { attempt, remaining_ms: Some(10_000) })?;
/// let call = concat!(
///     r#"{"method":"org.totpd.Login.Begin","#,
///     r#""parameters":{"attempt":{"user":"alice","tries":1},"remaining_ms":10000}}"#,
///     "\0"
/// );
/// assert_eq!(bytes.as_slice(), call.as_bytes());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// What the client reports about the attempt.
    pub attempt: Attempt,
    /// How long the caller waits for the reply, in milliseconds. The daemon judges nothing later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// `Answer`: sends what the user typed, or why it is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What the user typed, if `input_filter::check_input` accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<SecretText>,
    /// Why the input is not sent. Exactly one of `text` and `unusable` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<RejectedInput>,
    /// How long the caller waits for the reply, in milliseconds. The daemon judges nothing later.
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
