//! `org.totpd.Self`: users about their own uid. Each call is bounded like an attempt to log in.

use super::admin::{enrolled, page};
use super::connection::{Bytes, Connection, done, failed, failed_plainly, read};
use super::{Phase, peers};
use crate::config::lifetime;
use crate::engine::{AdminError, Engine, Shown};
use std::sync::Arc;
use totp_core::account::NewFactor;
use totp_core::recovery::RecoveryCode;
use totp_core::{Origin, UserName};
use totp_wire::admin::{ConfirmReply, ForgetReply, RecoveryCodesReply, RevokeReply, StatusReply};
use totp_wire::own::*;
use totp_wire::{SecretText, message, service};

/// Answers one call.
pub(super) async fn call(connection: &Connection, method: &str, parameters: &[u8]) -> Bytes {
    let engine = match connection.shared.phase() {
        Phase::Serving(engine) => engine,
        // What is wrong with the host is its administrators' to know.
        Phase::Refusing(_) => {
            return failed(STORE_UNAVAILABLE, "why", "the daemon refuses everybody at the moment");
        }
    };
    let uid = connection.peer.uid;
    if !peers::speaks_for_others(uid, Some(engine.config())) && !connection.shared.throttle.allows(uid) {
        return failed_plainly(BUSY);
    }
    let user = match connection.shared.users.name_of(uid).await {
        Ok(Some(user)) => user,
        Ok(None) => return failed_plainly(NO_NAME),
        Err(_) => return failed_plainly(BUSY),
    };
    match answer(connection, &engine, &user, method, parameters).await {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn answer(
    connection: &Connection,
    engine: &Arc<Engine>,
    user: &UserName,
    method: &str,
    parameters: &[u8],
) -> Result<Bytes, Bytes> {
    let (uid, from) = (connection.peer.uid, connection.peer.from());
    let failed_as = |e: AdminError| error(&e, user);
    match method {
        "Status" => {
            let Status {} = read(parameters)?;
            let status = engine.status(user).await.map_err(failed_as)?;
            Ok(done(&StatusReply { status }))
        }
        "Enroll" => {
            let call: Enroll = read(parameters)?;
            let config = engine.config();
            let invalid = |what: String| failed(service::INVALID_PARAMETER, "parameter", &what);
            let new = NewFactor {
                params: config.totp.params,
                lifetime: lifetime(call.lifetime.unwrap_or(config.totp.pending)).map_err(invalid)?,
            };
            let shown = Shown {
                code: call.code.as_ref().map(SecretText::reveal),
                ticket: call.ticket.as_ref().map(SecretText::reveal),
            };
            let staged = engine.enroll_self(user, uid, shown, new, from).await.map_err(failed_as)?;
            Ok(done(&enrolled(user, staged)))
        }
        "Confirm" => {
            let call: Confirm = read(parameters)?;
            let confirmed = engine.confirm(user, Some(uid), call.code.reveal(), Origin::Own, from).await;
            let confirmed = confirmed.map_err(failed_as)?;
            let (confirmed, phone_offset) =
                confirmed.map_or_else(|offset| (false, offset), |()| (true, None));
            Ok(done(&ConfirmReply { confirmed, phone_offset }))
        }
        "RecoveryCodes" => {
            let call: RecoveryCodes = read(parameters)?;
            let codes = engine.recovery_codes_self(user, uid, call.code.reveal(), from).await;
            Ok(done(&RecoveryCodesReply { recovery_codes: texts(&codes.map_err(failed_as)?) }))
        }
        "Revoke" => {
            let call: Revoke = read(parameters)?;
            let revoked = engine.revoke_self(user, uid, call.code.reveal(), from).await;
            Ok(done(&RevokeReply { revoked: revoked.map_err(failed_as)? }))
        }
        "Forget" => {
            let Forget {} = read(parameters)?;
            let forgotten = engine.forget(user, Some(uid), from).await.map_err(failed_as)?;
            Ok(done(&ForgetReply { forgotten: u64::try_from(forgotten).unwrap_or(u64::MAX) }))
        }
        "History" => {
            let History { before, since, limit } = read(parameters)?;
            let page = page(engine, Some(user.to_string()), before, since, limit).await;
            Ok(done(&page.map_err(failed_as)?))
        }
        _ => Err(failed(service::METHOD_NOT_FOUND, "method", method)),
    }
}

/// The texts of recovery codes, for the one moment they are shown.
pub(super) fn texts(codes: &[RecoveryCode]) -> Vec<SecretText> {
    codes.iter().map(|code| SecretText::new(code.reveal())).collect()
}

fn error(error: &AdminError, user: &UserName) -> Bytes {
    let user = user.as_str();
    match error {
        AdminError::NoSuchUser => failed_plainly(NO_NAME),
        AdminError::NotEnrolled => failed(NOT_ENROLLED, "user", user),
        AdminError::UidChanged { enrolled, now } => {
            let parameters = serde_json::json!({ "user": user, "enrolled": enrolled, "now": now });
            message::error_bytes(UID_CHANGED, &parameters).unwrap_or_default()
        }
        AdminError::Invalid(what) => failed(service::INVALID_PARAMETER, "parameter", what),
        AdminError::CodeNeeded => failed_plainly(CODE_NEEDED),
        AdminError::TicketNeeded => failed_plainly(TICKET_NEEDED),
        AdminError::Refused => failed_plainly(REFUSED),
        AdminError::Off => failed_plainly(OFF),
        AdminError::Unavailable(why) => failed(STORE_UNAVAILABLE, "why", why),
        AdminError::Busy => failed_plainly(BUSY),
    }
}
