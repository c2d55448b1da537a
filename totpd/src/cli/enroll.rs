//! `totpd enroll` and `totpd recovery-codes`: what is shown once.

use super::args::{Enroll, QrForm};
use super::{Context, staged, verify};
use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, Output, color, failed};
use crate::cli::rpc::{admin_call, connect, deadline};
use crate::cli::subject::{Subject, own_call};
use crate::clock::rfc3339;
use crate::qr;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use totp_core::Time;
use totp_wire::{CallError, SecretText, admin, self_service};

/// Tries at the first code before the person is left to `totpd confirm`.
const FIRST_CODE_TRIES: u8 = 5;

/// `totpd enroll [USER]`
pub(super) fn enroll(context: &Context, args: Enroll) -> Result<(), CommandError> {
    let (config, out) = (context.config()?, context.out);
    out.will_show("what is shown once")?;
    let whom = Subject::of(args.user.clone())?;
    if args.ticket {
        return ticket(context, &args);
    }
    let enrolled = match &whom {
        Subject::Oneself(_) => enroll_oneself(context, &args)?,
        Subject::User(user) => {
            let call = admin::Enroll {
                user: user.clone(),
                lifetime: args.expires.map(|time| time.as_secs()),
                issuer: args.issuer,
                algorithm: args.algorithm,
                digits: args.digits,
                period: args.period,
            };
            admin_call(&config, &call)?
        }
    };
    let uri = enrolled.uri.reveal();
    let picture = |error: qrcode::types::QrError| failed(ExitStatus::Refused, format!("no QR code: {error}"));
    let expires_at = rfc3339(Time::from_unix(enrolled.expires_at));
    if out.json {
        let codes: Vec<&str> = enrolled.recovery_codes.iter().map(SecretText::reveal).collect();
        out.json(&json!({
            "user": enrolled.user,
            "totp_id": enrolled.totp_id,
            "secret": enrolled.secret.reveal(),
            "uri": uri,
            "qr_code": qr::png_data_uri(uri).map_err(picture)?,
            "recovery_codes": codes,
            "expires_at": expires_at,
            "replaces": enrolled.replaces,
            "staged": enrolled.staged.as_ref().map(staged::document),
            "recovery_codes_left": enrolled.recovery_codes_left,
        }))?;
    }
    let user = &enrolled.user;
    out.line(format!("{user}: scan this with an authenticator app.\n"))?;
    match &args.qr {
        QrForm::Utf8 => out.line(qr::utf8(uri, color()).map_err(picture)?)?,
        QrForm::Ascii => out.line(qr::ascii(uri, color()).map_err(picture)?)?,
        QrForm::Png(file) => write_secret(out, file, &qr::png(uri).map_err(picture)?)?,
        QrForm::Svg(file) => write_secret(out, file, qr::svg(uri).map_err(picture)?.as_bytes())?,
        QrForm::None => {}
    }
    out.line(format!("Or type this key:  {}", &*qr::grouped(enrolled.secret.reveal())))?;
    out.line(format!("Or open this link: {uri}\n"))?;
    show_recovery_codes(out, &enrolled.recovery_codes)?;
    out.line("")?;
    if let Some(staged) = &enrolled.staged {
        if let Some(left) = enrolled.recovery_codes_left {
            out.line(format!(
                "The recovery code that you typed is used up. {left} old ones are left, and each login"
            ))?;
            out.line("until the change takes another one.")?;
        }
        return staged::explain(out, staged);
    }
    out.line(format!("The enrollment waits for its first code until {expires_at}."))?;
    if enrolled.replaces {
        out.line("The factor in use goes on working until then.")?;
    }
    if out.interactive() {
        return verify::first_code(context, &whom, FIRST_CODE_TRIES);
    }
    out.line(format!("It is confirmed by `totpd confirm {user}`, or by the first login with a code of it."))
}

/// Stages a factor for oneself, and asks for what the daemon wants to see first.
fn enroll_oneself(context: &Context, args: &Enroll) -> Result<admin::EnrollReply, CommandError> {
    let config = context.config()?;
    if args.issuer.is_some() || args.algorithm.is_some() || args.digits.is_some() || args.period.is_some() {
        return Err(failed(
            ExitStatus::Usage,
            "issuer, algorithm, digits and period are the administrator's to choose",
        ));
    }
    let lifetime = args.expires.map(|time| time.as_secs());
    let path = &config.login_socket;
    let call = |ticket, code| {
        let until = deadline();
        let call = self_service::Enroll { ticket, code, lifetime };
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
        return Err(failed(ExitStatus::Usage, "name the user whom the ticket is for"));
    };
    let lifetime = args.expires.map(|time| time.as_secs());
    let reply =
        admin_call(&context.config()?, &admin::Ticket { user, lifetime, lost: args.lost.then_some(true) })?;
    let (ticket, expires_at) = (reply.ticket.reveal(), rfc3339(Time::from_unix(reply.expires_at)));
    let (user, out) = (&reply.user, context.out);
    out.json(&json!({ "user": user, "ticket": ticket, "expires_at": expires_at }))?;
    out.line(format!("{user} may enroll once until {expires_at}, with `totpd enroll` and this ticket:"))?;
    out.line(format!("    {ticket}"))?;
    out.line("A factor in use it replaces, removes or gives new recovery codes without a delay.")?;
    out.line(if args.lost {
        "No code of the factor in use is asked for: give it to nobody but the user."
    } else {
        "A code of the factor in use is asked for besides; --lost makes a ticket without."
    })
}

/// `totpd recovery-codes [USER]`
pub(super) fn recovery_codes(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    context.out.will_show("the codes")?;
    let config = context.config()?;
    let whom = Subject::of(user)?;
    let codes = match &whom {
        Subject::Oneself(_) => {
            let (code, ticket) = staged::ask_proof()?;
            own_call(&config, &self_service::RecoveryCodes { code, ticket })?
        }
        Subject::User(user) => admin_call(&config, &admin::RecoveryCodes { user: user.clone() })?,
    };
    let user = whom.name();
    if let Some(staged) = &codes.staged {
        context
            .out
            .json(&json!({ "user": user, "recovery_codes": [], "staged": staged::document(staged) }))?;
        context.out.line(format!("{user}: asked for {}.", staged::what(staged)))?;
        return staged::explain(context.out, staged);
    }
    let codes = codes.recovery_codes;
    let texts: Vec<&str> = codes.iter().map(SecretText::reveal).collect();
    context.out.json(&json!({ "user": user, "recovery_codes": texts }))?;
    show_recovery_codes(context.out, &codes)
}

fn show_recovery_codes(out: Output, codes: &[SecretText]) -> Result<(), CommandError> {
    out.line("Recovery codes, for the day without a phone. Each works once; they are never shown again:")?;
    for pair in codes.chunks(2) {
        let pair: Vec<&str> = pair.iter().map(SecretText::reveal).collect();
        out.line(format!("    {}", pair.join("    ")))?;
    }
    Ok(())
}

/// A file that holds the secret: for nobody else, and never through a link or over another file.
fn write_secret(out: Output, path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content));
    written.map_err(|error| {
        failed(
            ExitStatus::Refused,
            format!("{}: {error}. The enrollment stands; show it anew with another", path.display()),
        )
    })?;
    out.line(format!("The QR code is in {}: it holds the secret, delete it after use.\n", path.display()))
}
