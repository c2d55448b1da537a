//! What is printed, and how a command ends.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// How a command ends: the exit status that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0
    Done,
    /// 1: refused, or not found.
    Refused,
    /// 2: the command line or the configuration is wrong.
    Usage,
    /// 3: no daemon answers.
    Unreachable,
    /// 4: doctor found errors.
    Errors,
}

impl From<ExitStatus> for ExitCode {
    fn from(exit: ExitStatus) -> Self {
        match exit {
            ExitStatus::Done => Self::SUCCESS,
            ExitStatus::Refused => Self::from(1),
            ExitStatus::Usage => Self::from(2),
            ExitStatus::Unreachable => Self::from(3),
            ExitStatus::Errors => Self::from(4),
        }
    }
}

/// A command that failed: what happened and what to do, in one sentence or two.
#[derive(Debug)]
pub(super) struct CommandError {
    /// How it ends.
    pub exit: ExitStatus,
    /// The sentence.
    pub why: String,
}

/// A failure with its sentence.
pub(super) fn failed(exit: ExitStatus, why: impl Display) -> CommandError {
    CommandError { exit, why: why.to_string() }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        // `totpd list | head -1` is no mistake.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return failed(ExitStatus::Done, "");
        }
        failed(ExitStatus::Refused, format!("cannot write: {error}"))
    }
}

/// Standard output in one of its three manners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// One JSON document.
    pub json: bool,
    /// Nothing.
    pub quiet: bool,
}

impl Output {
    /// A line for people: not under `--json` or `-q`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn line(self, text: impl Display) -> Result<(), CommandError> {
        if self.json || self.quiet {
            return Ok(());
        }
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    /// The document for programs: only under `--json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn json(self, document: &serde_json::Value) -> Result<(), CommandError> {
        if !self.json {
            return Ok(());
        }
        Ok(writeln!(std::io::stdout().lock(), "{document}")?)
    }

    /// Before something is made that is shown once: not under `-q`, where nobody would ever see it.
    ///
    /// # Errors
    /// [`ExitStatus::Usage`].
    pub(super) fn will_show(self, what: &str) -> Result<(), CommandError> {
        if self.quiet {
            let why = format!("under -q nobody would ever see {what}; leave it out, or take --json");
            return Err(failed(ExitStatus::Usage, why));
        }
        Ok(())
    }

    /// Whether a person sits at both ends.
    pub(super) fn interactive(self) -> bool {
        !self.json && !self.quiet && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }
}

/// Whether colours may be used: on a terminal, and not under `NO_COLOR`.
pub(super) fn color() -> bool {
    std::io::stdout().is_terminal() && !no_color()
}

/// <https://no-color.org>: set and not empty.
#[expect(clippy::disallowed_methods, reason = "decides nothing but colours")]
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Says on stderr what is wrong and does not stop the command.
pub(super) fn warn(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "totpd: warning: {what}");
}

/// Says on stderr why a command failed, and ends.
pub(super) fn end(failed: &CommandError) -> ExitCode {
    if !failed.why.is_empty() {
        let _ = writeln!(std::io::stderr().lock(), "totpd: {}", failed.why);
    }
    failed.exit.into()
}
