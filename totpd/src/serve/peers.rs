//! Who speaks, and what of it is believed (invariant 6).

use crate::audit::{self, From};
use crate::config::Config;
use crate::engine::Asker;
use crate::users::{Stuck, Users};
use std::net::IpAddr;
use totp_core::policy::{Facts, Peer as Speaker, Place, SshAuth};
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

impl std::convert::From<Stuck> for NotTaken {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

impl Peer {
    /// Where something comes from that this peer does for itself.
    pub(crate) fn from(self) -> From {
        From { peer_uid: Some(self.uid), peer_pid: self.pid, ..From::default() }
    }
}

/// Whether `uid` may speak for others at all, so that it is not counted as one unprivileged user.
pub(crate) fn speaks_for_others(uid: u32, config: Option<&Config>) -> bool {
    uid == 0 || config.is_some_and(|c| c.trusted_peers.iter().any(|peer| peer.uid == uid))
}

/// What is believed of an attempt.
///
/// Root is believed; a trusted peer for the services the configuration lets it claim; anybody else asks for
/// their own uid only, and nothing they say about where they come from counts.
pub(crate) async fn believed(
    peer: Peer,
    attempt: &Attempt,
    id: String,
    config: &Config,
    users: &Users,
) -> Result<Asker, NotTaken> {
    if peer.uid == 0 {
        return Ok(told(peer, Speaker::Root, attempt, id));
    }
    if let Some(trusted) = config.trusted_peers.iter().find(|p| p.uid == peer.uid) {
        let service = attempt.service.as_deref().unwrap_or_default();
        if trusted.services.iter().any(|s| s == service) {
            return Ok(told(peer, Speaker::Trusted(peer.uid), attempt, id));
        }
    }
    let name = UserName::parse(&attempt.user).map_err(|_| NotTaken::Denied)?;
    if !users.is_name_of(&name, peer.uid).await? {
        return Err(NotTaken::Denied);
    }
    Ok(own(peer, &name, attempt, id))
}

/// The same for an attempt that is only supposed, and whose peer's uid nobody asks for its name. `None` when that
/// peer could not ask for such a user.
pub(crate) fn supposed(peer: Peer, attempt: &Attempt, config: &Config) -> Option<Asker> {
    let service = attempt.service.as_deref().unwrap_or_default();
    let trusted = config.trusted_peers.iter().find(|p| p.uid == peer.uid);
    let speaker = match (peer.uid, trusted) {
        (0, _) => Speaker::Root,
        (uid, Some(trusted)) if trusted.services.iter().any(|s| s == service) => Speaker::Trusted(uid),
        _ => return Some(own(peer, &UserName::parse(&attempt.user).ok()?, attempt, String::new())),
    };
    Some(told(peer, speaker, attempt, String::new()))
}

fn own(peer: Peer, name: &UserName, attempt: &Attempt, id: String) -> Asker {
    let name = name.to_string();
    let from = From { ruser: Some(name.clone()), ..peer.from() };
    let facts = Facts {
        user: name.clone(),
        ruser: Some(name.clone()),
        service: None,
        place: Place::Here,
        peer: Speaker::Own,
        ssh: Vec::new(),
        first_factor_passed: false,
    };
    // What it claims of its session is nothing to go by; whether it can show lines is its own affair.
    let silent = attempt.silent == Some(true);
    let (origin, own_address) = (Origin::Own, false);
    Asker { user: name, origin, from, id, facts, audit_session: None, silent, converses: false, own_address }
}

fn told(peer: Peer, speaker: Speaker, attempt: &Attempt, id: String) -> Asker {
    let kept = |text: &Option<String>| text.as_deref().filter(|t| !t.is_empty()).map(audit::field);
    let place = match attempt.rhost.as_deref() {
        None | Some("") => Place::Here,
        Some(rhost) => address(rhost).map_or(Place::Name, Place::Address),
    };
    let ssh: Vec<SshAuth> = attempt.ssh_auth.iter().flatten().map(|line| SshAuth::parse(line)).collect();
    let methods = (!ssh.is_empty()).then(|| {
        let methods: Vec<&str> = ssh.iter().map(|auth| auth.method.as_str()).collect();
        audit::field(&methods.join(","))
    });
    let from = From {
        service: kept(&attempt.service),
        ruser: kept(&attempt.ruser),
        rhost: kept(&attempt.rhost),
        tty: kept(&attempt.tty),
        ssh_methods: methods,
        ssh_key: ssh.iter().find_map(|auth| auth.fingerprint.clone()),
        ..peer.from()
    };
    // Under su the one who asks is not the one whose code is asked for: a stranger, who must neither lock the
    // user's own sudo nor profit from its successes.
    let another = from.ruser.as_deref().is_some_and(|ruser| ruser != attempt.user && ruser != "root");
    let origin = match place {
        Place::Here if another => Origin::Unproven,
        Place::Here => Origin::Local,
        Place::Address(address) => Origin::Remote(address),
        Place::Name => Origin::Unproven,
    };
    let silent = attempt.silent == Some(true);
    Asker {
        user: attempt.user.clone(),
        origin,
        // Several questions and lines between them: not in one line, nor where nothing is shown or asked.
        converses: !silent && attempt.combined != Some(true) && attempt.unasked != Some(true),
        silent,
        own_address: attempt.own_address == Some(true),
        audit_session: attempt.audit_session.filter(|_| speaker == Speaker::Root),
        facts: Facts {
            user: attempt.user.clone(),
            ruser: attempt.ruser.clone().filter(|ruser| !ruser.is_empty()),
            service: attempt.service.clone().filter(|service| !service.is_empty()),
            place,
            peer: speaker,
            ssh,
            first_factor_passed: attempt.first_factor == Some(true),
        },
        from,
        id,
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

    async fn believe(uid: u32, attempt: &Attempt) -> Result<Asker, NotTaken> {
        let config = Config::parse(
            "[[trusted_peer]]\nuid = 116\nservices = [\"dovecot\"]",
            Path::new("/etc/totpd/totpd.toml"),
        )
        .unwrap();
        let peer = Peer { uid, pid: None };
        believed(peer, attempt, "1".into(), &config, &Users::default()).await
    }

    #[tokio::test]
    async fn root_is_believed() {
        let asker = believe(0, &attempt("anybody")).await.unwrap();
        assert_eq!(asker.origin, Origin::Remote("192.0.2.1".parse().unwrap()));
        assert_eq!(asker.from.ssh_methods.as_deref(), Some("publickey"));
        assert_eq!(asker.facts.place, Place::Address("192.0.2.1".parse().unwrap()));
        for ruser in [None, Some("anybody".into()), Some("root".into())] {
            let local = Attempt { rhost: None, ruser, ..attempt("anybody") };
            assert_eq!(believe(0, &local).await.unwrap().origin, Origin::Local);
        }
        let su = Attempt { rhost: None, ..attempt("anybody") };
        assert_eq!(believe(0, &su).await.unwrap().origin, Origin::Unproven);
        let named = Attempt { rhost: Some("home.example".into()), ..attempt("anybody") };
        assert_eq!(believe(0, &named).await.unwrap().origin, Origin::Unproven);
    }

    #[tokio::test]
    async fn a_user_speaks_for_himself_and_what_he_claims_is_dropped() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
        let asker = believe(nobody, &attempt("nobody")).await.unwrap();
        assert_eq!(asker.origin, Origin::Own);
        assert_eq!(asker.from.ruser.as_deref(), Some("nobody"));
        let from = &asker.from;
        assert!(from.service.is_none() && from.rhost.is_none() && from.tty.is_none());
        assert!(from.ssh_methods.is_none() && from.ssh_key.is_none());
        let facts = &asker.facts;
        assert_eq!((facts.peer, facts.place), (Speaker::Own, Place::Here));
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
        let dovecot = Attempt { service: Some("dovecot".into()), ..attempt("anybody") };
        assert_eq!(believe(116, &dovecot).await.unwrap().audit_session, None);
    }

    #[tokio::test]
    async fn a_name_that_begins_like_an_address_is_a_name() {
        for name in ["10.0.0.1%evil.example", "::1%", "2001:db8::1%evil.example"] {
            let named = Attempt { rhost: Some(name.into()), ..attempt("anybody") };
            assert_eq!(believe(0, &named).await.unwrap().facts.place, Place::Name, "{name}");
        }
    }

    #[tokio::test]
    async fn a_supposed_user_peer_is_never_explained_as_root() {
        let config = Config::parse("", Path::new("/etc/totpd/totpd.toml")).unwrap();
        let supposed = |user: &str| supposed(Peer { uid: 1000, pid: None }, &attempt(user), &config);
        assert!(supposed("no/name").is_none());
        assert_eq!(supposed("alice").map(|asker| asker.facts.peer), Some(Speaker::Own));
    }
}
