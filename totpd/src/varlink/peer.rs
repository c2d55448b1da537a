//! Who speaks, and what of it is believed (invariant 6).

use crate::audit::{self, EventSource};
use crate::config::Config;
use crate::engine::LoginRequest;
use crate::user_directory::{DirectoryUnavailable, UserDirectory};
use crate::varlink::connection_limits::Cause;
use std::net::IpAddr;
use tokio::net::UnixStream;
use totp_core::policy::{Facts, Peer as Speaker, RemoteHost, SshAuth};
use totp_core::{Origin, UserName};
use totp_wire::login::Attempt;

/// The process on the other end, by its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its uid when it connected. This alone decides.
    pub(crate) uid: u32,
    /// Its pid, for the audit: a pid proves nothing.
    pub(crate) pid: Option<i32>,
}

/// Why an attempt is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The peer may not ask for this user or service.
    Denied,
    /// A directory does not answer.
    Stuck,
}

impl From<DirectoryUnavailable> for NotTaken {
    fn from(_: DirectoryUnavailable) -> Self {
        Self::Stuck
    }
}

impl Peer {
    /// The peer of a connection. `None`: the kernel does not say who it is.
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        Some(Self { uid: credentials.uid(), pid: credentials.pid() })
    }

    /// Where something comes from that this peer does for itself.
    pub(crate) fn from(self) -> EventSource {
        EventSource { peer_uid: Some(self.uid), peer_pid: self.pid, ..EventSource::default() }
    }
}

/// Whether `uid` may speak for others at all, so that it is not counted as one unprivileged user.
pub(crate) fn speaks_for_others(uid: u32, config: Option<&Config>) -> bool {
    uid == 0 || config.is_some_and(|c| c.trusted_peers.iter().any(|peer| peer.uid == uid))
}

/// What is believed of an attempt.
///
/// Root's programs are believed, which is not the same as trusted: anybody can start a setuid one, so that what
/// counts is its real uid. A trusted peer is believed for the services the configuration lets it claim; anybody else
/// asks for their own uid only, and nothing they say about where they come from counts.
pub(crate) async fn authorise(
    peer: Peer,
    attempt: &Attempt,
    id: String,
    config: &Config,
    users: &UserDirectory,
) -> Result<LoginRequest, NotTaken> {
    if peer.uid == 0 {
        return Ok(from_trusted_peer(peer, Speaker::Root, attempt, id, config));
    }
    if let Some(trusted) = config.trusted_peers.iter().find(|p| p.uid == peer.uid) {
        let service = attempt.service.as_deref().unwrap_or_default();
        if trusted.services.iter().any(|s| s == service) {
            return Ok(from_trusted_peer(peer, Speaker::Trusted(peer.uid), attempt, id, config));
        }
    }
    let name = UserName::parse(&attempt.user).map_err(|_| NotTaken::Denied)?;
    if !users.is_name_of(&name, peer.uid).await? {
        return Err(NotTaken::Denied);
    }
    Ok(from_own_uid(peer, &name, attempt, id))
}

/// The same for an attempt that is only supposed, and whose peer's uid nobody asks for its name. `None` when that
/// peer could not ask for such a user.
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
    // What it claims of its session is nothing to go by; whether it can show lines is its own affair.
    let silent = attempt.silent == Some(true);
    let origin = Origin::OwnProcess;
    LoginRequest { user: name, origin, from, id, facts, audit_session: None, silent, converses: false }
}

/// The service that `totpd verify` of root names.
const OWN_SERVICE: &str = "totpd";

fn from_trusted_peer(
    peer: Peer,
    speaker: Speaker,
    attempt: &Attempt,
    id: String,
    config: &Config,
) -> LoginRequest {
    let by_root = speaker == Speaker::Root;
    let from = source(peer, attempt, by_root);
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
        // As `totpd confirm`: what an administrator mistypes locks nobody's login.
        (RemoteHost::Local, None) if by_root && service == OWN_SERVICE => {
            Origin::Client("(verify)".to_owned())
        }
        // A name proves nothing. xrdp names nobody: whoever that is, they may come over the network.
        (RemoteHost::NameOnly | RemoteHost::Local, _) => Origin::Unproven,
    };
    let silent = attempt.silent == Some(true);
    LoginRequest {
        user: attempt.user.clone(),
        origin,
        // Several questions and lines between them: not in one line, nor where nothing is shown or asked.
        converses: !silent && attempt.combined != Some(true) && attempt.unasked != Some(true),
        silent,
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

/// The audit session that a grant may be remembered by: of a program that a user of this machine started. A daemon
/// carries the session of whoever started it. The login uid vetoes and never helps, since anybody can set an unset one.
fn audit_session(attempt: &Attempt, caller: Option<u32>) -> Option<u32> {
    let caller = caller?;
    attempt.audit_session.filter(|_| attempt.login_uid.is_none_or(|uid| uid == caller))
}

/// Whether who started the program asks for themselves. A directory that does not answer proves nothing.
pub(crate) async fn is_oneself(asker: &LoginRequest, caller: u32, users: &UserDirectory) -> bool {
    let Ok(name) = UserName::parse(&asker.user) else { return false };
    users.is_name_of(&name, caller).await.unwrap_or(false)
}

/// Where an attempt of root's or a trusted program comes from, as it says.
pub(crate) fn source(peer: Peer, attempt: &Attempt, by_root: bool) -> EventSource {
    let kept = |text: &Option<String>| text.as_deref().filter(|t| !t.is_empty()).map(audit::field);
    // A module that does not say its real uid may be anybody's: then nobody is known.
    let caller_uid = attempt.real_uid.filter(|uid| by_root && *uid != 0);
    EventSource {
        service: kept(&attempt.service),
        ruser: kept(&attempt.ruser),
        caller_uid,
        login_uid: attempt.login_uid.filter(|_| by_root),
        // Who started a setuid program sits at this machine, whatever remote host it names.
        rhost: kept(&attempt.rhost).filter(|_| caller_uid.is_none()),
        tty: kept(&attempt.tty),
        ..peer.from()
    }
}

/// Who causes an attempt for `user`, for the limits of connections.
pub(crate) fn cause(user: &str, from: &EventSource) -> Cause {
    match (&from.rhost, from.caller_uid) {
        (Some(rhost), _) => Cause::Remote { user: user.to_owned(), rhost: rhost.clone() },
        (None, Some(uid)) => Cause::Caller(uid),
        (None, None) => Cause::Service(from.service.clone().unwrap_or_default()),
    }
}

/// An address as PAM_RHOST has it: a link-local one perhaps with its scope (`fe80::1%eth0`).
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
mod tests {
    use super::*;
    use std::path::Path;

    fn attempt(user: &str) -> Attempt {
        Attempt {
            user: user.into(),
            service: Some("sshd".into()),
            ruser: Some("mallory".into()),
            rhost: Some("192.0.2.1".into()),
            tty: Some("ssh".into()),
            ssh_auth: Some(vec!["publickey ssh-ed25519 AAAA".into()]),
            audit_session: Some(7),
            first_factor: Some(true),
            ..Attempt::default()
        }
    }

    async fn believe(uid: u32, attempt: &Attempt) -> Result<LoginRequest, NotTaken> {
        let config = Config::parse(
            "[[trusted_peer]]\nuid = 116\nservices = [\"dovecot\"]",
            Path::new("/etc/totpd/totpd.toml"),
        )
        .unwrap();
        let peer = Peer { uid, pid: None };
        authorise(peer, attempt, "1".into(), &config, &UserDirectory::default()).await
    }

    #[tokio::test]
    async fn root_is_believed_about_remote_hosts() {
        let asker = believe(0, &attempt("anybody")).await.unwrap();
        assert_eq!(asker.origin, Origin::Remote("192.0.2.1".parse().unwrap()));
        assert_eq!(asker.from.ssh_methods.as_deref(), Some("publickey"));
        assert_eq!(asker.facts.rhost, RemoteHost::Address("192.0.2.1".parse().unwrap()));
        let named = Attempt { rhost: Some("home.example".into()), ..attempt("anybody") };
        assert_eq!(believe(0, &named).await.unwrap().origin, Origin::Unproven);
        // Whoever is logged in here can connect from these.
        let own = Attempt { own_address: Some(true), ..attempt("anybody") };
        assert_eq!(believe(0, &own).await.unwrap().origin, Origin::ThisHost);
        for loopback in ["127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            let own = Attempt { rhost: Some(loopback.into()), ..attempt("anybody") };
            assert_eq!(believe(0, &own).await.unwrap().origin, Origin::ThisHost, "{loopback}");
        }
    }

    #[tokio::test]
    async fn who_started_a_program_counts_and_not_what_it_says() {
        // As polkit's helper does when eve runs it with alice as its argument.
        let eve = Attempt {
            real_uid: Some(7102),
            login_uid: Some(7101),
            ruser: Some("alice".into()),
            ssh_auth: Some(vec!["publickey".into()]),
            ..attempt("alice")
        };
        let asker = believe(0, &eve).await.unwrap();
        assert_eq!((asker.origin, asker.facts.caller), (Origin::Caller(7102), Some(7102)));
        assert_eq!((asker.from.caller_uid, asker.from.login_uid), (Some(7102), Some(7101)));
        // She sits here, whatever address and key the program names.
        assert_eq!((asker.facts.rhost, asker.from.rhost), (RemoteHost::Local, None));
        assert!(asker.facts.ssh.is_empty() && asker.facts.ruser.is_none());
        assert_eq!(asker.audit_session, None, "her session says another user");
        let own = Attempt { real_uid: Some(7101), ..eve };
        assert_eq!(believe(0, &own).await.unwrap().audit_session, Some(7));
        let unset = Attempt { login_uid: None, ..own };
        assert_eq!(believe(0, &unset).await.unwrap().audit_session, Some(7));
    }

    #[tokio::test]
    async fn a_daemon_without_a_remote_host_is_a_stranger_or_a_console() {
        let by = |service: &str, rhost: Option<&str>, real_uid| Attempt {
            service: Some(service.into()),
            rhost: rhost.map(str::to_owned),
            real_uid,
            ..attempt("alice")
        };
        for (service, rhost, real_uid, expected) in [
            ("xrdp-sesman", None, Some(0), Origin::Unproven),
            ("login", Some(""), Some(0), Origin::Console),
            ("gdm-password", None, Some(0), Origin::Console),
            ("sudo", None, Some(0), Origin::Unproven),
            // An older module says no uid: nobody is known.
            ("sudo", None, None, Origin::Unproven),
            ("totpd", None, Some(0), Origin::Client("(verify)".into())),
        ] {
            let asker = believe(0, &by(service, rhost, real_uid)).await.unwrap();
            assert_eq!(asker.origin, expected, "{service}");
            assert_eq!((asker.facts.caller, asker.audit_session), (None, None), "{service}");
        }
    }

    #[tokio::test]
    async fn each_attempt_is_counted_by_what_caused_it() {
        let caused = async |real_uid, rhost: Option<&str>| {
            let told =
                Attempt { real_uid: Some(real_uid), rhost: rhost.map(str::to_owned), ..attempt("alice") };
            cause("alice", &believe(0, &told).await.unwrap().from)
        };
        let remote = Cause::Remote { user: "alice".into(), rhost: "192.0.2.1".into() };
        assert_eq!(caused(0, Some("192.0.2.1")).await, remote);
        assert_eq!(caused(7102, Some("192.0.2.1")).await, Cause::Caller(7102));
        assert_eq!(caused(0, None).await, Cause::Service("sshd".into()));
    }

    #[tokio::test]
    async fn a_user_speaks_for_himself_and_what_he_claims_is_dropped() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
        let asker = believe(nobody, &attempt("nobody")).await.unwrap();
        assert_eq!(asker.origin, Origin::OwnProcess);
        assert_eq!(asker.from.ruser.as_deref(), Some("nobody"));
        let from = &asker.from;
        assert!(from.service.is_none() && from.rhost.is_none() && from.tty.is_none());
        assert!(from.ssh_methods.is_none() && from.ssh_key.is_none());
        let facts = &asker.facts;
        assert_eq!((facts.peer, facts.rhost), (Speaker::SelfService, RemoteHost::Local));
        assert!(facts.ssh.is_empty() && facts.service.is_none() && !facts.first_factor_passed);
        assert!(asker.audit_session.is_none() && !asker.converses);
        for other in ["root", "no-such-user", "", "no\nbody"] {
            assert_eq!(believe(nobody, &attempt(other)).await.map(drop), Err(NotTaken::Denied), "{other}");
        }
    }

    #[tokio::test]
    async fn a_trusted_peer_is_believed_for_its_services_alone() {
        let dovecot = Attempt { service: Some("dovecot".into()), ..attempt("anybody") };
        assert!(believe(116, &dovecot).await.is_ok());
        assert_eq!(believe(116, &attempt("anybody")).await.map(drop), Err(NotTaken::Denied));
        let none = Attempt { service: None, ..attempt("anybody") };
        assert_eq!(believe(116, &none).await.map(drop), Err(NotTaken::Denied));
    }

    #[tokio::test]
    async fn an_audit_session_counts_from_root_alone() {
        let dovecot = Attempt { service: Some("dovecot".into()), real_uid: Some(5001), ..attempt("anybody") };
        let asker = believe(116, &dovecot).await.unwrap();
        assert_eq!((asker.audit_session, asker.facts.caller), (None, None));
    }

    #[tokio::test]
    async fn a_name_that_begins_like_an_address_is_a_name() {
        for name in ["10.0.0.1%evil.example", "::1%", "2001:db8::1%evil.example"] {
            let named = Attempt { rhost: Some(name.into()), ..attempt("anybody") };
            assert_eq!(believe(0, &named).await.unwrap().facts.rhost, RemoteHost::NameOnly, "{name}");
        }
    }

    #[tokio::test]
    async fn a_supposed_user_peer_is_never_explained_as_root() {
        let config = Config::parse("", Path::new("/etc/totpd/totpd.toml")).unwrap();
        let supposed = |user: &str| simulate(Peer { uid: 1000, pid: None }, &attempt(user), &config);
        assert!(supposed("no/name").is_none());
        assert_eq!(supposed("alice").map(|asker| asker.facts.peer), Some(Speaker::SelfService));
    }
}
