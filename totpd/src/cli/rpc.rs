//! Calls to the daemon over its sockets.

use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::config::{AdminScope, Administration, Config};
use std::path::Path;
use std::time::{Duration, Instant};
use totp_wire::{CallError, Client, Method, Trust, service};

/// How long a command waits for the daemon.
const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// When a call that starts now stops waiting for the daemon.
pub(super) fn deadline() -> Instant {
    Instant::now() + RPC_TIMEOUT
}

/// Calls a method of `org.totpd.Admin`.
pub(super) fn admin_call<M: Method>(config: &Config, call: &M) -> Result<M::Reply, CommandError> {
    try_admin_call(config, call).map_err(|(_, explained)| explained)
}

/// The same, and the error as the daemon sent it beside the one for the person.
pub(super) fn try_admin_call<M: Method>(
    config: &Config,
    call: &M,
) -> Result<M::Reply, (CallError, CommandError)> {
    let deadline = deadline();
    // Only root reaches the admin socket; members of administrators' groups use the login socket.
    let paths = [config.admin_socket.as_path(), &config.login_socket];
    let reply = connect(&paths, deadline).and_then(|mut client| client.call(call, deadline));
    reply.map_err(|error| {
        let explained = match &error {
            CallError::Error { name, .. } if name == service::PERMISSION_DENIED => {
                failed(ExitStatus::Refused, not_an_administrator(&config.administration))
            }
            _ => explain(&config.admin_socket, &error),
        };
        (error, explained)
    })
}

/// Who may make a call that was refused: root, and the groups of the configuration.
fn not_an_administrator(administration: &Administration) -> String {
    let with = |scope| administration.groups_with(scope).collect::<Vec<_>>().join(" or ");
    let (admins, helpdesk) = (with(AdminScope::Admin), with(AdminScope::Helpdesk));
    let mut text = if admins.is_empty() {
        "only root may do this (and members of admin_group, which is not set)".to_owned()
    } else {
        format!("only root and members of the group {admins} (admin_group, admin_groups) may do this")
    };
    if !helpdesk.is_empty() {
        text.push_str(&format!(
            ". Members of {helpdesk} may use status, list, history, report, unlock, passcode and enroll --ticket"
        ));
    }
    text.push_str(". Run it as root; `id -Gn` shows your groups");
    text
}

/// Connects to the first of the sockets that this process can reach.
///
/// # Errors
/// Also when the listener is neither root, the owner of the socket's folder, nor this process's
/// own user.
pub(super) fn connect(paths: &[&Path], deadline: Instant) -> Result<Client, CallError> {
    let me = nix::unistd::geteuid().as_raw();
    let try_first = |trust| Client::connect_first(paths.iter().copied(), trust, deadline);
    try_first(Trust::RootOrFolderOwner).or_else(|error| match error {
        CallError::WrongServer(uid) if uid == me => try_first(Trust::Uid(me)),
        other => Err(other),
    })
}
