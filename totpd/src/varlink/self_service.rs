//! `org.totpd.Self`: users about their own uid. Each call is bounded like an attempt to log in.

use crate::audit::{Event, EventKind, EventOutcome, EventReason, EventSource, UnjudgedReason};
use crate::authority::{Delivery, Receipt};
use crate::clock;
use crate::config::lifetime;
use crate::engine::{
    AccountError, Engine, EngineError, EnrollmentProof, Oneself, SelfChange, SelfServiceError,
    default_commit_deadline,
};
use crate::state::{DaemonState, ServiceState};
use crate::store::CommitGuard;
use crate::varlink::account_error::to_user;
use crate::varlink::cancellation::{Completed, run_cancellable};
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::peer;
use crate::varlink::placement::{authenticator_name, placement};
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::{Bytes, done, failed, failed_plainly, read};
use crate::varlink::views::{confirmed, enrolled, history_page, history_query, staged_change, texts, user};
use std::pin::Pin;
use std::sync::Arc;
use totp_core::new_factor::NewFactor;
use totp_core::{Reason, UserName};
use totp_wire::admin::{CancelReply, ForgetReply, RecoveryCodesReply, RevokeReply, StatusReply};
use totp_wire::self_service::*;
use totp_wire::{SecretText, service};

/// Answers a user's call.
pub(crate) type Handler = for<'a> fn(&'a SelfServiceCall<'a>, &'a [u8]) -> Reply<'a>;

/// A reply on its way.
pub(crate) type Reply<'a> = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send + 'a>>;

/// A user who calls, and how their call is done.
pub(crate) struct SelfServiceCall<'a> {
    engine: &'a Engine,
    user: &'a UserName,
    uid: u32,
    from: &'a EventSource,
    guard: &'a Arc<CommitGuard>,
}

/// Why a call was not done.
pub(crate) enum CallError {
    /// Its parameters cannot be read.
    Reply(Bytes),
    /// The engine refuses it.
    Error(SelfServiceError),
}

impl From<SelfServiceError> for CallError {
    fn from(error: SelfServiceError) -> Self {
        Self::Error(error)
    }
}

impl From<AccountError> for CallError {
    fn from(error: AccountError) -> Self {
        Self::Error(error.into())
    }
}

impl From<EngineError> for CallError {
    fn from(error: EngineError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Bytes> for CallError {
    fn from(reply: Bytes) -> Self {
        Self::Reply(reply)
    }
}

/// Has `handler` answer the user of the peer's uid. What it changes is audited under `event`.
///
/// A change whose commit has not begun when the user hangs up is cancelled. The receipt records a
/// result that never reaches the user.
///
/// # Errors
/// [`Closed`]: the user has hung up.
pub(crate) async fn call(
    state: &DaemonState,
    rate_limit: &RateLimit,
    connection: &mut Connection,
    event: Option<EventKind>,
    handler: Handler,
    parameters: &[u8],
) -> Result<(Bytes, Option<Receipt>), Closed> {
    let engine = match state.service() {
        ServiceState::Serving(engine) => engine,
        // What is wrong with the host is its administrators' to know.
        ServiceState::Refusing(_) => {
            let why = "the daemon refuses everybody at the moment";
            return Ok((failed(STORE_UNAVAILABLE, "why", why), None));
        }
    };
    let uid = connection.peer.uid;
    if !peer::speaks_for_others(uid, Some(engine.config())) && !rate_limit.allows_attempt(uid) {
        return Ok((failed_plainly(BUSY), None));
    }
    let user = match state.directory.name_of(uid).await {
        Ok(Some(user)) => user,
        Ok(None) => return Ok((failed_plainly(NO_NAME), None)),
        Err(_) => return Ok((failed_plainly(BUSY), None)),
    };
    let (guard, from) = (default_commit_deadline(), connection.peer.from());
    let call = SelfServiceCall { engine: &engine, user: &user, uid, from: &from, guard: &guard };
    let work = handler(&call, parameters);
    let Ok(Completed { result, peer_gone }) = run_cancellable(connection, &guard, work).await else {
        call.log_refusal(event, UnjudgedReason::HungUp);
        return Err(Closed);
    };
    let (reply, receipt) = match result {
        Ok(reply) => (reply, event.map(|event| call.receipt(Arc::clone(&engine), event))),
        Err(CallError::Reply(reply)) => (reply, None),
        Err(CallError::Error(error)) => {
            if let Some(reason) = unrecorded(&error) {
                call.log_refusal(event, reason);
            }
            (to_user(&error, user.as_str()), None)
        }
    };
    if !peer_gone {
        return Ok((reply, receipt));
    }
    if let Some(receipt) = receipt {
        receipt.settle(Delivery::Undelivered).await;
    }
    Err(Closed)
}

/// `Status`: the user's factor.
pub(crate) async fn status(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Status {} = read(parameters)?;
    call.check_uid().await?;
    let status = user(call.engine.status(call.user).await?);
    Ok(done(&StatusReply { status, clock_behind: call.engine.clock_behind().map(totp_core::Time::unix) }))
}

/// `Enroll`: stages a factor, whose secret is shown once.
pub(crate) async fn enroll(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Enroll { lifetime: seconds, code, ticket, name, add } = read(parameters)?;
    let totp = &call.engine.config().totp;
    let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
    let new = NewFactor {
        params: totp.params,
        lifetime: lifetime(seconds.unwrap_or(totp.pending)).map_err(invalid)?,
        recovery_storage: totp.recovery_storage,
        placement: placement(name.as_deref(), add).map_err(invalid)?,
    };
    let proof = proof(code.as_ref(), ticket.as_ref());
    let staged = call.engine.enroll_self(call.oneself(), proof, new, call.guard).await?;
    Ok(done(&enrolled(call.user, staged)))
}

/// `Confirm`: makes a staged factor active by its first code.
pub(crate) async fn confirm(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Confirm { code } = read(parameters)?;
    let confirmation = call.engine.confirm_self(call.oneself(), code.reveal(), call.guard).await?;
    Ok(done(&confirmed(confirmation)))
}

/// `RecoveryCodes`: replaces the recovery codes, or stages that.
pub(crate) async fn recovery_codes(
    call: &SelfServiceCall<'_>,
    parameters: &[u8],
) -> Result<Bytes, CallError> {
    let RecoveryCodes { code, ticket } = read(parameters)?;
    let proof = proof(code.as_ref(), ticket.as_ref());
    let changed = call.engine.recovery_codes_self(call.oneself(), proof, call.guard).await?;
    Ok(done(&match changed {
        SelfChange::Done(codes) => RecoveryCodesReply { recovery_codes: texts(&codes), staged: None },
        SelfChange::Staged(staged) => {
            RecoveryCodesReply { recovery_codes: Vec::new(), staged: Some(staged_change(&staged)) }
        }
    }))
}

/// `Revoke`: forgets the user's factors, or stages that.
pub(crate) async fn revoke(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Revoke { code, ticket, name } = read(parameters)?;
    let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
    let name = authenticator_name(name.as_deref()).map_err(invalid)?;
    let proof = proof(code.as_ref(), ticket.as_ref());
    Ok(done(&match call.engine.revoke_self(call.oneself(), proof, name.as_ref(), call.guard).await? {
        SelfChange::Done(revoked) => RevokeReply { revoked, staged: None },
        SelfChange::Staged(staged) => RevokeReply { revoked: false, staged: Some(staged_change(&staged)) },
    }))
}

/// `Cancel`: ends a change that the user has staged.
pub(crate) async fn cancel(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Cancel { code } = read(parameters)?;
    let cancelled = call.engine.cancel_self(call.oneself(), code.reveal(), call.guard).await?;
    Ok(done(&CancelReply { cancelled: staged_change(&cancelled) }))
}

/// `Forget`: forgets the user's remembered logins.
pub(crate) async fn forget(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let Forget {} = read(parameters)?;
    let forgotten = call.engine.forget(call.user, Some(call.uid), call.from.clone(), call.guard).await?;
    Ok(done(&ForgetReply { forgotten: u64::try_from(forgotten).unwrap_or(u64::MAX) }))
}

/// `History`: a page of the user's events, the latest first.
pub(crate) async fn history(call: &SelfServiceCall<'_>, parameters: &[u8]) -> Result<Bytes, CallError> {
    let History { before, since, limit } = read(parameters)?;
    call.check_uid().await?;
    let query = history_query(Some(call.user.to_string()), before, since, limit);
    let limit = query.limit;
    Ok(done(&history_page(call.engine.history(query).await?, limit)))
}

impl SelfServiceCall<'_> {
    fn oneself(&self) -> Oneself<'_> {
        Oneself { user: self.user, uid: self.uid, from: self.from }
    }

    /// Refuses a user whose name has the record of another uid: it is somebody's who had the name
    /// before.
    async fn check_uid(&self) -> Result<(), AccountError> {
        match self.engine.enrolled_uid(self.user).await? {
            Some(enrolled) if enrolled != self.uid => {
                Err(AccountError::UidChanged { enrolled, now: self.uid })
            }
            _ => Ok(()),
        }
    }

    /// Records the change as one whose result never arrived, unless it is settled as written.
    fn receipt(&self, engine: Arc<Engine>, kind: EventKind) -> Receipt {
        let mut event = Event::new(kind, self.user.as_str(), clock::now(), self.from.clone());
        event.outcome = EventOutcome::Undelivered;
        Receipt::new(move |delivery| match delivery {
            Delivery::Written => Box::pin(std::future::ready(())),
            Delivery::Undelivered => Box::pin(async move { engine.undelivered(&event, None).await }),
        })
    }

    /// Logs a refusal that nothing was stored for. Calls that change nothing have no event.
    fn log_refusal(&self, event: Option<EventKind>, reason: impl Into<EventReason>) {
        let Some(event) = event else { return };
        Event::new(event, self.user.as_str(), clock::now(), self.from.clone()).refused(reason).log();
    }
}

/// The reason of a refusal that the engine did not record.
fn unrecorded(error: &SelfServiceError) -> Option<EventReason> {
    Some(match error {
        SelfServiceError::CodeNeeded => UnjudgedReason::CodeNeeded.into(),
        SelfServiceError::TicketNeeded => UnjudgedReason::TicketNeeded.into(),
        SelfServiceError::Off => UnjudgedReason::Off.into(),
        SelfServiceError::AlreadyStaged(_) => UnjudgedReason::AlreadyStaged.into(),
        SelfServiceError::CancelledTwice => UnjudgedReason::CancelledTwice.into(),
        SelfServiceError::NothingStaged => UnjudgedReason::NothingStaged.into(),
        SelfServiceError::NotRipe(_) => Reason::NotRipe.into(),
        SelfServiceError::Account(AccountError::UidChanged { .. }) => UnjudgedReason::UidChanged.into(),
        SelfServiceError::Account(AccountError::NotEnrolled) => Reason::NotEnrolled.into(),
        SelfServiceError::Account(_) | SelfServiceError::Refused => return None,
    })
}

fn proof<'a>(code: Option<&'a SecretText>, ticket: Option<&'a SecretText>) -> EnrollmentProof<'a> {
    EnrollmentProof { code: code.map(SecretText::reveal), ticket: ticket.map(SecretText::reveal) }
}
