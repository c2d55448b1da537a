//! A code of the phone, or a recovery code, judged for an application. What the application may get wrong is found
//! before the code is looked at: a bad argument uses up no code.

use super::super::withdrawals::withdrawals;
use super::sessions::{no_seal, row};
use super::{ApiRefusal, Caller, Engine, IssuedSession, SessionCredential};
use crate::audit::Event;
use crate::clock;
use crate::engine::audit_dedup::Kind;
use crate::engine::{EngineError, MOST_RACES};
use crate::os_random::Kernel;
use crate::store::{AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, SideWrite, Stored};
use serde_json::{Map, Value};
use std::sync::Arc;
use totp_core::session::{Minutes, Session, claims_fit};
use totp_core::{Account, Attempt, Origin, Outcome, Reason, Time, Typed, Verified, judge};

/// What is to come of a grant.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// A session of this length, or this length for the one that is shown.
    pub length: Option<Minutes>,
    /// The factor is added to this session.
    pub session: Option<SessionCredential>,
    /// These claims are merged into the session's.
    pub claims: Map<String, Value>,
}

/// A factor was shown, and that is on stable storage.
#[derive(Debug)]
pub struct Authenticated {
    /// The enrollment.
    pub totp_id: String,
    /// The user as he is now.
    pub user: Stored,
    /// The session, if one was wanted.
    pub session: Option<IssuedSession>,
    /// What was recorded.
    pub event: Box<Event>,
}

/// A session to be stored with the grant: a new one, or one that was read at this version.
type Draft = (Session, Option<u64>);

impl Engine {
    /// Judges a code, and makes the outcome durable with the session that was wanted, if any.
    ///
    /// # Errors
    /// [`ApiRefusal::Code`], [`ApiRefusal::RecoveryCode`] or [`ApiRefusal::Locked`] when the code was judged and refused; anything
    /// else has judged nothing and used up nothing.
    pub async fn authenticate(
        &self,
        caller: &Caller,
        user: &str,
        typed: Typed,
        wanted: &SessionOptions,
        ticket: &Arc<CommitGuard>,
    ) -> Result<Authenticated, ApiRefusal> {
        let found = self.user(user).await?.account;
        let _turn = self.turn_of(caller, found.display_name()).await?;
        // Keys are there before a code is used up for a session that nobody could sign.
        // Without a session none are needed: that a store's first keys are not made yet keeps nobody out.
        let keys = match wanted {
            SessionOptions { length: None, session: None, .. } => None,
            _ => Some(self.keyring().await?),
        };
        let recovery = matches!(typed, Typed::Recovery(_));
        let refused = |reason, locked_for| match reason {
            Reason::Locked => ApiRefusal::Locked(locked_for),
            reason if recovery => ApiRefusal::RecoveryCode(reason),
            reason => ApiRefusal::Code(reason),
        };
        let attempt = Attempt {
            from: format!("the application {}", caller.client),
            ..Attempt::plain(Origin::Client(caller.client.clone()), Ok(typed))
        };
        for _ in 0..MOST_RACES {
            let stored = self.load(AccountKey::Id(found.id.clone())).await.map_err(EngineError::from)?;
            let stored = stored.ok_or(ApiRefusal::UserNotFound)?;
            let as_stored = stored.account.clone();
            let (mut account, version) = self
                .open(stored)
                .ok_or_else(|| ApiRefusal::Unavailable("the user's record is damaged".to_owned()))?;
            let now = clock::now();
            fits(&account, &attempt)?;
            let shown = self.wanted_session(&account, wanted, now).await?;
            let mut event = caller.event("authenticate", account.display_name(), Some(&account.id), now);
            event.outcome = "refused";
            let before = account.clone();
            let judgement = judge(&mut account, &attempt, now, &self.rules());
            event.class = Some(judgement.class.name());
            event.locks = judgement.locks;
            let locked_for = account.guard.remaining(&judgement.class, now);
            let (outcome, mut also) = match judgement.outcome {
                Outcome::Granted(proof) => {
                    account.profile.pending = false;
                    let session = drafted(&account, &proof, shown, wanted, now)?;
                    event.outcome = "granted";
                    event.totp_id = Some(proof.totp_id().to_owned());
                    event.confirmed = proof.confirmed();
                    event.session_id = session.as_ref().map(|(session, _)| session.id().to_owned());
                    event = event.with_how(proof.how());
                    let session = session.zip(keys.clone());
                    let mut also = SideWrite::of_grant(proof.how(), now);
                    match &session {
                        None => {}
                        Some(((session, None), keys)) => {
                            also.push(SideWrite::Begin(row(session, keys, &self.sealer).map_err(no_seal)?));
                        }
                        Some(((session, Some(version)), keys)) => {
                            let row = row(session, keys, &self.sealer).map_err(no_seal)?;
                            also.push(SideWrite::Replace(row, *version));
                        }
                    }
                    (Ok((proof, session)), also)
                }
                Outcome::Refused(reason) => {
                    let withdrawn = self.store.refusals().explain(&as_stored, &attempt.input, reason);
                    event.reason = Some(if withdrawn { "withdrawn" } else { reason.as_str() });
                    let counts = judgement.changed && reason != Reason::Locked;
                    let kind = (!counts).then(|| Kind::new(&account.id, &caller.client, reason.as_str()));
                    if kind.as_ref().is_some_and(|kind| self.dedup.is_duplicate(kind)) {
                        event.log();
                        return Err(refused(reason, locked_for));
                    }
                    event.left_out = kind.as_ref().and_then(|kind| self.dedup.left_out(kind));
                    (Err((reason, kind)), Vec::new())
                }
            };
            also.extend(withdrawals(Some(&before), Some(&account), now));
            let sealed = self.sealer.seal(account).map_err(no_seal)?;
            let write = if judgement.changed {
                AccountWrite::Update(Box::new(sealed.clone()), version)
            } else {
                AccountWrite::Nothing
            };
            let change = ChangeSet { write, also, grows: false, event: Some(event.row(now)) };
            match self.commit(change, ticket).await {
                Ok(_) => event.log(),
                Err(CommitError::Conflict) => continue,
                Err(error) => return Err(EngineError::from(error).into()),
            }
            let (proof, session) = outcome.map_err(|(reason, kind)| {
                if let Some(kind) = kind {
                    self.dedup.record(kind);
                }
                refused(reason, locked_for)
            })?;
            let session = match session {
                Some(((session, _), keys)) => Some(self.issue_tokens(caller, session, keys, now).await?),
                None => None,
            };
            let user = Stored { account: sealed, version: version + 1, damaged: false };
            let totp_id = proof.totp_id().to_owned();
            return Ok(Authenticated { totp_id, user, session, event: Box::new(event) });
        }
        Err(ApiRefusal::Busy)
    }

    /// The session that the factor is to be added to, and whether the claims fit into what there will be.
    async fn wanted_session(
        &self,
        account: &Account,
        wanted: &SessionOptions,
        now: Time,
    ) -> Result<Option<Draft>, ApiRefusal> {
        let Some(shown) = &wanted.session else {
            claims_fit(&Map::new(), wanted.claims.clone())?;
            return Ok(None);
        };
        let (mut session, version) = self.shown_session(shown, now, &mut None).await?;
        if session.user() != account.id {
            return Err(ApiRefusal::OtherUsersSession);
        }
        session.claim(wanted.claims.clone())?;
        Ok(Some((session, Some(version))))
    }
}

/// Whether the code has as many digits as the user's phone shows.
fn fits(account: &Account, attempt: &Attempt) -> Result<(), ApiRefusal> {
    let Ok(Typed::Code(code)) = &attempt.input else { return Ok(()) };
    let mut factors = account.active.iter().chain(&account.pending);
    let any = account.has_factor();
    if any && !factors.any(|factor| factor.params.digits.get() == code.digits()) {
        return Err(ApiRefusal::InvalidCode);
    }
    Ok(())
}

/// The session that comes of the proof.
fn drafted(
    account: &Account,
    proof: &Verified,
    shown: Option<Draft>,
    wanted: &SessionOptions,
    now: Time,
) -> Result<Option<Draft>, ApiRefusal> {
    let failed = |_| ApiRefusal::Unavailable("the system's random source failed".to_owned());
    match (shown, wanted.length) {
        (Some((mut session, version)), length) => {
            session.strengthen(proof, length, now, &mut Kernel).map_err(failed)?;
            Ok(Some((session, version)))
        }
        (None, Some(length)) => {
            let mut session = Session::begin(proof, &account.id, length, now, &mut Kernel).map_err(failed)?;
            session.claim(wanted.claims.clone())?;
            Ok(Some((session, None)))
        }
        (None, None) => Ok(None),
    }
}
