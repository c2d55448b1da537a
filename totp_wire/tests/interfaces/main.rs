//! The interface files, read by a Varlink parser that is not ours, say what the Rust types say.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod samples;

use samples::{daemon_replies, enrolled, given, import, page, secret, staged, user};
use serde::Serialize;
use serde_json::{Value, json};
use totp_wire::{Method, admin, login, self_service, service};
use varlink_parser::{IDL, VEnum, VStruct, VStructOrEnum, VType, VTypeExt};

fn parse(text: &'static str) -> IDL<'static> {
    IDL::try_from(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Every field of the interface stands in the value and the other way round, and is of its type.
fn check_struct(idl: &IDL<'_>, at: &str, fields: &VStruct<'_>, value: &Value) {
    let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
    for field in &fields.elts {
        let at = format!("{at}.{}", field.name);
        let value = object.get(field.name).unwrap_or_else(|| panic!("{at} is missing in the Rust type"));
        check(idl, &at, &field.vtype, value);
    }
    for name in object.keys() {
        let known = fields.elts.iter().any(|f| f.name == name);
        assert!(known, "{at}.{name} is missing in the interface");
    }
}

fn check(idl: &IDL<'_>, at: &str, expected: &VTypeExt<'_>, value: &Value) {
    match expected {
        VTypeExt::Option(inner) => check(idl, at, inner, value),
        VTypeExt::Array(inner) => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no list"));
            assert!(!items.is_empty(), "{at}: the sample shows no item");
            for item in items {
                check(idl, at, inner, item);
            }
        }
        VTypeExt::Dict(_) => panic!("{at}: no map is used"),
        VTypeExt::Plain(plain) => check_plain(idl, at, plain, value),
    }
}

fn check_plain(idl: &IDL<'_>, at: &str, expected: &VType<'_>, value: &Value) {
    match expected {
        VType::Bool => assert!(value.is_boolean(), "{at}: {value}"),
        VType::Int => assert!(value.is_i64() || value.is_u64(), "{at}: {value}"),
        VType::String => assert!(value.is_string(), "{at}: {value}"),
        VType::Object => assert!(value.is_object(), "{at}: {value}"),
        VType::Float => panic!("{at}: it is not used"),
        VType::Struct(fields) => check_struct(idl, at, fields, value),
        VType::Enum(words) => check_word(at, words, value),
        VType::Typename(name) => match &idl.typedefs[name].elt {
            VStructOrEnum::VStruct(fields) => check_struct(idl, at, fields, value),
            VStructOrEnum::VEnum(words) => check_word(at, words, value),
        },
    }
}

fn check_word(at: &str, words: &VEnum<'_>, value: &Value) {
    assert!(words.elts.contains(&value.as_str().unwrap_or_default()), "{at}: {value} is no word of it");
}

fn check_method<M: Method>(idl: &IDL<'_>, calls: &[M], replies: &[M::Reply]) {
    let name = M::NAME.strip_prefix(&format!("{}.", idl.name)).unwrap();
    let method = idl.methods.get(name).unwrap_or_else(|| panic!("{name} is missing in the interface"));
    for call in calls {
        check_struct(idl, &format!("{name}(in)"), &method.input, &serde_json::to_value(call).unwrap());
    }
    for reply in replies {
        check_struct(idl, &format!("{name}(out)"), &method.output, &serde_json::to_value(reply).unwrap());
    }
}

/// Every word of an interface's enum is a variant of the Rust type, and the other way round.
fn words<T: Serialize>(variants: &[T]) -> Vec<String> {
    variants.iter().map(|v| serde_json::to_value(v).unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_login_types_match_the_interface_file() {
    use login::{
        Accept, Answer, Attempt, Begin, Message, Prompt, RejectedInput, Step, StepReply, Style, Verdict,
    };
    let idl = parse(login::DESCRIPTION);
    let step = |style, accept, verdict| StepReply {
        step: Step {
            id: "1".into(),
            messages: vec![Message { style, text: secret() }],
            prompt: Some(Prompt { text: "x".into(), echo: false, accept, max_len: 64, digits: 6 }),
            verdict: Some(verdict),
            known: Some(true),
        },
    };
    let replies = [
        step(Style::Info, Accept::Code, Verdict::Granted),
        step(Style::Error, Accept::Text, Verdict::Exempt),
        step(Style::Info, Accept::Confirm, Verdict::Denied),
    ];
    let attempt = Attempt {
        user: "alice".into(),
        service: Some("sshd".into()),
        ruser: Some("root".into()),
        rhost: Some("192.0.2.1".into()),
        tty: Some("ssh".into()),
        ssh_auth: Some(vec!["publickey".into()]),
        real_uid: Some(1),
        login_uid: Some(1),
        audit_session: Some(1),
        silent: Some(false),
        first_factor: Some(true),
        combined: Some(false),
        tries: Some(1),
        unasked: Some(true),
        own_address: Some(true),
        started: Some(1),
        parent: Some(login::Process { pid: 1, started: 1 }),
    };
    check_method(&idl, &[Begin { attempt, remaining_ms: Some(1) }], &replies);
    let answers = [RejectedInput::Empty, RejectedInput::Shape, RejectedInput::HostJunk]
        .map(|unusable| Answer { text: Some(secret()), unusable: Some(unusable), remaining_ms: Some(1) });
    check_method(&idl, &answers, &replies);
    assert_eq!(idl.methods.len(), 2);
    assert_eq!(words(&[Accept::Code, Accept::Text, Accept::Confirm]).len(), 3);
    for error in [login::BUSY, login::TIMED_OUT, login::STORE_UNAVAILABLE, login::OUT_OF_ORDER] {
        assert!(idl.errors.contains_key(error.rsplit('.').next().unwrap()), "{error}");
    }
    assert_eq!(idl.errors.len(), 4);
}

#[test]
fn the_self_types_match_the_interface_file() {
    use self_service::*;
    let idl = parse(DESCRIPTION);
    let statuses = [admin::State::None, admin::State::Pending, admin::State::Active];
    check_method(
        &idl,
        &[Status {}],
        &statuses.map(|s| admin::StatusReply { status: user(s), clock_behind: Some(1) }),
    );
    let (label, add) = (Some("safe".to_owned()), Some(true));
    let enroll =
        Enroll { ticket: Some(secret()), code: Some(secret()), lifetime: Some(1), name: label.clone(), add };
    check_method(&idl, &[enroll], &[enrolled()]);
    let confirmed = admin::ConfirmReply { confirmed: false, phone_offset: Some(-30), digits: Some(8) };
    check_method(&idl, &[Confirm { code: secret() }], &[confirmed]);
    let codes = admin::RecoveryCodesReply { recovery_codes: vec![secret()], staged: Some(staged()) };
    let (code, ticket) = (Some(secret()), Some(secret()));
    check_method(&idl, &[RecoveryCodes { code: code.clone(), ticket: ticket.clone() }], &[codes]);
    let revoked = admin::RevokeReply { revoked: true, staged: Some(staged()) };
    check_method(&idl, &[Revoke { code, ticket, name: label }], &[revoked]);
    check_method(&idl, &[Cancel { code: secret() }], &[admin::CancelReply { cancelled: staged() }]);
    check_method(&idl, &[Forget {}], &[admin::ForgetReply { forgotten: 1 }]);
    check_method(&idl, &[History { before: Some(1), since: Some(1), limit: Some(1) }], &[page()]);
    assert_eq!(idl.methods.len(), 8);
    let errors = [
        NO_NAME,
        NOT_ENROLLED,
        CODE_NEEDED,
        TICKET_NEEDED,
        REFUSED,
        ENROLLMENT_DISABLED,
        UID_CHANGED,
        STORE_UNAVAILABLE,
        BUSY,
        ALREADY_STAGED,
        CANCELLED_TWICE,
        NOTHING_STAGED,
        NOT_RIPE,
        NO_PLACE,
    ];
    for error in errors {
        assert!(idl.errors.contains_key(error.rsplit('.').next().unwrap()), "{error}");
    }
    assert_eq!(idl.errors.len(), errors.len());
}

/// The methods that make and confirm a factor.
fn check_enrollment(idl: &IDL<'_>) {
    use admin::*;
    let name = || "alice".to_owned();
    let enroll = Enroll {
        user: name(),
        lifetime: Some(1),
        issuer: Some("x".into()),
        algorithm: Some("SHA1".into()),
        digits: Some(6),
        period: Some(30),
        given: Some(given()),
        name: Some("safe".into()),
        add: Some(true),
    };
    check_method(idl, &[enroll], &[EnrollReply { codes_from: Some(1), ..enrolled() }]);
    let imported = [State::Pending, State::Active].map(|state| ImportReply {
        state,
        totp_id: Some(name()),
        recovery_codes: vec![secret()],
        expires_at: Some(1),
        codes_from: 1,
    });
    check_method(idl, &[import()], &imported);
    let confirmed = ConfirmReply { confirmed: false, phone_offset: Some(-30), digits: Some(8) };
    check_method(idl, &[Confirm { user: name(), code: secret() }], &[confirmed]);
}

/// The methods that show users.
fn check_users(idl: &IDL<'_>) {
    use admin::*;
    let name = || "alice".to_owned();
    let statuses = [State::None, State::Pending, State::Active]
        .map(|s| StatusReply { status: user(s), clock_behind: Some(1) });
    check_method(idl, &[Status { user: name() }], &statuses);
    let page = ListReply { users: vec![user(State::Active)], clock_behind: Some(1), next: Some(name()) };
    check_method(idl, &[List { after: Some(name()), limit: Some(1) }], &[page]);
}

#[test]
fn the_admin_types_match_the_interface_file() {
    use admin::*;
    let idl = parse(DESCRIPTION);
    let name = || "alice".to_owned();
    let replies = daemon_replies();
    check_method(&idl, &[Daemon {}], &replies);
    check_method(&idl, &[Accept {}], &[AcceptReply { reopens: true, withdrawn: 1 }]);
    let copy = BackupReply {
        file: name(),
        size: 1,
        state_dir: name(),
        store_id: name(),
        counter: 1,
        generation: name(),
        time: 1,
    };
    check_method(&idl, &[Backup {}], &[copy]);
    check_enrollment(&idl);
    check_users(&idl);
    check_method(
        &idl,
        &[Revoke { user: name(), name: Some(name()) }],
        &[RevokeReply { revoked: true, staged: None }],
    );
    check_method(&idl, &[Unlock { user: name() }], &[UnlockReply { unlocked: true }]);
    let codes = RecoveryCodesReply { recovery_codes: vec![secret()], staged: None };
    check_method(&idl, &[RecoveryCodes { user: name() }], &[codes]);
    let ticket = TicketReply { user: name(), ticket: secret(), expires_at: 1 };
    check_method(
        &idl,
        &[Ticket { user: name(), lifetime: Some(1), lost: Some(true), name: Some(name()) }],
        &[ticket],
    );
    let passcode = PasscodeReply { user: name(), passcode: secret(), expires_at: 1 };
    check_method(&idl, &[Passcode { user: name(), lifetime: Some(1) }], &[passcode]);
    let cancelled = CancelPasscodeReply { cancelled: true };
    check_method(&idl, &[CancelPasscode { user: name() }], &[cancelled]);
    check_method(&idl, &[Forget { user: name() }], &[ForgetReply { forgotten: 1 }]);
    check_method(&idl, &[Cancel { user: name() }], &[CancelReply { cancelled: staged() }]);
    check_method(&idl, &[TrustClock {}], &[TrustClockReply {}]);
    let added = AddClientReply { project_id: name(), secret: secret(), secret_id: name() };
    check_method(&idl, &[AddClient { name: name(), scope: name() }], &[added]);
    let client =
        ClientSecret { name: name(), scope: name(), secret_id: name(), created_at: 1, used_at: Some(1) };
    let clients = ListClientsReply { project_id: name(), clients: vec![client], next: Some(name()) };
    check_method(&idl, &[ListClients { after: Some(name()) }], &[clients]);
    let revoke = RevokeClient { name: name(), secret_id: Some(name()) };
    check_method(&idl, &[revoke], &[RevokeClientReply { revoked: 1 }]);
    let history = History { user: Some(name()), before: Some(1), since: Some(1), limit: Some(1) };
    check_method(&idl, &[history], &[page()]);
    let explain = Explain {
        user: name(),
        service: name(),
        ruser: Some(name()),
        rhost: Some(name()),
        ssh_auth: Some(vec![name()]),
        first_factor: Some(true),
        peer_uid: Some(0),
        at: Some(1),
    };
    let explained = |fate| ExplainReply {
        checked: vec![Checked { rule: name(), decides: true, mismatch: Some(name()) }],
        action: name(),
        mode: name(),
        subject: name(),
        first_factor: Some(name()),
        outcome: fate,
        reason: Some(name()),
        would: Some(name()),
        remember: Some(1),
        obstacles: Some(vec![name()]),
    };
    let fates = [
        ExpectedOutcome::Asked,
        ExpectedOutcome::AskedAndPassed,
        ExpectedOutcome::Exempt,
        ExpectedOutcome::Enrolled,
        ExpectedOutcome::Refused,
    ]
    .map(explained);
    check_method(&idl, &[explain], &fates);
    assert_eq!(idl.methods.len(), 22);
    let errors = [
        NO_SUCH_USER,
        NOT_ENROLLED,
        ALREADY_ENROLLED,
        UID_CHANGED,
        STORE_UNAVAILABLE,
        BUSY,
        NOT_RIPE,
        NOTHING_STAGED,
        NO_PLACE,
        PROTECTED_USER,
    ];
    for error in errors {
        assert!(idl.errors.contains_key(error.rsplit('.').next().unwrap()), "{error}");
    }
    assert_eq!(idl.errors.len(), errors.len());
}

#[test]
fn the_service_types_match_the_interface_file() {
    use service::{Description, GetInfo, GetInterfaceDescription, Info};
    let idl = parse(service::DESCRIPTION);
    let info: Info = serde_json::from_value(json!({
        "vendor": "x", "product": "x", "version": "x", "url": "x", "interfaces": ["x"]
    }))
    .unwrap();
    check_method(&idl, &[GetInfo {}], &[info]);
    let call = GetInterfaceDescription { interface: "x".into() };
    check_method(&idl, &[call], &[Description { description: "x".into() }]);
}

#[test]
fn newer_replies_and_older_calls_are_read() {
    let step = json!({"step": {"id": "1", "messages": [], "verdict": "denied", "hint": {"new": true}}});
    assert!(serde_json::from_value::<login::StepReply>(step).is_ok());
    assert!(serde_json::from_value::<login::Begin>(json!({"attempt": {"user": "alice"}})).is_ok());
}
