//! Judges a code or a recovery code for an application. The arguments are checked before the code
//! is judged, so that a wrong argument uses up no code.

use super::super::withdrawals::withdrawals;
use super::sessions::row;
use super::{ApiRefusal, Caller, Engine, IssuedSession, Keyring, SessionCredential, UserView};
use crate::audit::{Event, EventKind, EventOutcome, UnjudgedReason};
use crate::clock;
use crate::engine::MOST_RACES;
use crate::engine::audit_dedup::RowKey;
use crate::engine::change::not_committed;
use crate::os_random::Kernel;
use crate::seal::Sealer;
use crate::store::{
    AccountKey, AccountWrite, ChangeSet, CommitError, CommitGuard, SideWrite, SpaceUse, StoredAccount,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use totp_core::lock::SourceClass;
use totp_core::session::{Minutes, Session, merged_claims};
use totp_core::{Account, Attempt, Origin, Outcome, Reason, Time, Typed, Verified, judge};

/// The session that a grant begins or strengthens.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The length of a new session, or the new length of `session`. Without both there is no
    /// session.
    pub length: Option<Minutes>,
    /// An existing session, to which the factor is added.
    pub session: Option<SessionCredential>,
    /// Claims to merge into the session's.
    pub claims: Map<String, Value>,
}

/// A granted code, whose use is on stable storage.
#[derive(Debug)]
pub struct Authenticated {
    /// The id of the TOTP.
    pub totp_id: String,
    /// The user after the grant.
    pub user: UserView,
    /// The session, if one was requested.
    pub session: Option<IssuedSession>,
    /// The event of the grant.
    pub event: Box<Event>,
}

/// A session to commit with the grant.
struct SessionDraft {
    session: Session,
    /// The version at which an existing session was read; `None` for a new one.
    version: Option<u64>,
    /// The keys that will sign its tokens.
    keys: Arc<Keyring>,
}

impl SessionDraft {
    fn write(&self, sealer: &Sealer) -> Result<SideWrite, ApiRefusal> {
        let row = row(&self.session, &self.keys, sealer)?;
        Ok(match self.version {
            None => SideWrite::InsertSession(row),
            Some(version) => SideWrite::UpdateSession(row, version),
        })
    }
}

impl Engine {
    /// Judges a code, and commits the outcome together with the requested session.
    ///
    /// # Errors
    /// [`ApiRefusal::Code`], [`ApiRefusal::RecoveryCode`] or [`ApiRefusal::Locked`] when the code
    /// was judged and refused. After any other error no code was judged.
    pub async fn authenticate(
        &self,
        caller: &Caller,
        user: &str,
        typed: Typed,
        options: &SessionOptions,
        guard: &Arc<CommitGuard>,
    ) -> Result<Authenticated, ApiRefusal> {
        let found = self.user_early(user).await?;
        let id = found.account.id.clone();
        let _lock = self.lock_user(caller, found.account.display_name()).await?;
        let keys = self.session_keys(options).await?;
        let attempt = Attempt {
            from: format!("the application {}", caller.client),
            ..Attempt::plain(Origin::Client(caller.client.clone()), Ok(typed))
        };
        let refused = |reason, locked_for| refusal(&attempt, reason, locked_for);
        let mut early = Some(found).filter(|found| !found.damaged);
        for _ in 0..MOST_RACES {
            let was_early = early.is_some();
            let stored = match early.take() {
                Some(early) => early,
                None => self.load_user((AccountKey::Id(id.clone()), None)).await?,
            };
            let as_stored = stored.account.clone();
            let (mut account, version) = self
                .open(stored)
                .ok_or_else(|| ApiRefusal::Unavailable("the user's record is damaged".to_owned()))?;
            let now = clock::now();
            match check_applicable(&account, &attempt, caller, now) {
                Err(_) if was_early => continue,
                Err(refusal) => return Err(not_judged(&account, caller, now, refusal)),
                Ok(()) => {}
            }
            let existing = self.requested_session(&account, options, now).await?;
            let mut event =
                caller.event(EventKind::Authenticate, account.display_name(), Some(&account.id), now);
            event.outcome = EventOutcome::Refused;
            let before = account.clone();
            let judgement = judge(&mut account, &attempt, now, &self.rules());
            // A grant names the version that it was decided on. A refusal is decided on a fresh
            // one.
            if was_early && !(judgement.changed && matches!(judgement.outcome, Outcome::Granted(_))) {
                continue;
            }
            event.class = Some(judgement.class.clone());
            event.locks = judgement.class_locked;
            let locked_for = account.lock_state.remaining(&judgement.class, now);
            let (outcome, mut side_writes) = match judgement.outcome {
                Outcome::Granted(proof) => {
                    account.profile.pending = false;
                    let draft = draft(&account, &proof, existing, options, keys.as_ref(), now)?;
                    event.outcome = EventOutcome::Granted;
                    event.totp_id = Some(proof.totp_id().to_owned());
                    event.confirmed = proof.confirmed();
                    event.session_id = draft.as_ref().map(|draft| draft.session.id().to_owned());
                    event = event.with_how(proof.how());
                    let mut side_writes = SideWrite::for_grant(proof.how(), now);
                    if let Some(draft) = &draft {
                        side_writes.push(draft.write(&self.sealer)?);
                    }
                    (Ok((proof, draft)), side_writes)
                }
                Outcome::Refused(reason) => {
                    let withdrawn = self.withdrawn(&as_stored, &attempt.input, reason);
                    event.reason = withdrawn.or(Some(reason.into()));
                    let counts = judgement.changed && reason != Reason::Locked;
                    let key = (!counts).then(|| RowKey::refused(&account.id, &caller.client, reason));
                    if key.as_ref().is_some_and(|key| self.dedup.is_duplicate(key)) {
                        event.log();
                        return Err(refused(reason, locked_for));
                    }
                    event.left_out = key.as_ref().and_then(|key| self.dedup.left_out(key));
                    (Err((reason, key)), Vec::new())
                }
            };
            side_writes.extend(withdrawals(Some(&before), Some(&account), now));
            let sealed = Box::new(self.sealer.seal(account, version + 1)?);
            let write = if judgement.changed {
                AccountWrite::Update(sealed.clone(), version)
            } else {
                AccountWrite::Nothing
            };
            let change =
                ChangeSet { write, side_writes, space: SpaceUse::Essential, event: Some(event.row(now)) };
            match self.commit(change, guard).await {
                Ok(_) => event.log(),
                Err(CommitError::Conflict) => continue,
                Err(error) => return Err(not_committed(error, event).into()),
            }
            let (proof, draft) = outcome.map_err(|(reason, key)| {
                if let Some(key) = key {
                    self.dedup.record(key);
                }
                refused(reason, locked_for)
            })?;
            let session = match draft {
                Some(SessionDraft { session, keys, .. }) => {
                    Some(self.issue_tokens(caller, session, keys, now).await?)
                }
                None => None,
            };
            let user = StoredAccount { account: sealed, version: version + 1, damaged: false };
            let user = UserView::new(caller, user);
            let totp_id = proof.totp_id().to_owned();
            return Ok(Authenticated { totp_id, user, session, event: Box::new(event) });
        }
        Err(ApiRefusal::Busy)
    }

    /// The keys of a requested session. Loaded before the code is judged, so that no code is used
    /// up for a session that cannot be signed. A request without a session needs no keys, and works
    /// before a store's first keys are made.
    async fn session_keys(&self, options: &SessionOptions) -> Result<Option<Arc<Keyring>>, ApiRefusal> {
        match options {
            SessionOptions { length: None, session: None, .. } => Ok(None),
            _ => Ok(Some(self.keyring().await?)),
        }
    }

    /// The numbers of digits that the user's codes have; without a TOTP, that of new ones.
    ///
    /// # Errors
    /// [`ApiRefusal`] when there is no such user, or the store cannot be read.
    pub async fn code_digits(&self, caller: &Caller, user: &str) -> Result<Vec<u8>, ApiRefusal> {
        let account = self.load_user_fairly(caller, user).await?.account;
        let digits = digits(&account);
        Ok(if digits.is_empty() { vec![self.config.totp.params.digits.get()] } else { digits })
    }

    /// The existing session that the factor is added to, with the new claims. Fails if the claims
    /// are too large.
    async fn requested_session(
        &self,
        account: &Account,
        options: &SessionOptions,
        now: Time,
    ) -> Result<Option<(Session, u64)>, ApiRefusal> {
        let Some(credential) = &options.session else {
            merged_claims(&Map::new(), options.claims.clone())?;
            return Ok(None);
        };
        let (mut session, version) = self.open_session(credential, now, &mut None).await?;
        if session.user() != account.id {
            return Err(ApiRefusal::OtherUsersSession);
        }
        session.merge_claims(options.claims.clone())?;
        Ok(Some((session, version)))
    }
}

/// The distinct numbers of digits of a user's codes.
fn digits<S>(account: &Account<S>) -> Vec<u8> {
    let mut digits: Vec<u8> = account.factors().map(|factor| factor.params.digits.get()).collect();
    digits.dedup();
    digits
}

/// Refuses what no TOTP of the user could accept, without judging it: a code with another number of
/// digits, and any recovery code before the TOTP is confirmed, unless the user is locked.
fn check_applicable(
    account: &Account,
    attempt: &Attempt,
    caller: &Caller,
    now: Time,
) -> Result<(), ApiRefusal> {
    match &attempt.input {
        Ok(Typed::Code(code)) => {
            let digits = digits(account);
            let fits = digits.is_empty() || digits.contains(&code.digits());
            if fits { Ok(()) } else { Err(ApiRefusal::InvalidCode(digits)) }
        }
        Ok(Typed::Recovery(_)) => {
            let is_pending =
                account.active.is_none() && account.pending_expires().is_some_and(|end| now < end);
            let class = SourceClass::Client(caller.client.clone());
            let is_locked = account.lock_state.locked(now).iter().any(|lock| lock.class == class);
            if !is_pending || is_locked { Ok(()) } else { Err(ApiRefusal::NotConfirmed) }
        }
        Err(_) => Ok(()),
    }
}

/// Logs a recovery code that was not judged, before the first code.
fn not_judged(account: &Account, caller: &Caller, now: Time, refusal: ApiRefusal) -> ApiRefusal {
    if matches!(refusal, ApiRefusal::NotConfirmed) {
        let event = caller.event(EventKind::Authenticate, account.display_name(), Some(&account.id), now);
        event.refused(UnjudgedReason::CodeNeeded).log();
    }
    refusal
}

/// The answer to a code that was judged and refused.
const fn refusal(attempt: &Attempt, reason: Reason, locked_for: u64) -> ApiRefusal {
    match (reason, &attempt.input) {
        (Reason::Locked, _) => ApiRefusal::Locked(locked_for),
        (reason, Ok(Typed::Recovery(_))) => ApiRefusal::RecoveryCode(reason),
        (reason, _) => ApiRefusal::Code(reason),
    }
}

/// The session that the proof begins or strengthens.
fn draft(
    account: &Account,
    proof: &Verified,
    existing: Option<(Session, u64)>,
    options: &SessionOptions,
    keys: Option<&Arc<Keyring>>,
    now: Time,
) -> Result<Option<SessionDraft>, ApiRefusal> {
    let (session, version) = match (existing, options.length) {
        (Some((mut session, version)), length) => {
            session.add_factor(proof, length, now, &mut Kernel)?;
            (session, Some(version))
        }
        (None, Some(length)) => {
            let mut session = Session::begin(proof, &account.id, length, now, &mut Kernel)?;
            session.merge_claims(options.claims.clone())?;
            (session, None)
        }
        (None, None) => return Ok(None),
    };
    let keys = Arc::clone(keys.ok_or(ApiRefusal::Busy)?);
    Ok(Some(SessionDraft { session, version, keys }))
}
