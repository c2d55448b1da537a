//! The interface to the program that the module runs in, as one trait: implemented here on libpam,
//! and in the tests by a script.

use crate::{libpam, stack};
use pam::constants::{PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_TEXT_INFO, PamResultCode};
use pam::conv::Conv;
use pam::items::{AuthTok, RHost, RUser, Service, Tty};
use pam::module::PamHandle;
use totp_wire::login::{self, Style};
use totp_wire::process;
use zeroize::Zeroizing;

/// The priority of a log line (syslog(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// An administrator has to fix something.
    Error,
    /// A refusal.
    Notice,
    /// A grant or an exemption.
    Info,
    /// Details, with the argument `debug`.
    Debug,
}

/// The PAM items that are plain text (pam_get_item(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `PAM_SERVICE`
    Service,
    /// `PAM_RUSER`
    Ruser,
    /// `PAM_RHOST`
    Rhost,
    /// `PAM_TTY`
    Tty,
}

/// What was typed, as bytes, because a password may have any encoding.
pub(crate) type Typed = Zeroizing<Vec<u8>>;

/// The conversation failed, or the program has no conversation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoConversation;

/// Whether the user may see what they type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// `PAM_PROMPT_ECHO_ON`
    On,
    /// `PAM_PROMPT_ECHO_OFF`
    Off,
}

/// What the kernel reports about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    /// The real uid.
    pub(crate) real_uid: u32,
    /// The audit login uid, where it is set.
    pub(crate) login_uid: Option<u32>,
    /// The audit session, where it is set.
    pub(crate) audit_session: Option<u32>,
    /// When this process started, in clock ticks since boot.
    pub(crate) started: Option<u64>,
    /// The parent of this process.
    pub(crate) parent: Option<login::Process>,
}

/// The program that called the module.
pub(crate) trait Host {
    /// Requests a delay after a failure, in microseconds.
    fn fail_delay(&mut self, micros: u32);
    /// Returns the user name; asks for it if the program has not set it.
    fn user(&mut self) -> Result<String, NoConversation>;
    /// Returns a copy of an item; `None` when it is unset or empty.
    fn item(&mut self, item: Item) -> Option<String>;
    /// Returns a copy of `SSH_AUTH_INFO_0` from the PAM environment.
    fn ssh_auth_info(&mut self) -> Option<String>;
    /// Returns the identity of this process.
    fn process(&mut self) -> Process;
    /// Returns a copy of `PAM_AUTHTOK`.
    fn authtok(&mut self) -> Option<Typed>;
    /// Sets `PAM_AUTHTOK` for the next module, and returns whether libpam accepted it.
    fn set_authtok(&mut self, password: &[u8]) -> bool;
    /// Whether a failure of the module refuses the login for certain.
    fn failure_refuses(&mut self) -> bool;
    /// Asks the user. `None`: the program reported success without an answer.
    fn prompt(&mut self, text: &str, echo: Echo) -> Result<Option<Typed>, NoConversation>;
    /// Shows a line. Errors are ignored, since it is unknown whether the user saw the line.
    fn show(&mut self, style: Style, text: &str);
    /// Writes a line to the authpriv log.
    fn log(&mut self, level: Level, text: &str);
}

/// The host program, by its libpam handle.
pub(crate) struct Pam<'a>(pub(crate) &'a mut PamHandle);

impl Pam<'_> {
    /// Returns the conversation, fetched for each use: the host may replace it during a
    /// conversation.
    fn conv(&self) -> Option<Conv<'_>> {
        self.0.get_item::<Conv<'_>>().ok().flatten()
    }
}

/// Converts text of the host to UTF-8, lossily. Empty text counts as unset.
fn text(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

impl Host for Pam<'_> {
    fn fail_delay(&mut self, micros: u32) {
        libpam::fail_delay(self.0, micros);
    }

    fn user(&mut self) -> Result<String, NoConversation> {
        self.0.get_user(None).map_err(|_| NoConversation)
    }

    fn item(&mut self, item: Item) -> Option<String> {
        let pamh = &*self.0;
        match item {
            Item::Service => pamh.get_item::<Service<'_>>().ok().flatten().and_then(|i| text(i.to_bytes())),
            Item::Ruser => pamh.get_item::<RUser<'_>>().ok().flatten().and_then(|i| text(i.to_bytes())),
            Item::Rhost => pamh.get_item::<RHost<'_>>().ok().flatten().and_then(|i| text(i.to_bytes())),
            Item::Tty => pamh.get_item::<Tty<'_>>().ok().flatten().and_then(|i| text(i.to_bytes())),
        }
    }

    fn ssh_auth_info(&mut self) -> Option<String> {
        libpam::getenv(self.0, c"SSH_AUTH_INFO_0").and_then(|value| text(&value))
    }

    fn process(&mut self) -> Process {
        Process {
            real_uid: process::real_uid(),
            login_uid: process::login_uid(),
            audit_session: process::audit_session(),
            started: process::start_time(),
            parent: process::parent(),
        }
    }

    fn authtok(&mut self) -> Option<Typed> {
        let token = self.0.get_item::<AuthTok<'_>>().ok().flatten()?;
        Some(Zeroizing::new(token.as_bytes().to_vec()))
    }

    fn set_authtok(&mut self, password: &[u8]) -> bool {
        libpam::set_authtok(self.0, password)
    }

    fn failure_refuses(&mut self) -> bool {
        self.item(Item::Service).is_some_and(|service| stack::failure_refuses(&service))
    }

    fn prompt(&mut self, text: &str, echo: Echo) -> Result<Option<Typed>, NoConversation> {
        let style = match echo {
            Echo::On => PAM_PROMPT_ECHO_ON,
            Echo::Off => PAM_PROMPT_ECHO_OFF,
        };
        let answer = self.conv().ok_or(NoConversation)?.send(style, text);
        match answer {
            Ok(answer) => Ok(answer.map(|bytes| Zeroizing::new(bytes.as_bytes().to_vec()))),
            // PAM_CONV_AGAIN too: an event-driven host is not supported, and a code is not asked
            // for twice.
            Err(_) => Err(NoConversation),
        }
    }

    fn show(&mut self, style: Style, text: &str) {
        let style = match style {
            Style::Info => PAM_TEXT_INFO,
            Style::Error => PAM_ERROR_MSG,
        };
        // su's conversation returns success without a response here, others an error: neither
        // matters.
        let _: Option<Result<_, PamResultCode>> = self.conv().map(|conv| conv.send(style, text));
    }

    fn log(&mut self, level: Level, text: &str) {
        let priority = match level {
            Level::Error => libpam::LOG_ERR,
            Level::Notice => libpam::LOG_NOTICE,
            Level::Info => libpam::LOG_INFO,
            Level::Debug => libpam::LOG_DEBUG,
        };
        libpam::syslog(self.0, priority, text);
    }
}
