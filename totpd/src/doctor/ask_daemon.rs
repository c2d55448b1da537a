//! Asks the daemon. Each call waits two seconds at most.

use super::daemon::DaemonFacts;
use super::system::{Host, Installed};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, getsockopt, socket, sockopt,
};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};
use totp_wire::admin;
use totp_wire::{CallError, Client, Trust};

/// The most users to read. Larger sites get findings about these.
const MAX_USERS: usize = 2000;
/// The most events to read from the history.
const MAX_EVENTS: usize = 2000;
/// How far back events are read, in seconds.
const EVENT_SECONDS: u64 = 24 * 3600;

/// This host, with its programs and the daemon's answers.
pub fn running_host(config_path: &Path) -> Host {
    let mut host = Host::of_tree(Path::new("/"), config_path);
    host.programs = Box::new(Installed);
    host.daemon = Some(ask(&host));
    host
}

/// Asks the daemon of this host.
fn ask(host: &Host) -> DaemonFacts {
    let config = host.config_or_defaults();
    let pid = main_pid(host).or_else(|| listener(&config.admin_socket));
    let deadline = daemon_deadline();
    let mut client = match connect(&config.admin_socket) {
        Ok(client) => client,
        Err(error) => return DaemonFacts { reply: Err(error), pid, users: Vec::new(), events: Vec::new() },
    };
    let reply = client.call(&admin::Daemon {}, deadline);
    let (mut users, mut events) = (Vec::new(), Vec::new());
    if reply.is_ok() {
        let mut after = None;
        while users.len() < MAX_USERS
            && let Ok(page) =
                client.call(&admin::List { after: after.take(), limit: None }, daemon_deadline())
        {
            users.extend(page.users);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let since = Some(host.now.unix().saturating_sub(EVENT_SECONDS));
        let mut before = None;
        while events.len() < MAX_EVENTS {
            let call = admin::History { user: None, before, since, limit: None };
            let Ok(page) = client.call(&call, daemon_deadline()) else { break };
            events.extend(page.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok()));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    DaemonFacts { reply, pid, users, events }
}

/// Asks what would happen at a login of `user` to `service` with a right first factor.
///
/// # Errors
/// Any [`CallError`].
pub fn explain(host: &Host, user: &str, service: &str) -> Result<admin::ExplainReply, CallError> {
    let mut client = connect(&host.config_or_defaults().admin_socket)?;
    let call = admin::Explain {
        user: user.to_owned(),
        service: service.to_owned(),
        first_factor: Some(true),
        ..admin::Explain::default()
    };
    client.call(&call, daemon_deadline())
}

fn connect(path: &Path) -> Result<Client, CallError> {
    let deadline = daemon_deadline();
    Client::connect(path, Trust::RootOrFolderOwner, deadline).or_else(|error| match error {
        CallError::WrongServer(uid) if uid == nix::unistd::geteuid().as_raw() => {
            Client::connect(path, Trust::Uid(uid), deadline)
        }
        other => Err(other),
    })
}

/// The pid of totpd.service.
fn main_pid(host: &Host) -> Option<i32> {
    let pid = host.output(&["systemctl", "show", "--value", "--property=MainPID", "totpd.service"])?;
    pid.trim().parse().ok().filter(|pid| *pid > 0)
}

/// The pid of a daemon that listens on this socket without systemd. Never waits, as a connection to
/// a hanging daemon with a full queue would.
fn listener(path: &Path) -> Option<i32> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    connect_to(socket.as_raw_fd(), &UnixAddr::new(path).ok()?).ok()?;
    let pid = getsockopt(&socket, sockopt::PeerCredentials).ok()?.pid();
    (pid > 1).then_some(pid)
}

/// When a call that starts now stops waiting for the daemon.
fn daemon_deadline() -> Instant {
    Instant::now() + Duration::from_secs(2)
}
