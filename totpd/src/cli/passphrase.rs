//! Reading a passphrase: from the terminal without echo, or the first line of standard input.

use super::verify::ask;
use crate::cli::output::{CommandError, ExitStatus, failed};
use age::secrecy::SecretString;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Write};

/// Characters that a new passphrase has at least: it guards every secret of the store, wherever the file goes.
const SHORTEST: usize = 12;

/// Turns the echo of the terminal on again when dropped.
struct Silence(Termios);

impl Silence {
    fn start() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

fn read(question: &str) -> Result<SecretString, CommandError> {
    let terminal = std::io::stdin().is_terminal();
    let silence = if terminal { Silence::start() } else { None };
    let text = ask(question)?;
    drop(silence);
    if terminal {
        writeln!(std::io::stderr().lock())?;
    }
    Ok(SecretString::from(text.reveal().to_owned()))
}

/// The passphrase of a backup that is there.
///
/// # Errors
/// When none can be read.
pub(super) fn existing() -> Result<SecretString, CommandError> {
    read("Passphrase of the backup: ")
}

/// A passphrase for a new backup, typed twice on a terminal.
///
/// # Errors
/// When it is too short, or not the same twice.
pub(super) fn new() -> Result<SecretString, CommandError> {
    use age::secrecy::ExposeSecret;
    let first = read("Passphrase for the backup: ")?;
    if first.expose_secret().chars().count() < SHORTEST {
        let why =
            format!("a passphrase has at least {SHORTEST} characters; with it anybody reads the backup");
        return Err(failed(ExitStatus::Usage, why));
    }
    if std::io::stdin().is_terminal() && read("Again: ")?.expose_secret() != first.expose_secret() {
        return Err(failed(ExitStatus::Usage, "the two passphrases differ; nothing was written"));
    }
    Ok(first)
}
