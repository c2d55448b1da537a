//! `totpd completions`: completions for a shell, from the same definition as the help.

use super::args::Args;
use crate::cli::output::{CommandError, ExitStatus, failed};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

/// Prints the completions of the shell.
///
/// # Errors
/// When they cannot be written.
pub(super) fn completions(shell: &str) -> Result<(), CommandError> {
    let shell: Shell = shell.parse().map_err(|error: String| failed(ExitStatus::Usage, error))?;
    // Into memory first: clap_complete panics when a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "totpd", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}
