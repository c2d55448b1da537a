//! Printing on standard output and standard error, and the exit statuses.

use crate::cli::table::Layout;
use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// The exit status of a command. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: done.
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

impl ExitStatus {
    /// The word for programs.
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Errors => "errors-found",
        }
    }
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

/// Why a command failed, and its exit status.
#[derive(Debug)]
pub(super) struct CommandError {
    /// The exit status.
    pub exit: ExitStatus,
    /// What happened, why, and what to do, in one sentence or two. Empty if it was already printed.
    pub why: String,
}

impl CommandError {
    /// The error as a document for programs.
    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": self.exit.word(), "message": self.why })
    }
}

/// A [`CommandError`] with this exit status and message.
pub(super) fn failed(exit: ExitStatus, why: impl Display) -> CommandError {
    CommandError { exit, why: why.to_string() }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        // `totpd list | head -1` closes the pipe, and is not a mistake.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return failed(ExitStatus::Done, "");
        }
        failed(ExitStatus::Refused, format!("the output cannot be written: {error}"))
    }
}

/// What a command prints on standard output: text, one JSON document, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// `--json`: one JSON document instead of text.
    pub json: bool,
    /// `-q`: nothing.
    pub quiet: bool,
}

impl Output {
    /// Prints a line for people, except under `--json` and `-q`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn line(self, text: impl Display) -> Result<(), CommandError> {
        if self.json || self.quiet {
            return Ok(());
        }
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    /// Prints a paragraph for people: on a terminal, in lines that fit, each after `indent` blanks;
    /// elsewhere in one line. Prints nothing under `--json` and `-q`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn paragraph(self, indent: usize, text: impl Display) -> Result<(), CommandError> {
        if self.json || self.quiet {
            return Ok(());
        }
        self.line(Layout::of_stdout().paragraph(indent, &text.to_string()))
    }

    /// Prints on standard error that there is nothing to show, so that a program that reads a table
    /// gets an empty one. Prints nothing under `--json` and `-q`.
    pub(super) fn empty(self, text: impl Display) {
        if !self.json && !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Prints a line for people and ignores errors: a closed terminal must not stop a change
    /// half-way.
    pub(super) fn print(self, text: impl Display) {
        let _ = self.line(text);
    }

    /// Prints the document for programs, only under `--json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn json(self, document: &impl Serialize) -> Result<(), CommandError> {
        if !self.json {
            return Ok(());
        }
        let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
        serde_json::to_writer(&mut stdout, document).map_err(std::io::Error::from)?;
        writeln!(stdout)?;
        Ok(stdout.flush()?)
    }

    /// Checks, before a command makes a secret that is shown only once, that it will be printed.
    ///
    /// # Errors
    /// [`ExitStatus::Usage`] under `-q`.
    pub(super) fn require_shown(self, what: &str) -> Result<(), CommandError> {
        if self.quiet {
            let why = format!("-q would discard {what}, shown only once. Drop -q, or use --json");
            return Err(failed(ExitStatus::Usage, why));
        }
        Ok(())
    }

    /// Whether both standard input and standard output are terminals, and text is printed.
    pub(super) fn interactive(self) -> bool {
        !self.json && !self.quiet && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }
}

/// Prints a warning on standard error. The command goes on.
pub(super) fn warn(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "totpd: warning: {what}");
}

/// Prints what is wrong with the command line, or the help that it asks for. Under `--json` a
/// mistake is a JSON document, as every other error.
pub(super) fn end_usage(error: &clap::Error) -> ExitCode {
    let mut options = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    if error.use_stderr() && options.any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let what = text.split("\n\nUsage:").next().unwrap_or_default();
        let words: Vec<&str> = what.trim_start_matches("error:").split_whitespace().collect();
        let out = Output { json: true, quiet: false };
        return end(&failed(ExitStatus::Usage, words.join(" ")), out);
    }
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Prints why a command failed on standard error, and returns its exit status. Under `--json` the
/// message is a JSON document, too, so that a program need not read prose.
pub(super) fn end(failed: &CommandError, out: Output) -> ExitCode {
    if !failed.why.is_empty() {
        let text = if out.json { failed.json().to_string() } else { format!("totpd: {}", failed.why) };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
    failed.exit.into()
}
