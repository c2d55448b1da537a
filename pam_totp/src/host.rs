//! Everything the module asks of the program it runs in, as one trait: the real one here, a scripted one in
//! the tests.

use crate::libpam;
use pam::constants::{PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_TEXT_INFO, PamResultCode};
use pam::conv::Conv;
use pam::items::{AuthTok, RHost, RUser, Service, Tty};
use pam::module::PamHandle;
use totp_wire::login::Style;
use totp_wire::process;
use zeroize::Zeroizing;

/// How urgent a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Somebody has to mend something.
    Error,
    /// A refusal.
    Notice,
    /// Somebody was let in or by.
    Info,
    /// Asked for by `debug`.
    Debug,
}

/// The items that are plain text.
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

/// What was typed, as bytes: a password may be in any encoding.
pub(crate) type Typed = Zeroizing<Vec<u8>>;

/// The conversation failed, or there was none to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoConversation;

/// What the kernel says of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    /// The real uid.
    pub(crate) real_uid: u32,
    /// The audit login uid, where it is set.
    pub(crate) login_uid: Option<u32>,
    /// The audit session, where it is set.
    pub(crate) audit_session: Option<u32>,
}

/// The program that called us.
pub(crate) trait Host {
    /// Asks for this delay after a failure, in microseconds.
    fn fail_delay(&mut self, micros: u32);
    /// The user, asked for if the program has not said.
    fn user(&mut self) -> Result<String, NoConversation>;
    /// A copy of an item; `None` when it is unset or empty.
    fn item(&mut self, item: Item) -> Option<String>;
    /// A copy of `SSH_AUTH_INFO_0`.
    fn ssh_auth_info(&mut self) -> Option<String>;
    /// Who this process is.
    fn process(&mut self) -> Process;
    /// A copy of `PAM_AUTHTOK`.
    fn authtok(&mut self) -> Option<Typed>;
    /// Leaves a password for the next module; says whether that worked.
    fn set_authtok(&mut self, password: &[u8]) -> bool;
    /// Asks the person. `None` is a program that had nothing to say.
    fn prompt(&mut self, text: &str, echo: bool) -> Result<Option<Typed>, NoConversation>;
    /// Shows a line. Whether it was seen is not known, so an error changes nothing.
    fn show(&mut self, style: Style, text: &str);
    /// Writes a line to the authpriv log.
    fn log(&mut self, level: Level, text: &str);
}

/// The real one.
pub(crate) struct Pam<'a>(pub(crate) &'a mut PamHandle);

impl Pam<'_> {
    /// A fresh one for each use: the host may replace its conversation during one.
    fn conv(&self) -> Option<Conv<'_>> {
        self.0.get_item::<Conv<'_>>().ok().flatten()
    }
}

/// Text of the host in UTF-8, whatever it was; unset and empty are the same.
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
        }
    }

    fn authtok(&mut self) -> Option<Typed> {
        let token = self.0.get_item::<AuthTok<'_>>().ok().flatten()?;
        Some(Zeroizing::new(token.as_bytes().to_vec()))
    }

    fn set_authtok(&mut self, password: &[u8]) -> bool {
        libpam::set_authtok(self.0, password)
    }

    fn prompt(&mut self, text: &str, echo: bool) -> Result<Option<Typed>, NoConversation> {
        let style = if echo { PAM_PROMPT_ECHO_ON } else { PAM_PROMPT_ECHO_OFF };
        let answer = self.conv().ok_or(NoConversation)?.send(style, text);
        match answer {
            Ok(answer) => Ok(answer.map(|bytes| Zeroizing::new(bytes.as_bytes().to_vec()))),
            // PAM_CONV_AGAIN too: an event-driven host is not supported, and a code is not asked for twice.
            Err(_) => Err(NoConversation),
        }
    }

    fn show(&mut self, style: Style, text: &str) {
        let style = match style {
            Style::Info => PAM_TEXT_INFO,
            Style::Error => PAM_ERROR_MSG,
        };
        // su's conversation returns success without a response here, others an error: neither matters.
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
