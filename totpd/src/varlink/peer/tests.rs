//! What is believed of a peer.

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

async fn authorised(uid: u32, attempt: &Attempt) -> Result<LoginRequest, NotAuthorised> {
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
    let request = authorised(0, &attempt("anybody")).await.unwrap();
    assert_eq!(request.origin, Origin::Remote("192.0.2.1".parse().unwrap()));
    assert_eq!(request.from.ssh_methods.as_deref(), Some("publickey"));
    assert_eq!(request.facts.rhost, RemoteHost::Address("192.0.2.1".parse().unwrap()));
    let named = Attempt { rhost: Some("home.example".into()), ..attempt("anybody") };
    assert_eq!(authorised(0, &named).await.unwrap().origin, Origin::Unproven);
    // Any user who is logged in here can connect from these.
    let own = Attempt { own_address: Some(true), ..attempt("anybody") };
    assert_eq!(authorised(0, &own).await.unwrap().origin, Origin::ThisHost);
    for loopback in ["127.0.0.9", "::1", "::ffff:127.0.0.1"] {
        let own = Attempt { rhost: Some(loopback.into()), ..attempt("anybody") };
        assert_eq!(authorised(0, &own).await.unwrap().origin, Origin::ThisHost, "{loopback}");
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
    let request = authorised(0, &eve).await.unwrap();
    assert_eq!((request.origin, request.facts.caller), (Origin::Caller(7102), Some(7102)));
    assert_eq!((request.from.caller_uid, request.from.login_uid), (Some(7102), Some(7101)));
    // Eve sits here, whatever address and key the program names.
    assert_eq!((request.facts.rhost, request.from.rhost), (RemoteHost::Local, None));
    assert!(request.facts.ssh.is_empty() && request.facts.ruser.is_none());
    assert_eq!(request.audit_session, None, "the session is another user's");
    let own = Attempt { real_uid: Some(7101), ..eve };
    assert_eq!(authorised(0, &own).await.unwrap().audit_session, Some(7));
    let unset = Attempt { login_uid: None, ..own };
    assert_eq!(authorised(0, &unset).await.unwrap().audit_session, Some(7));
}

#[tokio::test]
async fn a_daemon_without_a_remote_host_is_unproven_or_a_console() {
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
        // An older module sends no uid: there is no caller.
        ("sudo", None, None, Origin::Unproven),
        ("totpd", None, Some(0), Origin::Client("(verify)".into())),
    ] {
        let request = authorised(0, &by(service, rhost, real_uid)).await.unwrap();
        assert_eq!(request.origin, expected, "{service}");
        assert_eq!((request.facts.caller, request.audit_session), (None, None), "{service}");
    }
}

#[tokio::test]
async fn each_attempt_is_counted_by_what_caused_it() {
    let caused = async |real_uid, rhost: Option<&str>| {
        let attempt =
            Attempt { real_uid: Some(real_uid), rhost: rhost.map(str::to_owned), ..attempt("alice") };
        cause("alice", &authorised(0, &attempt).await.unwrap().from)
    };
    let remote = Cause::Remote { user: "alice".into(), rhost: "192.0.2.1".into() };
    assert_eq!(caused(0, Some("192.0.2.1")).await, remote);
    assert_eq!(caused(7102, Some("192.0.2.1")).await, Cause::Caller(7102));
    assert_eq!(caused(0, None).await, Cause::Service("sshd".into()));
}

#[tokio::test]
async fn users_ask_for_themselves_and_their_claims_are_dropped() {
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    let request = authorised(nobody, &attempt("nobody")).await.unwrap();
    assert_eq!(request.origin, Origin::OwnProcess);
    assert_eq!(request.from.ruser.as_deref(), Some("nobody"));
    let from = &request.from;
    assert!(from.service.is_none() && from.rhost.is_none() && from.tty.is_none());
    assert!(from.ssh_methods.is_none() && from.ssh_key.is_none());
    let facts = &request.facts;
    assert_eq!((facts.peer, facts.rhost), (Speaker::SelfService, RemoteHost::Local));
    assert!(facts.ssh.is_empty() && facts.service.is_none() && !facts.first_factor_passed);
    assert!(request.audit_session.is_none() && !request.converses);
    for other in ["root", "no-such-user", "", "no\nbody"] {
        assert_eq!(
            authorised(nobody, &attempt(other)).await.map(drop),
            Err(NotAuthorised::Denied),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_trusted_peer_is_believed_only_for_its_services() {
    let dovecot = Attempt { service: Some("dovecot".into()), ..attempt("anybody") };
    assert!(authorised(116, &dovecot).await.is_ok());
    assert_eq!(authorised(116, &attempt("anybody")).await.map(drop), Err(NotAuthorised::Denied));
    let none = Attempt { service: None, ..attempt("anybody") };
    assert_eq!(authorised(116, &none).await.map(drop), Err(NotAuthorised::Denied));
}

#[tokio::test]
async fn an_audit_session_counts_only_from_root() {
    let dovecot = Attempt { service: Some("dovecot".into()), real_uid: Some(5001), ..attempt("anybody") };
    let request = authorised(116, &dovecot).await.unwrap();
    assert_eq!((request.audit_session, request.facts.caller), (None, None));
}

#[tokio::test]
async fn a_name_that_begins_like_an_address_is_a_name() {
    for name in ["10.0.0.1%evil.example", "::1%", "2001:db8::1%evil.example"] {
        let named = Attempt { rhost: Some(name.into()), ..attempt("anybody") };
        assert_eq!(authorised(0, &named).await.unwrap().facts.rhost, RemoteHost::NameOnly, "{name}");
    }
}

#[tokio::test]
async fn a_supposed_user_peer_is_never_explained_as_root() {
    let config = Config::parse("", Path::new("/etc/totpd/totpd.toml")).unwrap();
    let supposed = |user: &str| simulate(Peer { uid: 1000, pid: None }, &attempt(user), &config);
    assert!(supposed("no/name").is_none());
    assert_eq!(supposed("alice").map(|request| request.facts.peer), Some(Speaker::SelfService));
}
