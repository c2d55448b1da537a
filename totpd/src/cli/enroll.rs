//! `totpd enroll` and `totpd recovery-codes`, which show secrets only once.

use super::args::Enroll;
use super::{Context, enroll_screens, staged, verify};
use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::{admin_call, connect, deadline};
use crate::cli::subject::{Subject, self_service_call};
use crate::clock::rfc3339;
use crate::local_time::local;
use crate::qr;
use serde_json::json;
use totp_core::Time;
use totp_wire::{CallError, SecretText, admin, self_service};

/// `totpd enroll [USER]`
pub(super) fn enroll(context: &Context, args: Enroll) -> Result<(), CommandError> {
    let (config, out) = (context.config()?, context.out);
    out.require_shown("the secret")?;
    let subject = Subject::of(args.user.clone())?;
    if args.ticket {
        return ticket(context, &args);
    }
    let enrolled = match &subject {
        Subject::Oneself(_) => enroll_oneself(context, &args)?,
        Subject::User(user) => {
            let call = admin::Enroll {
                user: user.clone(),
                lifetime: args.expires.map(|time| time.as_secs()),
                issuer: args.issuer,
                algorithm: args.algorithm,
                digits: args.digits,
                period: args.period,
                given: None,
                name: args.name,
                add: args.add.then_some(true),
            };
            admin_call(&config, &call)?
        }
    };
    let uri = enrolled.uri.reveal();
    if out.json {
        let picture =
            |error: qrcode::types::QrError| failed(ExitStatus::Refused, format!("no QR code: {error}"));
        let codes: Vec<&str> = enrolled.recovery_codes.iter().map(SecretText::reveal).collect();
        out.json(&json!({
            "user": enrolled.user,
            "totp_id": enrolled.totp_id,
            "secret": enrolled.secret.reveal(),
            "uri": uri,
            "qr_code": qr::png_data_uri(uri).map_err(picture)?,
            "recovery_codes": codes,
            "expires_at": rfc3339(Time::from_unix(enrolled.expires_at)),
            "replaces": enrolled.replaces,
            "name": enrolled.name,
            "discards": enrolled.discards.unwrap_or(false),
            "staged": enrolled.staged.as_ref().map(staged::document),
            "recovery_codes_left": enrolled.recovery_codes_left,
        }))?;
    }
    enroll_screens::show(context, &subject, args.qr.as_ref(), &enrolled)
}

/// Enrolls the user who runs the command. Asks for the code or the ticket that the daemon requires.
fn enroll_oneself(context: &Context, args: &Enroll) -> Result<admin::EnrollReply, CommandError> {
    let config = context.config()?;
    if args.issuer.is_some() || args.algorithm.is_some() || args.digits.is_some() || args.period.is_some() {
        return Err(failed(
            ExitStatus::Usage,
            "only administrators choose issuer, algorithm, digits and period. Leave these options out",
        ));
    }
    let lifetime = args.expires.map(|time| time.as_secs());
    let path = &config.login_socket;
    let call = |ticket, code| {
        let until = deadline();
        let (name, add) = (args.name.clone(), args.add.then_some(true));
        let call = self_service::Enroll { ticket, code, lifetime, name, add };
        connect(&[path.as_path()], until).and_then(|mut client| client.call(&call, until))
    };
    let needs = match call(None, None) {
        Err(CallError::Error { name, .. }) if name == self_service::CODE_NEEDED => self_service::CODE_NEEDED,
        Err(CallError::Error { name, .. }) if name == self_service::TICKET_NEEDED => {
            self_service::TICKET_NEEDED
        }
        other => return other.map_err(|error| explain(path, &error)),
    };
    let shown = if needs == self_service::CODE_NEEDED {
        let (code, ticket) = staged::ask_proof()?;
        call(ticket, code)
    } else {
        call(Some(verify::ask("Ticket of your administrator: ")?), None)
    };
    shown.map_err(|error| explain(path, &error))
}

/// `totpd enroll USER --ticket`
fn ticket(context: &Context, args: &Enroll) -> Result<(), CommandError> {
    let Some(user) = args.user.clone() else {
        return Err(failed(ExitStatus::Usage, "a ticket needs a user. Run: totpd enroll USER --ticket"));
    };
    let lifetime = args.expires.map(|time| time.as_secs());
    let reply = admin_call(
        &context.config()?,
        &admin::Ticket { user, lifetime, lost: args.lost.then_some(true), name: args.name.clone() },
    )?;
    let (ticket, expires_at) = (reply.ticket.reveal(), Time::from_unix(reply.expires_at));
    let (user, out) = (&reply.user, context.out);
    out.json(&json!({ "user": user, "ticket": ticket, "expires_at": rfc3339(expires_at) }))?;
    let expires_at = local(expires_at);
    out.paragraph(0, format!("{user} may enroll once until {expires_at}, with this ticket:"))?;
    out.line(format!("    {ticket}"))?;
    let call = admin::Status { user: user.clone() };
    let state = admin_call(&context.config()?, &call).map_or(admin::State::None, |reply| reply.status.state);
    let where_typed = match state {
        admin::State::None => {
            "They type it at the first login, when SSH or a console asks for the code, or at `totpd enroll`. Cockpit \
             and polkit take no ticket."
                .to_owned()
        }
        admin::State::Pending => {
            "They type it at `totpd enroll`, and not at a login: another factor waits for its first code."
                .to_owned()
        }
        admin::State::Active => format!(
            "They type it at `totpd enroll`, after a login. Without phone and recovery codes they log in with a \
             passcode: totpd passcode {user}"
        ),
    };
    out.paragraph(0, where_typed)?;
    out.paragraph(0, "It also replaces or removes a factor in use, or its recovery codes, without a delay.")?;
    out.paragraph(
        0,
        if args.lost {
            "For that it needs no code of the lost phone, so give it to nobody but the user."
        } else {
            "That needs a code of the user as well, unless the ticket is made with --lost."
        },
    )
}

/// `totpd recovery-codes [USER]`
pub(super) fn recovery_codes(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    context.out.require_shown("the codes")?;
    let config = context.config()?;
    let subject = Subject::of(user)?;
    let codes = match &subject {
        Subject::Oneself(_) => {
            let (code, ticket) = staged::ask_proof()?;
            self_service_call(&config, &self_service::RecoveryCodes { code, ticket })?
        }
        Subject::User(user) => admin_call(&config, &admin::RecoveryCodes { user: user.clone() })?,
    };
    let user = subject.name();
    if let Some(staged) = &codes.staged {
        context
            .out
            .json(&json!({ "user": user, "recovery_codes": [], "staged": staged::document(staged) }))?;
        context.out.line(format!("{user}: staged {}.", staged::what(staged)))?;
        return staged::explain(context.out, staged);
    }
    let codes = codes.recovery_codes;
    let texts: Vec<&str> = codes.iter().map(SecretText::reveal).collect();
    context.out.json(&json!({ "user": user, "recovery_codes": texts }))?;
    enroll_screens::recovery_codes(context.out, &codes)
}
