//! `totpd pam`: makes services ask for a code. A change that no login confirms is taken back.
//!
//! ```text
//!  proposal   what would change: files, sshd's drop-in, what is refused
//!  trial      test logins by the real libpam, our module and a test daemon, before /etc changes
//!  enable     arm the undo ─▶ edit ─▶ wait     confirmed by logins, or taken back
//!  undo       takes back what is not confirmed: by hand, by the timer, or at the next boot
//!  disable    removes our blocks and the drop-in
//! ```

mod admins;
mod confirm;
mod disable;
mod enable;
mod host;
mod proposal;
mod sshd;
mod status;
mod trial;
mod undo;

use super::Context;
use super::args::PamCommand;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::pam_config::ConfigDirs;
use crate::pam_config::undo::{STATE, State};
use std::path::Path;
use std::time::Duration;

/// `totpd pam …`
pub(super) fn pam(context: &Context, command: PamCommand) -> Result<(), CommandError> {
    if let PamCommand::SshKeyShown = command {
        return ssh_key_shown();
    }
    if !nix::unistd::geteuid().is_root() {
        let why = "only root may read and change PAM files. Run it as root; if sudo refuses, in a root shell that is \
                   still open, or on the console";
        return Err(failed(ExitStatus::Refused, why));
    }
    match command {
        PamCommand::Enable(args) => enable::enable(context, &args),
        PamCommand::Disable(args) => disable::disable(context, &args),
        PamCommand::Status { services } => status::status(context, &services),
        PamCommand::TakeBack { boot, change, after } => {
            std::thread::sleep(Duration::from_secs(after.unwrap_or(0)));
            let phase = if boot { undo::HostPhase::Booting } else { undo::HostPhase::Running };
            undo::take_back(context, change.as_deref(), phase)
        }
        PamCommand::SshKeyShown => Ok(()),
    }
}

/// The PAM files of this host.
fn dirs() -> ConfigDirs {
    ConfigDirs::of(Path::new("/"))
}

/// Opens the state folder of `totpd pam`.
fn state() -> Result<State, CommandError> {
    State::open(Path::new(STATE)).map_err(|error| failed(ExitStatus::Refused, format!("{STATE}: {error}")))
}

/// `totpd pam ssh-key-shown`: succeeds if `SSH_AUTH_INFO_0` names a method that needs no password.
///
/// sshd puts it into PAM's environment, and `pam_exec` passes only that on, so no other program can
/// set it.
#[expect(clippy::disallowed_methods, reason = "the interface of pam_exec; only PAM's environment is in it")]
fn ssh_key_shown() -> Result<(), CommandError> {
    let shown = std::env::var("SSH_AUTH_INFO_0").unwrap_or_default();
    if is_key(&shown) { Ok(()) } else { Err(failed(ExitStatus::Refused, "")) }
}

fn is_key(auth_info: &str) -> bool {
    let methods = auth_info.lines().filter_map(|line| line.split_whitespace().next());
    methods.into_iter().any(|method| matches!(method, "publickey" | "gssapi-with-mic" | "hostbased"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_method_that_needs_no_password_is_a_key() {
        assert!(is_key("publickey ssh-ed25519 AAAA\n"));
        assert!(is_key("hostbased ssh-ed25519 AAAA\n") && is_key("gssapi-with-mic alice@EXAMPLE\n"));
        for none in ["", "\n", "password\n", "keyboard-interactive\n", "xpublickey a\n", "none publickey\n"] {
            assert!(!is_key(none), "{none:?}");
        }
    }
}
