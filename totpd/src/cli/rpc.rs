//! Calls to the daemon.

use crate::cli::call_error::explain;
use crate::cli::output::CommandError;
use crate::config::Config;
use std::path::Path;
use std::time::{Duration, Instant};
use totp_wire::{CallError, Client, Method, Trust};

/// How long a command waits for the daemon.
const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// The time until which a command waits for the daemon, from now on.
pub(super) fn deadline() -> Instant {
    Instant::now() + RPC_TIMEOUT
}

/// Calls a method of the admin socket.
pub(super) fn admin_call<M: Method>(config: &Config, call: &M) -> Result<M::Reply, CommandError> {
    let deadline = deadline();
    // That of administrators is root's; members of admin_group ask where everybody does.
    let paths = [config.admin_socket.as_path(), &config.login_socket];
    let reply = connect(&paths, deadline).and_then(|mut client| client.call(call, deadline));
    reply.map_err(|error| explain(&config.admin_socket, &error))
}

/// Connects to the first of the sockets that is there for this process, and whose listener is root, the owner of the
/// socket's folder, or oneself.
pub(super) fn connect(paths: &[&Path], deadline: Instant) -> Result<Client, CallError> {
    let me = nix::unistd::geteuid().as_raw();
    let try_first = |trust| Client::connect_first(paths.iter().copied(), trust, deadline);
    try_first(Trust::RootOrFolderOwner).or_else(|error| match error {
        CallError::WrongServer(uid) if uid == me => try_first(Trust::Uid(me)),
        other => Err(other),
    })
}
