//! `org.totpd.Admin`: each call is authorised, then done.

use super::Phase;
use super::connection::{Bytes, Connection, done, failed, failed_plainly, read};
use crate::audit::Event;
use crate::clock;
use crate::config::{checked_issuer, lifetime, params};
use crate::engine::{AdminError, Engine};
use std::sync::Arc;
use totp_core::UserName;
use totp_core::account::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_wire::admin::*;
use totp_wire::{SecretText, message, service};

/// Answers one call.
pub(super) async fn call(connection: &Connection, method: &str, parameters: &[u8]) -> Bytes {
    let phase = connection.shared.phase();
    if !authorised(connection, &phase).await {
        if !connection.shared.throttle.allows(connection.peer.uid) {
            return failed_plainly(BUSY);
        }
        let mut event = Event::new("admin", "", clock::now(), connection.peer.from());
        event.outcome = "refused";
        event.reason = Some("not-an-administrator");
        event.log();
        return failed_plainly(service::PERMISSION_DENIED);
    }
    if method == "Daemon" {
        return daemon(phase);
    }
    let engine = match phase {
        Phase::Serving(engine) => engine,
        Phase::Refusing(why) => return failed(STORE_UNAVAILABLE, "why", &why),
    };
    match answer(connection, &engine, method, parameters).await {
        Ok(reply) | Err(reply) => reply,
    }
}

/// Root always; members of `admin_group` while there is a configuration that names it.
async fn authorised(connection: &Connection, phase: &Phase) -> bool {
    if connection.peer.uid == 0 {
        return true;
    }
    let Phase::Serving(engine) = phase else { return false };
    match &engine.config().admin_group {
        // A directory that hangs is no proof of membership.
        Some(group) => connection.shared.users.is_member(connection.peer.uid, group).await.unwrap_or(false),
        None => false,
    }
}

fn daemon(phase: Phase) -> Bytes {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    done(&match phase {
        Phase::Serving(engine) => DaemonReply {
            state: DaemonState::Serving,
            why: None,
            version,
            store_id: Some(engine.store_id().to_owned()),
        },
        Phase::Refusing(why) => {
            DaemonReply { state: DaemonState::Refusing, why: Some(why), version, store_id: None }
        }
    })
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
            let user = name(&call.user)?;
            let confirmed = engine.confirm(&user, call.code.reveal(), from).await;
            let confirmed = confirmed.map_err(|e| error(&e, &call.user))?;
            let (confirmed, phone_offset) =
                confirmed.map_or_else(|offset| (false, offset), |()| (true, None));
            Ok(done(&ConfirmReply { confirmed, phone_offset }))
        }
        "Status" => {
            let call: Status = read(parameters)?;
            let status = engine.status(&name(&call.user)?).await.map_err(|e| error(&e, &call.user))?;
            Ok(done(&StatusReply { status }))
        }
        "List" => {
            let call: List = read(parameters)?;
            let limit = call.limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE).clamp(1, PAGE);
            let (users, next) = engine.list(call.after, limit).await.map_err(|e| error(&e, ""))?;
            Ok(done(&ListReply { users, next }))
        }
        "Revoke" => {
            let call: Revoke = read(parameters)?;
            let revoked = engine.revoke(&name(&call.user)?, from).await;
            Ok(done(&RevokeReply { revoked: revoked.map_err(|e| error(&e, &call.user))? }))
        }
        "Unlock" => {
            let call: Unlock = read(parameters)?;
            let unlocked = engine.unlock(&name(&call.user)?, from).await;
            Ok(done(&UnlockReply { unlocked: unlocked.map_err(|e| error(&e, &call.user))? }))
        }
        "RecoveryCodes" => {
            let call: RecoveryCodes = read(parameters)?;
            let codes = engine.recovery_codes(&name(&call.user)?, from).await;
            let codes = codes.map_err(|e| error(&e, &call.user))?;
            Ok(done(&RecoveryCodesReply { recovery_codes: texts(&codes) }))
        }
        _ => Err(failed(service::METHOD_NOT_FOUND, "method", method)),
    }
}

async fn enroll(connection: &Connection, engine: &Arc<Engine>, call: Enroll) -> Result<Bytes, Bytes> {
    let config = engine.config();
    let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
    let user = name(&call.user)?;
    let new = NewFactor {
        params: params(call.algorithm.as_deref(), call.digits, call.period, config.totp.params)
            .map_err(invalid)?,
        lifetime: lifetime(call.lifetime.unwrap_or(config.totp.pending)).map_err(invalid)?,
    };
    let issuer = match &call.issuer {
        Some(issuer) => checked_issuer(issuer).map_err(invalid)?,
        None => config.issuer(),
    };
    let enrolled = engine.enroll(&user, new, issuer, connection.peer.from()).await;
    let enrolled = enrolled.map_err(|e| error(&e, &call.user))?;
    Ok(done(&EnrollReply {
        user: user.to_string(),
        totp_id: enrolled.totp_id,
        secret: SecretText::new(enrolled.otpauth.secret.to_base32()),
        uri: SecretText::new(enrolled.otpauth.to_uri()),
        recovery_codes: texts(&enrolled.recovery_codes),
        expires_at: enrolled.expires_at.unix(),
        replaces: enrolled.replaces,
    }))
}

fn texts(codes: &[RecoveryCode]) -> Vec<SecretText> {
    codes.iter().map(|code| SecretText::new(code.reveal())).collect()
}

fn name(user: &str) -> Result<UserName, Bytes> {
    UserName::parse(user).map_err(|_| failed(NO_SUCH_USER, "user", user))
}

fn error(error: &AdminError, user: &str) -> Bytes {
    match error {
        AdminError::NoSuchUser => failed(NO_SUCH_USER, "user", user),
        AdminError::NotEnrolled => failed(NOT_ENROLLED, "user", user),
        AdminError::UidChanged { enrolled, now } => {
            let parameters = serde_json::json!({ "user": user, "enrolled": enrolled, "now": now });
            message::error_bytes(UID_CHANGED, &parameters).unwrap_or_default()
        }
        AdminError::Invalid(what) => failed(service::INVALID_PARAMETER, "parameter", what),
        AdminError::Unavailable(why) => failed(STORE_UNAVAILABLE, "why", why),
        AdminError::Busy => failed_plainly(BUSY),
    }
}
