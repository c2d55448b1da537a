//! Speaking to the daemon, and saying in words what its errors mean.

use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::config::Config;
use std::path::Path;
use std::time::{Duration, Instant};
use totp_wire::{CallError, Client, Method, Trust, admin, login, self_service, service};

/// How long a command waits for the daemon.
const RPC_TIMEOUT: Duration = Duration::from_secs(30);

/// When this command's patience ends.
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

/// The sentence for a failed call.
pub(super) fn explain(path: &Path, error: &CallError) -> CommandError {
    let at = path.display();
    match error {
        CallError::NoSocket if let Some(listens) = unit_listens_elsewhere(path) => failed(
            ExitStatus::Unreachable,
            format!(
                "admin_socket is {at}, where nobody listens, and totpd-admin.socket listens at {listens}. Make both the \
                 same, then run: systemctl daemon-reload; systemctl restart totpd-admin.socket totpd"
            ),
        ),
        CallError::NoSocket | CallError::ConnectionRefused => failed(
            ExitStatus::Unreachable,
            format!(
                "no totpd answers at {at}: {error}. Is it running? `systemctl status totpd`, or see its log"
            ),
        ),
        CallError::Error { name, parameters } => explain_error(name, parameters),
        CallError::WrongServer(uid) => failed(
            ExitStatus::Unreachable,
            format!(
                "the listener at {at} runs as uid {uid}, which is neither root nor the owner of its folder"
            ),
        ),
        other => failed(ExitStatus::Unreachable, format!("totpd at {at}: {other}")),
    }
}

/// Where the installed socket unit listens, if that is not the configured place of a socket of this host.
fn unit_listens_elsewhere(path: &Path) -> Option<String> {
    // A path of somebody's own daemon is not the unit's.
    let is_units = path.starts_with("/run/") || path.starts_with("/var/run/");
    let listens = crate::units::values(Path::new("/"), "totpd-admin.socket", "ListenStream")?;
    let elsewhere = is_units && !listens.is_empty() && listens.iter().all(|listen| Path::new(listen) != path);
    elsewhere.then(|| listens.join(", "))
}

fn explain_error(name: &str, parameters: &str) -> CommandError {
    let parameters: serde_json::Value = serde_json::from_str(parameters).unwrap_or_default();
    let text = |key: &str| parameters.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let number = |key: &str| parameters.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let user = text("user");
    let staged = parameters.get("staged").unwrap_or(&serde_json::Value::Null);
    match name {
        service::PERMISSION_DENIED => {
            failed(ExitStatus::Refused, "only root and members of admin_group may do this")
        }
        service::INVALID_PARAMETER => failed(ExitStatus::Usage, text("parameter")),
        admin::NO_SUCH_USER => failed(ExitStatus::Refused, format!("there is no user {user} on this system")),
        self_service::NO_NAME => failed(ExitStatus::Refused, "your uid has no name on this system"),
        self_service::NOT_ENROLLED => {
            failed(ExitStatus::Refused, "you have no factor that this could be done to; see `totpd status`")
        }
        self_service::CODE_NEEDED => {
            failed(ExitStatus::Refused, "a current code or a recovery code is needed")
        }
        self_service::TICKET_NEEDED => failed(
            ExitStatus::Refused,
            "a ticket is needed: ask your administrator for one (`totpd enroll USER --ticket`)",
        ),
        self_service::ALREADY_STAGED if !staged.is_object() => failed(
            ExitStatus::Refused,
            "a new factor waits for its first code already: run totpd confirm, or ask your administrator",
        ),
        self_service::ALREADY_STAGED => failed(
            ExitStatus::Refused,
            format!(
                "a change is staged already: {}. See `totpd status`; `totpd cancel` with a code ends it",
                crate::cli::staged::lacks(staged)
            ),
        ),
        self_service::CANCELLED_TWICE => failed(
            ExitStatus::Refused,
            "two changes were cancelled within a week, so that only a ticket helps: ask your administrator for one \
             (`totpd enroll USER --ticket`)",
        ),
        self_service::NOTHING_STAGED | admin::NOTHING_STAGED => {
            failed(ExitStatus::Refused, "nothing is staged that could be cancelled; see `totpd status`")
        }
        self_service::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!(
                "the new factor cannot be used yet: {}. Nothing was changed",
                crate::cli::staged::lacks(staged)
            ),
        ),
        admin::NOT_RIPE => failed(
            ExitStatus::Refused,
            format!(
                "the user has staged this factor, and {}. An administrator's own `totpd enroll` needs no delay",
                crate::cli::staged::lacks(staged)
            ),
        ),
        self_service::REFUSED => failed(
            ExitStatus::Refused,
            "refused; nothing was changed. `totpd history` says why; a ticket comes from your administrator",
        ),
        self_service::OFF => {
            failed(ExitStatus::Refused, "this site lets nobody enroll by himself: ask your administrator")
        }
        admin::NOT_ENROLLED => failed(
            ExitStatus::Refused,
            format!(
                "{user} has no factor that this could be done to; `totpd status {user}` shows what there is"
            ),
        ),
        admin::UID_CHANGED | self_service::UID_CHANGED => failed(
            ExitStatus::Refused,
            format!(
                "{user} was enrolled as uid {} and is uid {} now: somebody else? `totpd revoke {user}` forgets \
                 the old factor",
                number("enrolled"),
                number("now")
            ),
        ),
        admin::STORE_UNAVAILABLE | self_service::STORE_UNAVAILABLE => {
            failed(ExitStatus::Refused, text("why"))
        }
        login::STORE_UNAVAILABLE => failed(
            ExitStatus::Refused,
            "the store cannot be used and everybody is refused; `totpd status` says why",
        ),
        admin::BUSY | self_service::BUSY | login::BUSY | login::TIMED_OUT => {
            failed(ExitStatus::Refused, "totpd is busy; nothing was changed. Try again")
        }
        other => failed(ExitStatus::Refused, format!("totpd answered {other}")),
    }
}
