//! Who a peer is, and what of its attempt is believed (invariant 6).

use crate::audit::{self, EventSource};
use crate::config::Config;
use crate::engine::LoginRequest;
use crate::user_directory::{DirectoryUnavailable, UserDirectory};
use crate::varlink::connection_limits::Cause;
use crate::varlink::grace_time;
use std::net::IpAddr;
use tokio::net::UnixStream;
use totp_core::policy::{Facts, Peer as Speaker, RemoteHost, SshAuth};
use totp_core::{Origin, UserName};
use totp_wire::login::Attempt;

/// The process on the other end, by its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its uid when it connected, which alone decides.
    pub(crate) uid: u32,
    /// Its pid, for the audit. A pid proves nothing.
    pub(crate) pid: Option<i32>,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Every peer of the socket. What an attempt claims is believed or not, by who the peer is.
    Everybody,
    /// A user of this host, about themselves.
    Themselves,
    /// Root, administrators, and members of a group with the scope `helpdesk`.
    Helpdesk,
    /// Root, and members of a group with the scope `admin`.
    Administrators,
    /// Root alone.
    Root,
}

/// Why an attempt is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAuthorised {
    /// The peer may not ask for this user or service.
    Denied,
    /// A directory does not answer.
    DirectoryUnavailable,
}

impl From<DirectoryUnavailable> for NotAuthorised {
    fn from(_: DirectoryUnavailable) -> Self {
        Self::DirectoryUnavailable
    }
}

impl Peer {
    /// The peer of a connection. `None`: the kernel does not say who it is.
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        Some(Self { uid: credentials.uid(), pid: credentials.pid() })
    }

    /// The source of what this peer does for itself.
    pub(crate) fn from(self) -> EventSource {
        EventSource { peer_uid: Some(self.uid), peer_pid: self.pid, ..EventSource::default() }
    }
}

/// Whether `uid` may speak for other users at all, so that it is not counted as one unprivileged
/// user.
pub(crate) fn speaks_for_others(uid: u32, config: Option<&Config>) -> bool {
    uid == 0 || config.is_some_and(|c| c.trusted_peers.iter().any(|peer| peer.uid == uid))
}

/// Decides what is believed of an attempt, and names it `id`.
///
/// Root's programs are believed, which is not the same as trusted: anybody can start a setuid one,
/// so that its real uid counts. A trusted peer is believed for the services that the configuration
/// lets it claim. Any other peer asks for its own uid only, and nothing that it says about where it
/// comes from counts.
///
/// # Errors
/// [`NotAuthorised`].
pub(crate) async fn authorise(
    peer: Peer,
    attempt: &Attempt,
    id: String,
    config: &Config,
    directory: &UserDirectory,
) -> Result<LoginRequest, NotAuthorised> {
    if peer.uid == 0 {
        return Ok(from_trusted_peer(peer, Speaker::Root, attempt, id, config));
    }
    if let Some(trusted) = config.trusted_peers.iter().find(|p| p.uid == peer.uid) {
        let service = attempt.service.as_deref().unwrap_or_default();
        if trusted.services.iter().any(|s| s == service) {
            return Ok(from_trusted_peer(peer, Speaker::Trusted(peer.uid), attempt, id, config));
        }
    }
    let name = UserName::parse(&attempt.user).map_err(|_| NotAuthorised::Denied)?;
    if !directory.is_name_of(&name, peer.uid).await? {
        return Err(NotAuthorised::Denied);
    }
    Ok(from_own_uid(peer, &name, attempt, id))
}

/// Decides what would be believed of a supposed attempt. The name of the peer's uid is not looked
/// up. `None` if such a peer could not ask for this user.
pub(crate) fn simulate(peer: Peer, attempt: &Attempt, config: &Config) -> Option<LoginRequest> {
    let service = attempt.service.as_deref().unwrap_or_default();
    let trusted = config.trusted_peers.iter().find(|p| p.uid == peer.uid);
    let speaker = match (peer.uid, trusted) {
        (0, _) => Speaker::Root,
        (uid, Some(trusted)) if trusted.services.iter().any(|s| s == service) => Speaker::Trusted(uid),
        _ => return Some(from_own_uid(peer, &UserName::parse(&attempt.user).ok()?, attempt, String::new())),
    };
    Some(from_trusted_peer(peer, speaker, attempt, String::new(), config))
}

fn from_own_uid(peer: Peer, name: &UserName, attempt: &Attempt, id: String) -> LoginRequest {
    let name = name.to_string();
    let from = EventSource { ruser: Some(name.clone()), ..peer.from() };
    let facts = Facts {
        user: name.clone(),
        caller: None,
        ruser: Some(name.clone()),
        service: None,
        rhost: RemoteHost::Local,
        peer: Speaker::SelfService,
        ssh: Vec::new(),
        first_factor_passed: false,
    };
    // What it claims of its session proves nothing. Whether it can show lines is its own business.
    let silent = attempt.silent == Some(true);
    let origin = Origin::OwnProcess;
    let (audit_session, ends) = (None, None);
    LoginRequest { user: name, origin, from, id, facts, audit_session, silent, converses: false, ends }
}

/// The service that root's `totpd verify` names.
const OWN_SERVICE: &str = "totpd";

fn from_trusted_peer(
    peer: Peer,
    speaker: Speaker,
    attempt: &Attempt,
    id: String,
    config: &Config,
) -> LoginRequest {
    let by_root = speaker == Speaker::Root;
    let from = source(peer, attempt, speaker);
    let caller = from.caller_uid;
    let rhost = match &from.rhost {
        None => RemoteHost::Local,
        Some(rhost) => address(rhost).map_or(RemoteHost::NameOnly, RemoteHost::Address),
    };
    let lines = attempt.ssh_auth.iter().flatten().filter(|_| caller.is_none());
    let ssh: Vec<SshAuth> = lines.map(|line| SshAuth::parse(line)).collect();
    let methods = (!ssh.is_empty()).then(|| {
        let methods: Vec<&str> = ssh.iter().map(|auth| auth.method.as_str()).collect();
        audit::field(&methods.join(","))
    });
    let ssh_key = ssh.iter().find_map(|auth| auth.fingerprint.clone());
    let from = EventSource { ssh_methods: methods, ssh_key, ..from };
    let service = attempt.service.as_deref().unwrap_or_default();
    let is_console = by_root && config.console_services.iter().any(|console| console == service);
    // PAM_RUSER decides nothing: polkit's helper writes its argument there.
    let origin = match (rhost, caller) {
        (RemoteHost::Address(address), _)
            if attempt.own_address == Some(true) || address.to_canonical().is_loopback() =>
        {
            Origin::ThisHost
        }
        (RemoteHost::Address(address), _) => Origin::Remote(address),
        (RemoteHost::Local, Some(uid)) => Origin::Caller(uid),
        (RemoteHost::Local, None) if is_console => Origin::Console,
        // As with `totpd confirm`: what an administrator mistypes locks nobody's login.
        (RemoteHost::Local, None) if by_root && service == OWN_SERVICE => {
            Origin::Client("(verify)".to_owned())
        }
        // A name proves nothing. xrdp names nobody: the user may come over the network.
        (RemoteHost::NameOnly | RemoteHost::Local, _) => Origin::Unproven,
    };
    let silent = attempt.silent == Some(true);
    LoginRequest {
        user: attempt.user.clone(),
        origin,
        // Several questions with lines between them need a program that shows and asks.
        converses: !silent && attempt.combined != Some(true) && attempt.unasked != Some(true),
        silent,
        ends: grace_time::end_of_login(attempt, &from, config),
        audit_session: audit_session(attempt, caller),
        facts: Facts {
            user: attempt.user.clone(),
            caller,
            ruser: None,
            service: attempt.service.clone().filter(|service| !service.is_empty()),
            rhost,
            peer: speaker,
            ssh,
            first_factor_passed: attempt.first_factor == Some(true),
        },
        from,
        id,
    }
}

/// The audit session that a grant may be remembered by: that of a program which a user of this host
/// started. A daemon has the session of the user who started it. The login uid vetoes and never
/// helps, since anybody can set an unset one.
fn audit_session(attempt: &Attempt, caller: Option<u32>) -> Option<u32> {
    let caller = caller?;
    attempt.audit_session.filter(|_| attempt.login_uid.is_none_or(|uid| uid == caller))
}

/// Whether the caller who started the program asks for themselves. A directory that does not answer
/// proves nothing.
pub(crate) async fn is_oneself(request: &LoginRequest, caller: u32, directory: &UserDirectory) -> bool {
    let Ok(name) = UserName::parse(&request.user) else { return false };
    directory.is_name_of(&name, caller).await.unwrap_or(false)
}

/// The source of an attempt of root's or a trusted program, as the program says.
fn source(peer: Peer, attempt: &Attempt, speaker: Speaker) -> EventSource {
    let by_root = speaker == Speaker::Root;
    let field = |text: &Option<String>| text.as_deref().filter(|t| !t.is_empty()).map(audit::field);
    // A module that does not send its real uid may be anybody's, and has no caller.
    let caller_uid = attempt.real_uid.filter(|uid| by_root && *uid != 0);
    EventSource {
        service: field(&attempt.service),
        ruser: field(&attempt.ruser),
        caller_uid,
        login_uid: attempt.login_uid.filter(|_| by_root),
        // The user who started a setuid program sits at this host, whatever remote host it names.
        rhost: field(&attempt.rhost).filter(|_| caller_uid.is_none()),
        tty: field(&attempt.tty),
        ..peer.from()
    }
}

/// What causes an attempt for `user`, for the limits of connections.
pub(crate) fn cause(user: &str, from: &EventSource) -> Cause {
    match (&from.rhost, from.caller_uid) {
        (Some(rhost), _) => Cause::Remote { user: user.to_owned(), rhost: rhost.clone() },
        (None, Some(uid)) => Cause::Caller(uid),
        (None, None) => Cause::Service(from.service.clone().unwrap_or_default()),
    }
}

/// Parses an address as PAM_RHOST has it. A link-local one may have a scope (`fe80::1%eth0`).
fn address(rhost: &str) -> Option<IpAddr> {
    match rhost.split_once('%') {
        None => rhost.parse().ok(),
        Some((address, scope)) if !scope.is_empty() => {
            address.parse().ok().filter(std::net::Ipv6Addr::is_unicast_link_local).map(IpAddr::V6)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
