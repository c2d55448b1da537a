//! One value of each type, with every field set.

use totp_wire::admin;
use totp_wire::text::SecretText;

pub(crate) fn secret() -> SecretText {
    SecretText::from("x".to_owned())
}

pub(crate) fn daemon_replies() -> [admin::DaemonReply; 2] {
    use admin::*;
    let name = || "alice".to_owned();
    let in_use = |in_use| Configuration { in_use, why: Some(name()), since: Some(1), saved: Some(1) };
    let daemon = |state, configuration| DaemonReply {
        state,
        why: Some("x".into()),
        version: "1".into(),
        store_id: Some("x".into()),
        http: Some("x".into()),
        log_lines_dropped: Some(1),
        log_lines_waiting: Some(1),
        clock_behind: Some(1),
        notice: Some("x".into()),
        configuration: Some(configuration),
        uptime: Some(1),
        now: Some(1),
        state_dir: Some("x".into()),
        overview: Some(Overview {
            size: 1,
            schema: 4,
            enrolled: 1,
            pending: 1,
            locked: 1,
            locked_users: vec![name()],
            tickets: 1,
            refused: 1,
            refused_at_least: true,
            refusals: vec![serde_json::value::RawValue::from_string("{}".into()).unwrap()],
        }),
    };
    [
        daemon(DaemonState::Serving, in_use(ConfigurationInUse::File)),
        daemon(DaemonState::Refusing, in_use(ConfigurationInUse::LastGood)),
    ]
}

pub(crate) fn user(state: admin::State) -> admin::User {
    admin::User {
        user: "alice".into(),
        state,
        totp_id: Some("totp-1".into()),
        authenticators: Some(vec![admin::Authenticator {
            totp_id: "totp-1".to_owned(),
            name: "work phone".to_owned(),
            since: Some(1),
        }]),
        pending_name: Some("safe".to_owned()),
        replacement_pending: false,
        replacement_expired: Some(1),
        expires_at: Some(1),
        recovery_codes_left: 10,
        remembered: 1,
        staged: Some(staged()),
        failures: 0,
        locks: vec![admin::Lock {
            class: "client".into(),
            client: Some("shop".into()),
            source: Some("x".into()),
            uid: Some(1),
            until: 1,
        }],
        uid: Some(1),
        host_user: Some(admin::HostUser::Changed),
        uid_now: Some(2),
        ticket_expires_at: Some(1),
        passcode_expires_at: Some(1),
        last_login: Some(1),
        damaged: Some(true),
    }
}

pub(crate) fn staged() -> admin::Staged {
    admin::Staged {
        change: "replace".into(),
        staged_at: 1,
        from: "this host".into(),
        ripens_at: 2,
        notice_shown: false,
        expires_at: 3,
    }
}

pub(crate) fn enrolled() -> admin::EnrollReply {
    admin::EnrollReply {
        user: "alice".into(),
        totp_id: "x".into(),
        secret: secret(),
        uri: secret(),
        recovery_codes: vec![secret()],
        expires_at: 1,
        discards: Some(true),
        name: Some("safe".to_owned()),
        replaces: true,
        staged: Some(staged()),
        recovery_codes_left: Some(9),
        codes_from: None,
    }
}

pub(crate) fn given() -> admin::GivenSecret {
    admin::GivenSecret { secret: secret(), allow_short: Some(true) }
}

pub(crate) fn import() -> admin::Import {
    admin::Import {
        user: "alice".into(),
        uid: Some(1),
        given: given(),
        algorithm: Some("SHA1".into()),
        digits: Some(6),
        period: Some(30),
        used_steps: Some(vec![1]),
        lifetime: Some(1),
        replace: Some(true),
        keep_revoked: Some(true),
        dry_run: Some(true),
    }
}

pub(crate) fn page() -> admin::HistoryReply {
    let event = serde_json::value::RawValue::from_string("{}".into()).unwrap();
    admin::HistoryReply { events: vec![event], next: Some(1) }
}
