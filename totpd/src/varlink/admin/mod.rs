//! `org.totpd.Admin`: each call is authorised, then done.

mod daemon;

use crate::audit::{Event, EventSource};
use crate::clock;
use crate::config::{checked_issuer, lifetime, params};
use crate::engine::api::{AddedClient, Scope};
use crate::engine::{AccountError, Engine, default_commit_deadline, staged_view};
use crate::state::ServiceState;
use crate::varlink::connection::Connection;
use crate::varlink::peer;
use crate::varlink::peer::Peer;
use crate::varlink::reply::{Bytes, done, failed, failed_plainly, read};
use crate::varlink::views::{self, client_page, history_page, texts};
use std::sync::Arc;
use totp_core::account::NewFactor;
use totp_core::{Origin, Time, UserName};
use totp_wire::admin::*;
use totp_wire::login::Attempt;
use totp_wire::{SecretText, message, service};

/// Answers one call.
pub(crate) async fn call(connection: &Connection, method: &str, parameters: &[u8]) -> Bytes {
    let phase = connection.shared.service();
    if !authorised(connection, &phase).await {
        if !connection.rate_limit.allows_attempt(connection.peer.uid) {
            return failed_plainly(BUSY);
        }
        let mut event = Event::new("admin", "", clock::now(), connection.peer.from());
        event.outcome = "refused";
        event.reason = Some("not-an-administrator");
        event.log();
        return failed_plainly(service::PERMISSION_DENIED);
    }
    if method == "Daemon" {
        return daemon::daemon(&connection.shared, phase).await;
    }
    let engine = match phase {
        ServiceState::Serving(engine) => engine,
        ServiceState::Refusing(_) if method == "Accept" => {
            connection.shared.accept_older_store();
            return done(&AcceptReply { reopens: true, withdrawn: 0 });
        }
        ServiceState::Refusing(why) => return failed(STORE_UNAVAILABLE, "why", &why),
    };
    match answer(connection, &engine, method, parameters).await {
        Ok(reply) | Err(reply) => reply,
    }
}

/// Root always; members of `admin_group` while there is a configuration that names it.
async fn authorised(connection: &Connection, phase: &ServiceState) -> bool {
    if connection.peer.uid == 0 {
        return true;
    }
    let ServiceState::Serving(engine) = phase else { return false };
    match &engine.config().admin_group {
        // A directory that hangs is no proof of membership.
        Some(group) => connection.shared.users.is_member(connection.peer.uid, group).await.unwrap_or(false),
        None => false,
    }
}

async fn backup(engine: &Engine, from: EventSource) -> Result<Bytes, Bytes> {
    let copy = engine.snapshot(from).await.map_err(|e| error(&e, ""))?;
    Ok(done(&BackupReply {
        file: copy.file.to_owned(),
        size: copy.size,
        state_dir: engine.config().state_dir.display().to_string(),
        store_id: engine.store_id().to_owned(),
        counter: copy.mark.counter,
        generation: copy.mark.generation.to_string(),
        time: clock::now().unix(),
    }))
}

async fn answer(
    connection: &Connection,
    engine: &Arc<Engine>,
    method: &str,
    parameters: &[u8],
) -> Result<Bytes, Bytes> {
    let from = connection.peer.from();
    match method {
        "Enroll" => enroll(connection, engine, read(parameters)?).await,
        "Confirm" => {
            let call: Confirm = read(parameters)?;
            let user = name(engine, &call.user).await?;
            let confirmed = engine
                .confirm(
                    &user,
                    None,
                    call.code.reveal(),
                    Origin::Client("(confirm)".to_owned()),
                    from,
                    &default_commit_deadline(),
                )
                .await;
            let confirmed = confirmed.map_err(|e| error(&e, &call.user))?;
            let (confirmed, phone_offset) =
                confirmed.map_or_else(|offset| (false, offset), |()| (true, None));
            Ok(done(&ConfirmReply { confirmed, phone_offset }))
        }
        "Accept" | "Backup" if connection.peer.uid != 0 => Err(failed_plainly(service::PERMISSION_DENIED)),
        "Accept" => {
            let withdrawn = engine.accept(from).await.map_err(|e| error(&e, ""))?;
            let withdrawn = u64::try_from(withdrawn).unwrap_or(u64::MAX);
            Ok(done(&AcceptReply { reopens: false, withdrawn }))
        }
        "Backup" => backup(engine, from).await,
        "Status" => status(engine, read(parameters)?).await,
        "List" => list(engine, read(parameters)?).await,
        "Revoke" => {
            let call: Revoke = read(parameters)?;
            let revoked = engine.revoke(&name(engine, &call.user).await?, from).await;
            let revoked = revoked.map_err(|e| error(&e, &call.user))?;
            Ok(done(&RevokeReply { revoked, staged: None }))
        }
        "Unlock" => {
            let call: Unlock = read(parameters)?;
            let unlocked = engine.unlock(&name(engine, &call.user).await?, from).await;
            Ok(done(&UnlockReply { unlocked: unlocked.map_err(|e| error(&e, &call.user))? }))
        }
        "RecoveryCodes" => {
            let call: RecoveryCodes = read(parameters)?;
            let codes = engine.recovery_codes(&name(engine, &call.user).await?, from).await;
            let codes = codes.map_err(|e| error(&e, &call.user))?;
            Ok(done(&RecoveryCodesReply { recovery_codes: texts(&codes), staged: None }))
        }
        "Ticket" => ticket(engine, read(parameters)?, from).await,
        "Cancel" => {
            let Cancel { user } = read(parameters)?;
            let cancelled = engine.cancel(&name(engine, &user).await?, from).await;
            let cancelled = staged_view(&cancelled.map_err(|e| error(&e, &user))?);
            Ok(done(&CancelReply { cancelled }))
        }
        "TrustClock" => trust_clock(engine, read(parameters)?, from).await,
        "Forget" => {
            let call: Forget = read(parameters)?;
            let forgotten = engine.forget(&name(engine, &call.user).await?, None, from).await;
            let forgotten = forgotten.map_err(|e| error(&e, &call.user))?;
            Ok(done(&ForgetReply { forgotten: u64::try_from(forgotten).unwrap_or(u64::MAX) }))
        }
        "History" => {
            let History { user, before, since, limit } = read(parameters)?;
            let page = history_page(engine, user, before, since, limit).await.map_err(|e| error(&e, ""))?;
            Ok(done(&page))
        }
        "Explain" => explain(connection, engine, read(parameters)?).await,
        "AddClient" => {
            let AddClient { name, scope } = read(parameters)?;
            let invalid = |what: &str| failed(service::INVALID_PARAMETER, "parameter", what);
            let scope = Scope::of(&scope).ok_or_else(|| invalid("a scope is verify, enroll or admin"))?;
            let added = engine.add_client(&name, scope, from).await.map_err(|e| error(&e, &name))?;
            let AddedClient { project_id, secret, secret_id } = added;
            Ok(done(&AddClientReply { project_id, secret: SecretText::new(secret), secret_id }))
        }
        "ListClients" => {
            let ListClients { after } = read(parameters)?;
            let clients = engine.clients().await.map_err(|e| error(&e, ""))?;
            Ok(done(&client_page(engine.project_id(), &clients, after.as_deref())))
        }
        "RevokeClient" => {
            let RevokeClient { name, secret_id } = read(parameters)?;
            let revoked = engine.revoke_client(&name, secret_id.as_deref(), from).await;
            let revoked = revoked.map_err(|e| error(&e, &name))?;
            Ok(done(&RevokeClientReply { revoked: u64::try_from(revoked).unwrap_or(u64::MAX) }))
        }
        _ => Err(failed(service::METHOD_NOT_FOUND, "method", method)),
    }
}

async fn status(engine: &Engine, call: Status) -> Result<Bytes, Bytes> {
    let status = engine.status(&name(engine, &call.user).await?).await.map_err(|e| error(&e, &call.user))?;
    Ok(done(&StatusReply { status, clock_behind: engine.clock_behind().map(Time::unix) }))
}

async fn list(engine: &Engine, call: List) -> Result<Bytes, Bytes> {
    let limit = call
        .limit
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(MAX_USERS_PER_PAGE)
        .clamp(1, MAX_USERS_PER_PAGE);
    let (users, next) = engine.list(call.after, limit).await.map_err(|e| error(&e, ""))?;
    Ok(done(&ListReply { users, clock_behind: engine.clock_behind().map(Time::unix), next }))
}

async fn ticket(engine: &Engine, call: Ticket, from: EventSource) -> Result<Bytes, Bytes> {
    let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
    let seconds = lifetime(call.lifetime.unwrap_or(engine.config().totp.pending)).map_err(invalid)?;
    let user = name(engine, &call.user).await?;
    let ticket = engine.ticket(&user, seconds, call.lost == Some(true), from).await;
    let (text, expires) = ticket.map_err(|e| error(&e, &call.user))?;
    let (ticket, expires_at) = (SecretText::new(text), expires.unix());
    Ok(done(&TicketReply { user: call.user, ticket, expires_at }))
}

async fn trust_clock(engine: &Engine, _: TrustClock, from: EventSource) -> Result<Bytes, Bytes> {
    engine.trust_clock(from).await.map_err(|e| error(&e, ""))?;
    Ok(done(&TrustClockReply {}))
}

async fn explain(connection: &Connection, engine: &Engine, call: Explain) -> Result<Bytes, Bytes> {
    let real_uid = supposed_caller(connection, engine, &call).await?;
    let attempt = Attempt {
        real_uid,
        user: call.user.clone(),
        service: Some(call.service),
        ruser: call.ruser,
        rhost: call.rhost,
        ssh_auth: call.ssh_auth,
        first_factor: call.first_factor,
        ..Attempt::default()
    };
    let peer = Peer { uid: call.peer_uid.unwrap_or(0), pid: None };
    let asker = peer::simulate(peer, &attempt, engine.config());
    let asker = asker.ok_or_else(|| failed(NO_SUCH_USER, "user", &call.user))?;
    let explained = engine.explain(asker, call.at.map(Time::from_unix)).await;
    Ok(done(&explained.map_err(|e| error(&e, &call.user))?))
}

/// Who would start the program that asks: the user named, or for a program of this machine that is no console's the
/// user themselves, as with sudo.
async fn supposed_caller(
    connection: &Connection,
    engine: &Engine,
    call: &Explain,
) -> Result<Option<u32>, Bytes> {
    let local = call.rhost.is_none() && !engine.config().console_services.contains(&call.service);
    let Some(name) = call.ruser.as_ref().or(Some(&call.user).filter(|_| local)) else { return Ok(None) };
    let nobody = || failed(NO_SUCH_USER, "user", name);
    let parsed = UserName::parse(name).map_err(|_| nobody())?;
    let found = connection.shared.users.find(&parsed).await;
    let found = found.map_err(|stuck| failed(STORE_UNAVAILABLE, "why", &stuck.to_string()))?;
    match found {
        Some(found) => Ok(Some(found.uid)),
        None if call.ruser.is_some() => Err(nobody()),
        None => Ok(None),
    }
}

async fn enroll(connection: &Connection, engine: &Arc<Engine>, call: Enroll) -> Result<Bytes, Bytes> {
    let config = engine.config();
    let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
    let user = name(engine, &call.user).await?;
    let new = NewFactor {
        params: params(call.algorithm.as_deref(), call.digits, call.period, config.totp.params)
            .map_err(invalid)?,
        lifetime: lifetime(call.lifetime.unwrap_or(config.totp.pending)).map_err(invalid)?,
        recovery_storage: config.totp.keeping,
    };
    let issuer = match &call.issuer {
        Some(issuer) => checked_issuer(issuer).map_err(invalid)?,
        None => config.issuer(),
    };
    let enrolled = engine.enroll(&user, new, issuer, connection.peer.from()).await;
    let enrolled = enrolled.map_err(|e| error(&e, &call.user))?;
    Ok(done(&views::enrolled(&user, enrolled)))
}

/// The user as the system calls him.
async fn name(engine: &Engine, user: &str) -> Result<UserName, Bytes> {
    let name = UserName::parse(user).map_err(|_| failed(NO_SUCH_USER, "user", user))?;
    Ok(engine.name_of(name).await)
}

fn error(error: &AccountError, user: &str) -> Bytes {
    match error {
        AccountError::NoSuchUser => failed(NO_SUCH_USER, "user", user),
        AccountError::NotEnrolled => failed(NOT_ENROLLED, "user", user),
        AccountError::UidChanged { enrolled, now } => {
            let parameters = serde_json::json!({ "user": user, "enrolled": enrolled, "now": now });
            message::error_bytes(UID_CHANGED, &parameters).unwrap_or_default()
        }
        AccountError::Invalid(what) => failed(service::INVALID_PARAMETER, "parameter", what),
        AccountError::Unavailable(why) => failed(STORE_UNAVAILABLE, "why", why),
        AccountError::NotRipe(staged) => {
            let parameters = serde_json::json!({ "staged": staged_view(staged) });
            message::error_bytes(NOT_RIPE, &parameters).unwrap_or_default()
        }
        AccountError::NothingStaged => failed_plainly(NOTHING_STAGED),
        // These are answers to users alone.
        AccountError::Taken(_)
        | AccountError::Busy
        | AccountError::CodeNeeded
        | AccountError::AlreadyStaged(_)
        | AccountError::CancelledTwice
        | AccountError::TicketNeeded
        | AccountError::Refused
        | AccountError::Off => failed_plainly(BUSY),
    }
}
