//! Users' factors.

use super::given::checked;
use super::{AdminCall, invalid};
use crate::config::{checked_issuer, lifetime, params};
use crate::engine::default_commit_deadline;
use crate::seal::ActiveFactor;
use crate::varlink::account_error::to_admin;
use crate::varlink::placement::{authenticator_name, placement};
use crate::varlink::reply::{Bytes, done, read};
use crate::varlink::views::{confirmed, enrolled, staged_change, texts, user as user_view};
use totp_core::Time;
use totp_core::new_factor::NewFactor;
use totp_wire::SecretText;
use totp_wire::admin::*;

/// `Enroll`: stages a factor, whose secret is shown once.
pub(crate) async fn enroll(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Enroll { user, algorithm, digits, period, lifetime: seconds, issuer, given, name: label, add } =
        read(parameters)?;
    let config = call.engine.config();
    let name = call.user(&user).await?;
    let new = NewFactor {
        params: params(algorithm.as_deref(), digits, period, config.totp.params)
            .map_err(|what| invalid(&what))?,
        lifetime: lifetime(seconds.unwrap_or(config.totp.pending)).map_err(|what| invalid(&what))?,
        recovery_storage: config.totp.recovery_storage,
        placement: placement(label.as_deref(), add).map_err(|what| invalid(&what))?,
    };
    let issuer = match &issuer {
        Some(issuer) => checked_issuer(issuer).map_err(|what| invalid(&what))?,
        None => config.issuer(),
    };
    let staged = match given {
        Some(given) => {
            let given = checked(&given)?;
            call.engine.enroll_given(&name, new, &given, issuer, call.peer.from()).await
        }
        None => call.engine.enroll(&name, new, issuer, call.peer.from()).await.map_err(Into::into),
    };
    Ok(done(&enrolled(&name, staged.map_err(|e| to_admin(e, &user))?)))
}

/// `Confirm`: makes a staged factor active by its first code.
pub(crate) async fn confirm(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Confirm { user, code } = read(parameters)?;
    let name = call.user(&user).await?;
    let (from, guard) = (call.peer.from(), default_commit_deadline());
    let confirmation = call.engine.confirm(&name, code.reveal(), &from, &guard).await;
    Ok(done(&confirmed(confirmation.map_err(|e| to_admin(e, &user))?)))
}

/// `Status`: one user's factor.
pub(crate) async fn status(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Status { user } = read(parameters)?;
    let status = call.engine.status(&call.looked_at(&user).await?).await.map_err(|e| to_admin(e, &user))?;
    Ok(done(&StatusReply {
        status: user_view(status),
        clock_behind: call.engine.clock_behind().map(Time::unix),
    }))
}

/// `List`: a page of the users who have a factor.
pub(crate) async fn list(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let List { after, limit } = read(parameters)?;
    let limit = limit
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(MAX_USERS_PER_PAGE)
        .clamp(1, MAX_USERS_PER_PAGE);
    let (users, next) = call.engine.list(after, limit).await.map_err(|e| to_admin(e, ""))?;
    let users = users.into_iter().map(user_view).collect();
    Ok(done(&ListReply { users, clock_behind: call.engine.clock_behind().map(Time::unix), next }))
}

/// `Revoke`: forgets a user's factors.
pub(crate) async fn revoke(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Revoke { user, name: label } = read(parameters)?;
    let label = authenticator_name(label.as_deref()).map_err(|what| invalid(&what))?;
    let name = call.user(&user).await?;
    let revoked = match label {
        Some(label) => call.engine.revoke_authenticator(&name, &label, call.peer.from()).await,
        None => call.engine.revoke(&name, call.peer.from()).await,
    };
    Ok(done(&RevokeReply { revoked: revoked.map_err(|e| to_admin(e, &user))?, staged: None }))
}

/// `Unlock`: ends a user's locks.
pub(crate) async fn unlock(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Unlock { user } = read(parameters)?;
    let unlocked = call.engine.unlock(&call.acted_on(&user).await?, call.peer.from()).await;
    Ok(done(&UnlockReply { unlocked: unlocked.map_err(|e| to_admin(e, &user))? }))
}

/// `RecoveryCodes`: replaces the recovery codes, which are shown once.
pub(crate) async fn recovery_codes(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let RecoveryCodes { user } = read(parameters)?;
    let codes = call.engine.recovery_codes(&call.user(&user).await?, call.peer.from()).await;
    let recovery_codes = texts(&codes.map_err(|e| to_admin(e, &user))?);
    Ok(done(&RecoveryCodesReply { recovery_codes, staged: None }))
}

/// `Ticket`: makes a ticket, whose text is shown once.
pub(crate) async fn ticket(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Ticket { user, lifetime: seconds, lost, name } = read(parameters)?;
    let pending = call.engine.config().totp.pending;
    let seconds = lifetime(seconds.unwrap_or(pending)).map_err(|what| invalid(&what))?;
    let target = call.acted_on(&user).await?;
    let active_factor = if lost == Some(true) { ActiveFactor::Lost } else { ActiveFactor::Usable };
    let name = authenticator_name(name.as_deref()).map_err(|what| invalid(&what))?;
    let ticket = call.engine.ticket(&target, seconds, name.as_ref(), active_factor, call.peer.from()).await;
    let (text, expires) = ticket.map_err(|e| to_admin(e, &user))?;
    Ok(done(&TicketReply { user, ticket: SecretText::new(text), expires_at: expires.unix() }))
}

/// `Cancel`: ends a change that a user has staged.
pub(crate) async fn cancel(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Cancel { user } = read(parameters)?;
    let cancelled = call.engine.cancel(&call.user(&user).await?, call.peer.from()).await;
    Ok(done(&CancelReply { cancelled: staged_change(&cancelled.map_err(|e| to_admin(e, &user))?) }))
}

/// `Forget`: forgets a user's remembered logins.
pub(crate) async fn forget(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Forget { user } = read(parameters)?;
    let forgotten = call
        .engine
        .forget(&call.user(&user).await?, None, call.peer.from(), &default_commit_deadline())
        .await;
    let forgotten = forgotten.map_err(|e| to_admin(e, &user))?;
    Ok(done(&ForgetReply { forgotten: u64::try_from(forgotten).unwrap_or(u64::MAX) }))
}
