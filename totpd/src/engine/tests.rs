//! The engine on a store in memory: what a commit that fails or whose end is not known must not do.

use super::*;
use crate::audit::{EventOutcome, EventSource, recorded_outcome};

use crate::engine::admin::Enrolled;
use crate::key::StoreKey;
use crate::store::HistoryQuery;
use crate::store::memory::Memory;
use std::path::Path;
use totp_core::new_factor::NewFactor;
use totp_core::otp::totp_at;
use totp_core::otpauth::OtpAuth;
use totp_core::policy::{Facts, Peer, RemoteHost};
use totp_core::{Origin, Typed};

/// An engine whose store is in this process. Its user is root, whom every host has.
struct Fixture {
    engine: Engine,
    store: Arc<Memory>,
    otpauth: OtpAuth,
}

fn root() -> UserName {
    UserName::parse("root").unwrap()
}

async fn enroll(engine: &Engine) -> Result<Enrolled, AccountError> {
    let totp = &engine.config().totp;
    let new = NewFactor { params: totp.params, lifetime: totp.pending, ..NewFactor::default() };
    engine.enroll(&root(), new, "host".into(), EventSource::default()).await
}

/// With an active factor.
async fn enrolled() -> Fixture {
    let store = Arc::new(Memory::new(100));
    let config = Config::parse("", Path::new("/etc/totpd/totpd.toml")).unwrap();
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let engine = Engine::new(Arc::clone(&store) as Arc<dyn Store>, sealer, Arc::default(), Arc::new(config));
    let otpauth = enroll(&engine).await.unwrap().otpauth;
    let code = totp_at(&otpauth.secret, otpauth.params, clock::now());
    let from = EventSource::default();
    let confirmed = engine.confirm(&root(), &code, &from, &default_commit_deadline()).await.unwrap();
    assert_eq!(confirmed, Confirmation::Confirmed);
    Fixture { engine, store, otpauth }
}

impl Fixture {
    /// A code that was not shown yet: the next time step's, which the window admits.
    fn next_code(&self) -> String {
        let next = clock::now().unix() + self.otpauth.params.period.seconds();
        totp_at(&self.otpauth.secret, self.otpauth.params, Time::from_unix(next))
    }

    async fn log_in(&self, code: &str) -> Result<AnswerOutcome, EngineError> {
        let facts = Facts {
            user: "root".into(),
            caller: None,
            ruser: None,
            service: Some("sshd".into()),
            rhost: RemoteHost::Address("192.0.2.7".parse().unwrap()),
            peer: Peer::Root,
            ssh: Vec::new(),
            first_factor_passed: true,
        };
        let request = LoginRequest {
            user: "root".into(),
            origin: Origin::Client("test".into()),
            from: EventSource::default(),
            id: "attempt".into(),
            facts,
            audit_session: None,
            silent: false,
            converses: true,
            ends: None,
        };
        let guard = default_commit_deadline();
        let BeginOutcome::Ask(mut pending) = self.engine.admit(request, &guard).await? else {
            panic!("a code is asked for")
        };
        let prepared = self.engine.prepare("root", EarlyRead::MayBeKept).await?;
        self.engine.login(&mut pending, prepared, Typed::parse(code), &guard).await
    }

    async fn outcomes(&self) -> Vec<Option<EventOutcome>> {
        let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
        let rows = self.store.history(query).await.unwrap();
        rows.iter().map(|row| recorded_outcome(&row.json)).collect()
    }
}

#[tokio::test]
async fn of_two_answers_with_one_code_one_is_granted() {
    let fixture = enrolled().await;
    let code = fixture.next_code();
    let (one, other) = tokio::join!(fixture.log_in(&code), fixture.log_in(&code));
    let outcomes = [one.unwrap(), other.unwrap()];
    let granted = outcomes.iter().filter(|outcome| matches!(outcome, AnswerOutcome::Granted(_)));
    assert_eq!(granted.count(), 1);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, AnswerOutcome::Refused)));
}

#[tokio::test]
async fn a_commit_that_fails_grants_nothing_and_uses_no_code() {
    let fixture = enrolled().await;
    let code = fixture.next_code();
    let before = fixture.outcomes().await;
    for error in [
        CommitError::StorageFull("full".into()),
        CommitError::Cancelled,
        CommitError::Unavailable("the disk failed".into()),
    ] {
        fixture.store.fail_next_commit(error.clone());
        assert_eq!(fixture.log_in(&code).await.unwrap_err(), EngineError::from(error));
        assert_eq!(fixture.outcomes().await, before);
    }
    assert!(matches!(fixture.log_in(&code).await.unwrap(), AnswerOutcome::Granted(_)));
}

#[tokio::test]
async fn a_commit_in_doubt_grants_nothing_and_its_code_is_used() {
    let fixture = enrolled().await;
    let code = fixture.next_code();
    // The store has it, and cannot say so.
    fixture.store.fail_next_commit(CommitError::InDoubt("the connection ended".into()));
    let answer = fixture.log_in(&code).await;
    assert_eq!(answer.unwrap_err(), EngineError::InDoubt("the connection ended".into()));
    assert!(matches!(fixture.log_in(&code).await.unwrap(), AnswerOutcome::Refused), "used");
}

#[tokio::test]
async fn an_enrollment_without_room_leaves_the_factor_in_use() {
    let fixture = enrolled().await;
    fixture.store.fail_next_commit(CommitError::StorageFull("full".into()));
    let refused = enroll(&fixture.engine).await.unwrap_err();
    assert_eq!(refused, AccountError::Unavailable("full".into()));
    assert!(matches!(fixture.log_in(&fixture.next_code()).await.unwrap(), AnswerOutcome::Granted(_)));
}
