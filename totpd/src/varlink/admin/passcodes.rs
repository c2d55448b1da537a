//! Passcodes of users.

use super::{AdminCall, invalid};
use crate::varlink::account_error::to_admin;
use crate::varlink::reply::{Bytes, done, read};
use totp_core::passcode::{DEFAULT_LIFETIME, MAX_LIFETIME, MIN_LIFETIME};
use totp_wire::SecretText;
use totp_wire::admin::{CancelPasscode, CancelPasscodeReply, Passcode, PasscodeReply};

/// `Passcode`: makes a passcode, whose text is shown once.
pub(crate) async fn passcode(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let Passcode { user, lifetime } = read(parameters)?;
    let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME);
    if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        return Err(invalid("a passcode is accepted for 1m to 7d"));
    }
    let target = call.acted_on(&user).await?;
    let made = call.engine.passcode(&target, lifetime, call.peer.from()).await;
    let made = made.map_err(|e| to_admin(e, &user))?;
    let user = target.name.to_string();
    let (passcode, expires_at) = (SecretText::new(made.text), made.expires_at.unix());
    Ok(done(&PasscodeReply { user, passcode, expires_at }))
}

/// `CancelPasscode`: deletes a passcode.
pub(crate) async fn cancel(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let CancelPasscode { user } = read(parameters)?;
    let cancelled = call.engine.cancel_passcode(&call.acted_on(&user).await?, call.peer.from()).await;
    Ok(done(&CancelPasscodeReply { cancelled: cancelled.map_err(|e| to_admin(e, &user))? }))
}
