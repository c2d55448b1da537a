//! About whom a command is: root about anybody, everybody else about themselves.

use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::{connect, deadline};
use crate::config::Config;
use totp_wire::Method;

/// About whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// About oneself, by `org.totpd.Self`.
    Oneself(String),
    /// About this user, by `org.totpd.Admin`.
    User(String),
}

impl Subject {
    /// About the user who is named, or else about oneself. Root has to name somebody: by a slip nobody's factor
    /// is replaced, root's own least of all.
    pub(super) fn of(user: Option<String>) -> Result<Self, CommandError> {
        let root = nix::unistd::geteuid().is_root();
        match user {
            Some(user) if !root && own_name().is_ok_and(|own| own == user) => Ok(Self::Oneself(user)),
            Some(user) => Ok(Self::User(user)),
            None if root => Err(failed(ExitStatus::Usage, "name the user whom this is about")),
            None => own_name().map(Self::Oneself),
        }
    }

    /// The user's name.
    pub(super) fn name(&self) -> &str {
        let (Self::Oneself(user) | Self::User(user)) = self;
        user
    }
}

/// The name of one's own uid.
pub(super) fn own_name() -> Result<String, CommandError> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map(|user| user.name)
        .ok_or_else(|| failed(ExitStatus::Usage, "your uid has no name on this system; name a user"))
}

/// Calls a method of `org.totpd.Self`.
pub(super) fn own_call<M: Method>(config: &Config, call: &M) -> Result<M::Reply, CommandError> {
    let deadline = deadline();
    let path = &config.login_socket;
    let reply = connect(&[path.as_path()], deadline).and_then(|mut client| client.call(call, deadline));
    reply.map_err(|error| explain(path, &error))
}
