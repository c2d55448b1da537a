//! `totpd passcode USER`: one login for a user without their phone.

use super::Context;
use super::args::Passcode;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::{admin_call, try_admin_call};
use crate::clock::rfc3339;
use crate::local_time::local;
use serde_json::json;
use totp_core::Time;
use totp_core::passcode::{MAX_LIFETIME, MIN_LIFETIME};
use totp_wire::{CallError, admin};

/// `totpd passcode USER [--for TIME | --cancel]`
pub(super) fn passcode(context: &Context, args: Passcode) -> Result<(), CommandError> {
    if args.cancel {
        return cancel(context, &args.user);
    }
    let out = context.out;
    out.require_shown("the passcode")?;
    let lifetime = args.lasts.as_secs();
    if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        return Err(failed(ExitStatus::Usage, "--for takes 1m to 7d"));
    }
    let user = args.user;
    let call = admin::Passcode { user: user.clone(), lifetime: Some(lifetime) };
    let made = try_admin_call(&context.config()?, &call).map_err(|(error, explained)| match error {
        CallError::Error { name, .. } if name == admin::NOT_ENROLLED => failed(
            ExitStatus::Refused,
            format!(
                "{user} has no factor in use, so a passcode would not help. Let them enroll: totpd enroll {user} --ticket"
            ),
        ),
        _ => explained,
    })?;
    let (user, expires_at) = (&made.user, Time::from_unix(made.expires_at));
    let document =
        json!({ "user": user, "passcode": made.passcode.reveal(), "expires_at": rfc3339(expires_at) });
    out.json(&document)?;
    let until = local(expires_at);
    out.paragraph(
        0,
        format!("{user} may log in once until {until}, with this code in place of the phone's:"),
    )?;
    out.line(format!("    {}", made.passcode.reveal()))?;
    out.paragraph(0, "Give it to nobody but the user, whom the next login tells of it. To take it back:")?;
    out.line(format!("    totpd passcode {user} --cancel"))?;
    // A lock refuses it, and the user would take it for spent.
    let call = admin::Status { user: user.clone() };
    if admin_call(&context.config()?, &call).is_ok_and(|reply| !reply.status.locks.is_empty()) {
        let locked = format!(
            "{user} is LOCKED where codes were wrong too often, and this code is refused there. `totpd status {user}` \
             says where, and this ends it: totpd unlock {user}"
        );
        out.paragraph(0, locked)?;
    }
    Ok(())
}

fn cancel(context: &Context, user: &str) -> Result<(), CommandError> {
    let call = admin::CancelPasscode { user: user.to_owned() };
    let cancelled = admin_call(&context.config()?, &call)?.cancelled;
    context.out.json(&json!({ "user": user, "cancelled": cancelled }))?;
    if !cancelled {
        return Err(failed(
            ExitStatus::Refused,
            format!("{user} has no unused passcode. Run: totpd history {user}"),
        ));
    }
    context.out.line(format!("{user}: the passcode is cancelled"))
}
