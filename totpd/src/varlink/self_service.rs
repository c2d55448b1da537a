//! `org.totpd.Self`: users about their own uid. Each call is bounded like an attempt to log in.

use crate::audit::{Event, EventSource};
use crate::clock;
use crate::config::lifetime;
use crate::engine::{
    AccountError, Engine, EngineError, EnrollmentProof, Oneself, SelfChange, default_commit_deadline,
    staged_view,
};
use crate::state::ServiceState;
use crate::store::CommitGuard;
use crate::varlink::cancellation::{Watched, run_cancellable};
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::peer;
use crate::varlink::reply::{Bytes, done, failed, failed_plainly, read};
use crate::varlink::views::{enrolled, history_page, texts};
use std::sync::Arc;
use totp_core::account::NewFactor;
use totp_core::{Origin, UserName};
use totp_wire::admin::{
    CancelReply, ConfirmReply, ForgetReply, RecoveryCodesReply, RevokeReply, StatusReply,
};
use totp_wire::self_service::*;
use totp_wire::{SecretText, message, service};

/// Answers one call. What has not begun to commit when the user has hung up is dropped.
pub(crate) async fn call(
    connection: &mut Connection,
    method: &str,
    parameters: &[u8],
) -> Result<Bytes, Closed> {
    let engine = match connection.shared.service() {
        ServiceState::Serving(engine) => engine,
        // What is wrong with the host is its administrators' to know.
        ServiceState::Refusing(_) => {
            return Ok(failed(STORE_UNAVAILABLE, "why", "the daemon refuses everybody at the moment"));
        }
    };
    let uid = connection.peer.uid;
    if !peer::speaks_for_others(uid, Some(engine.config())) && !connection.rate_limit.allows_attempt(uid) {
        return Ok(failed_plainly(BUSY));
    }
    let user = match connection.shared.users.name_of(uid).await {
        Ok(Some(user)) => user,
        Ok(None) => return Ok(failed_plainly(NO_NAME)),
        Err(_) => return Ok(failed_plainly(BUSY)),
    };
    let (ticket, from) = (default_commit_deadline(), connection.peer.from());
    let own = SelfServiceCall { engine: &engine, user: &user, uid, from: &from, ticket: &ticket };
    let work = own.answer(method, parameters);
    let Ok(Watched { result, gone }) = run_cancellable(connection, &ticket, work).await else {
        own.log_refusal(method, "hung-up");
        return Err(Closed);
    };
    if gone {
        if let Ok((_, Some(what))) = result {
            let mut event = Event::new(what, user.as_str(), clock::now(), from);
            event.outcome = "undelivered";
            engine.undelivered(&event).await;
        }
        return Err(Closed);
    }
    Ok(match result {
        Ok((reply, _)) | Err(CallError::Reply(reply)) => reply,
        Err(CallError::Error(error)) => {
            if let Some(reason) = unrecorded(&error) {
                own.log_refusal(method, reason);
            }
            explained(&error, &user)
        }
    })
}

/// The user, and how a call is done for him.
struct SelfServiceCall<'a> {
    engine: &'a Engine,
    user: &'a UserName,
    uid: u32,
    from: &'a EventSource,
    ticket: &'a Arc<CommitGuard>,
}

/// Why a call was not done.
enum CallError {
    /// It cannot be read, or there is no such one.
    Reply(Bytes),
    /// The engine says no.
    Error(AccountError),
}

impl From<AccountError> for CallError {
    fn from(error: AccountError) -> Self {
        Self::Error(error)
    }
}

impl From<EngineError> for CallError {
    fn from(failure: EngineError) -> Self {
        Self::Error(failure.into())
    }
}

impl From<Bytes> for CallError {
    fn from(reply: Bytes) -> Self {
        Self::Reply(reply)
    }
}

impl SelfServiceCall<'_> {
    /// The reply, and the event that it belongs to if something was changed.
    async fn answer(
        &self,
        method: &str,
        parameters: &[u8],
    ) -> Result<(Bytes, Option<&'static str>), CallError> {
        let Self { engine, user, uid, ticket, .. } = *self;
        let from = self.from.clone();
        let who = Oneself { user, uid, from: self.from };
        Ok(match method {
            "Status" => {
                let Status {} = read(parameters)?;
                self.is_still_oneself().await?;
                (
                    done(&StatusReply {
                        status: engine.status(user).await?,
                        clock_behind: engine.clock_behind().map(totp_core::Time::unix),
                    }),
                    None,
                )
            }
            "Enroll" => {
                let call: Enroll = read(parameters)?;
                let config = engine.config();
                let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
                let new = NewFactor {
                    params: config.totp.params,
                    lifetime: lifetime(call.lifetime.unwrap_or(config.totp.pending)).map_err(invalid)?,
                    recovery_storage: config.totp.keeping,
                };
                let shown = shown(call.code.as_ref(), call.ticket.as_ref());
                let staged = engine.enroll_self(who, shown, new, ticket).await?;
                (done(&enrolled(user, staged)), Some("enroll"))
            }
            "Confirm" => {
                let call: Confirm = read(parameters)?;
                let code = call.code.reveal();
                let confirmed =
                    engine.confirm(user, Some(uid), code, Origin::OwnProcess, from, ticket).await?;
                let (confirmed, phone_offset) =
                    confirmed.map_or_else(|offset| (false, offset), |()| (true, None));
                (done(&ConfirmReply { confirmed, phone_offset }), Some("confirm"))
            }
            "RecoveryCodes" => {
                let call: RecoveryCodes = read(parameters)?;
                let shown = shown(call.code.as_ref(), call.ticket.as_ref());
                let reply = match engine.recovery_codes_self(who, shown, ticket).await? {
                    SelfChange::Done(codes) => {
                        RecoveryCodesReply { recovery_codes: texts(&codes), staged: None }
                    }
                    SelfChange::Staged(staged) => {
                        let staged = Some(staged_view(&staged));
                        RecoveryCodesReply { recovery_codes: Vec::new(), staged }
                    }
                };
                (done(&reply), Some("recovery-codes"))
            }
            "Revoke" => {
                let call: Revoke = read(parameters)?;
                let shown = shown(call.code.as_ref(), call.ticket.as_ref());
                let reply = match engine.revoke_self(who, shown, ticket).await? {
                    SelfChange::Done(revoked) => RevokeReply { revoked, staged: None },
                    SelfChange::Staged(staged) => {
                        RevokeReply { revoked: false, staged: Some(staged_view(&staged)) }
                    }
                };
                (done(&reply), Some("revoke"))
            }
            "Cancel" => {
                let call: Cancel = read(parameters)?;
                let cancelled = engine.cancel_self(who, call.code.reveal(), ticket).await?;
                (done(&CancelReply { cancelled: staged_view(&cancelled) }), Some("cancel"))
            }
            "Forget" => {
                let Forget {} = read(parameters)?;
                let forgotten = engine.forget(user, Some(uid), from).await?;
                (
                    done(&ForgetReply { forgotten: u64::try_from(forgotten).unwrap_or(u64::MAX) }),
                    Some("forget"),
                )
            }
            "History" => {
                let History { before, since, limit } = read(parameters)?;
                self.is_still_oneself().await?;
                (done(&history_page(engine, Some(user.to_string()), before, since, limit).await?), None)
            }
            _ => return Err(failed(service::METHOD_NOT_FOUND, "method", method).into()),
        })
    }

    /// What is kept under this name is the user's own, and not of somebody who had the name before.
    async fn is_still_oneself(&self) -> Result<(), AccountError> {
        match self.engine.enrolled_uid(self.user).await? {
            Some(enrolled) if enrolled != self.uid => {
                Err(AccountError::UidChanged { enrolled, now: self.uid })
            }
            _ => Ok(()),
        }
    }

    /// A refusal of which nothing is stored is said in the log.
    fn log_refusal(&self, method: &str, reason: &'static str) {
        let event = match method {
            "Enroll" => "enroll",
            "Confirm" => "confirm",
            "RecoveryCodes" => "recovery-codes",
            "Revoke" => "revoke",
            "Cancel" => "cancel",
            "Forget" => "forget",
            _ => return,
        };
        let mut event = Event::new(event, self.user.as_str(), clock::now(), self.from.clone());
        event.outcome = "refused";
        event.reason = Some(reason);
        event.log();
    }
}

/// The reason of a refusal that the engine did not record.
const fn unrecorded(error: &AccountError) -> Option<&'static str> {
    match error {
        AccountError::CodeNeeded => Some("code-needed"),
        AccountError::TicketNeeded => Some("ticket-needed"),
        AccountError::Off => Some("off"),
        AccountError::UidChanged { .. } => Some("uid-changed"),
        AccountError::NotEnrolled => Some("not-enrolled"),
        AccountError::AlreadyStaged(_) => Some("already-staged"),
        AccountError::CancelledTwice => Some("cancelled-twice"),
        AccountError::NothingStaged => Some("nothing-staged"),
        AccountError::NotRipe(_) => Some("not-ripe"),
        _ => None,
    }
}

fn shown<'a>(code: Option<&'a SecretText>, ticket: Option<&'a SecretText>) -> EnrollmentProof<'a> {
    EnrollmentProof { code: code.map(SecretText::reveal), ticket: ticket.map(SecretText::reveal) }
}

fn explained(error: &AccountError, user: &UserName) -> Bytes {
    let user = user.as_str();
    match error {
        AccountError::NoSuchUser => failed_plainly(NO_NAME),
        AccountError::NotEnrolled => failed(NOT_ENROLLED, "user", user),
        AccountError::UidChanged { enrolled, now } => {
            let parameters = serde_json::json!({ "user": user, "enrolled": enrolled, "now": now });
            message::error_bytes(UID_CHANGED, &parameters).unwrap_or_default()
        }
        AccountError::Invalid(what) => failed(service::INVALID_PARAMETER, "parameter", what),
        AccountError::CodeNeeded => failed_plainly(CODE_NEEDED),
        AccountError::TicketNeeded => failed_plainly(TICKET_NEEDED),
        AccountError::AlreadyStaged(staged) => {
            let parameters = match staged {
                Some(staged) => serde_json::json!({ "staged": staged_view(staged) }),
                None => serde_json::json!({}),
            };
            message::error_bytes(ALREADY_STAGED, &parameters).unwrap_or_default()
        }
        AccountError::NotRipe(staged) => {
            let parameters = serde_json::json!({ "staged": staged_view(staged) });
            message::error_bytes(NOT_RIPE, &parameters).unwrap_or_default()
        }
        AccountError::CancelledTwice => failed_plainly(CANCELLED_TWICE),
        AccountError::NothingStaged => failed_plainly(NOTHING_STAGED),
        AccountError::Refused => failed_plainly(REFUSED),
        AccountError::Off => failed_plainly(ENROLLMENT_DISABLED),
        AccountError::Unavailable(why) => failed(STORE_UNAVAILABLE, "why", why),
        AccountError::Taken(_) | AccountError::Busy => failed_plainly(BUSY),
    }
}
