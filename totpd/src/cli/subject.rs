//! The user whom a command is about. Root must name a user; others default to themselves.

use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::{connect, deadline};
use crate::config::Config;
use totp_wire::Method;

/// The user whom a command is about, and the interface that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The user who runs the command, by `org.totpd.Self`.
    Oneself(String),
    /// Any user, by `org.totpd.Admin`.
    User(String),
}

impl Subject {
    /// The named user, or else the user who runs the command.
    ///
    /// # Errors
    /// When root names nobody: a slip must not replace a factor, least of all root's.
    pub(super) fn of(user: Option<String>) -> Result<Self, CommandError> {
        let root = nix::unistd::geteuid().is_root();
        match user {
            Some(user) if !root && login_name().is_ok_and(|name| name == user) => Ok(Self::Oneself(user)),
            Some(user) => Ok(Self::User(user)),
            None if root => Err(failed(ExitStatus::Usage, "root must name a user: add the login name")),
            None => login_name().map(Self::Oneself),
        }
    }

    /// The login name.
    pub(super) fn name(&self) -> &str {
        let (Self::Oneself(user) | Self::User(user)) = self;
        user
    }
}

/// The login name of the uid of this process.
pub(super) fn login_name() -> Result<String, CommandError> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map(|user| user.name)
        .ok_or_else(|| failed(ExitStatus::Usage, "your uid has no user name on this system. Name a user"))
}

/// Calls a method of `org.totpd.Self` on the login socket.
pub(super) fn self_service_call<M: Method>(config: &Config, call: &M) -> Result<M::Reply, CommandError> {
    let deadline = deadline();
    let path = &config.login_socket;
    let reply = connect(&[path.as_path()], deadline).and_then(|mut client| client.call(call, deadline));
    reply.map_err(|error| explain(path, &error))
}
