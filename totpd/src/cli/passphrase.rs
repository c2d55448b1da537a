//! Reads a passphrase from the terminal without echo, or from the first line of standard input.

use super::verify::ask;
use crate::cli::output::{CommandError, ExitStatus, failed};
use age::secrecy::SecretString;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Read, Write};
use zeroize::Zeroizing;

/// The fewest characters of a new passphrase: it guards every secret of the store.
const MIN_LENGTH: usize = 12;

/// Turns the terminal's echo off, and on again when dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn start() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

fn read(question: &str) -> Result<SecretString, CommandError> {
    let terminal = std::io::stdin().is_terminal();
    let echo_off = if terminal { EchoOff::start() } else { None };
    let text = ask(question)?;
    drop(echo_off);
    if terminal {
        writeln!(std::io::stderr().lock())?;
    }
    Ok(SecretString::from(text.reveal().to_owned()))
}

/// Reads one line of at most `max` bytes from standard input: from a terminal after a question and
/// without echo. A longer line is cut off there.
///
/// # Errors
/// When it cannot be read, or is not text.
pub(super) fn hidden_line(question: &str, max: usize) -> Result<Zeroizing<String>, CommandError> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let echo_off = EchoOff::start();
    // Sized so that no reallocation leaves a copy behind.
    let mut line = Zeroizing::new(String::with_capacity(max));
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    let read = std::io::stdin().lock().take(limit).read_line(&mut line);
    drop(echo_off);
    writeln!(stderr)?;
    match read {
        Ok(_) => Ok(line),
        Err(error) => Err(failed(ExitStatus::Refused, format!("the line cannot be read: {error}"))),
    }
}

/// Reads the passphrase of an existing backup.
///
/// # Errors
/// When it cannot be read.
pub(super) fn existing() -> Result<SecretString, CommandError> {
    read("Passphrase of the backup: ")
}

/// Reads a passphrase for a new backup, twice on a terminal.
///
/// # Errors
/// When it is too short, or the two differ.
pub(super) fn new() -> Result<SecretString, CommandError> {
    use age::secrecy::ExposeSecret;
    let first = read("Passphrase for the backup: ")?;
    if first.expose_secret().chars().count() < MIN_LENGTH {
        let why = format!(
            "the passphrase is too short, and anyone who guesses it can read the backup. Use at least {MIN_LENGTH} \
             characters"
        );
        return Err(failed(ExitStatus::Usage, why));
    }
    if std::io::stdin().is_terminal() && read("Again: ")?.expose_secret() != first.expose_secret() {
        return Err(failed(
            ExitStatus::Usage,
            "the two passphrases differ, so nothing was written. Try again",
        ));
    }
    Ok(first)
}
