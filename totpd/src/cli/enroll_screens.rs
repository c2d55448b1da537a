//! The screens of `totpd enroll`: the QR code with the question for the first code, and then the
//! recovery codes.

use super::args::QrForm;
use super::{Context, enroll_qr, staged, verify};
use crate::cli::output::{CommandError, Output, warn};
use crate::cli::subject::Subject;
use crate::cli::terminal::Terminal;
use crate::local_time::local;
use crate::qr;
use totp_core::otpauth::OtpAuth;
use totp_core::{Params, Time};
use totp_wire::SecretText;
use totp_wire::admin::EnrollReply;

/// How many first codes may be typed before the command leaves it to `totpd confirm`.
const FIRST_CODE_TRIES: u8 = 5;
/// Rows of a screen that shows everything together: the code, the heading, the key, the question.
const AROUND: usize = 3;

/// Shows a new factor, asks for its first code on a terminal, and shows the recovery codes after
/// that.
///
/// # Errors
/// When the output or a file cannot be written, or the daemon does not answer.
pub(super) fn show(
    context: &Context,
    subject: &Subject,
    form: Option<&QrForm>,
    enrolled: &EnrollReply,
) -> Result<(), CommandError> {
    let (out, terminal) = (context.out, Terminal::of_stdout());
    let interactive = out.interactive();
    warn_of_apps(enrolled);
    factor(out, form, enrolled, terminal)?;
    let answered = match (&enrolled.staged, interactive) {
        (None, true) => verify::first_code(context, subject, FIRST_CODE_TRIES),
        (Some(_), true) => verify::ask("Press Enter when the app shows codes: ").map(|_| false),
        (_, false) => Ok(false),
    };
    // Whatever became of the first code, the recovery codes are shown only now.
    out.line(terminal.filter(|_| interactive).map_or("", Terminal::clear))?;
    let confirmed = *answered.as_ref().unwrap_or(&false);
    if confirmed {
        out.line(format!("{}: confirmed\n", enrolled.user))?;
    }
    if enrolled.recovery_codes.is_empty() {
        out.line("The recovery codes stay as they are: they belong to all authenticators together.")?;
    } else {
        recovery_codes(out, &enrolled.recovery_codes)?;
    }
    out.line("")?;
    answered?;
    if confirmed { Ok(()) } else { what_is_next(out, enrolled) }
}

/// Warns of well-known apps that would show other codes. Google Authenticator's own description of
/// the link names the parameters that it ignores (Key Uri Format); Microsoft Authenticator ignores
/// all three (github.com/RobThree/TwoFactorAuth.Net issues 1 and 18).
fn warn_of_apps(enrolled: &EnrollReply) {
    let Ok(OtpAuth { params, .. }) = OtpAuth::parse(enrolled.uri.reveal()) else { return };
    if params != Params::default() {
        warn(&format!(
            "Microsoft Authenticator, and Google Authenticator on some phones, ignore algorithm, digits and period, and \
             show codes that are refused. Use an app that reads them, such as Aegis, FreeOTP or 2FAS ({}, {} digits, {} s)",
            params.algorithm.as_str(),
            params.digits.get(),
            params.period.seconds()
        ));
    }
}

/// The link, the QR code and the key. What is needed with the code comes last, to be on the screen
/// with it and the question.
fn factor(
    out: Output,
    form: Option<&QrForm>,
    enrolled: &EnrollReply,
    terminal: Option<Terminal>,
) -> Result<(), CommandError> {
    let uri = enrolled.uri.reveal();
    let key = format!("Or type this key:  {}", &*qr::grouped(enrolled.secret.reveal()));
    let user = &enrolled.user;
    let named = enrolled.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    out.line(format!("{user}: a new factor{named}, to be set up in an authenticator app."))?;
    if enrolled.discards == Some(true) {
        out.line("It takes the place of one that waited for its first code: delete that entry in the app.")?;
    }
    if enrolled.replaces
        && let Ok(OtpAuth { account, .. }) = OtpAuth::parse(uri)
    {
        out.line(format!("Its entry in the app is called {account}. Keep the old entry:"))?;
        out.line("it works until the first code of the new one.")?;
    }
    out.line(format!("Open this link on the phone: {uri}"))?;
    let Some(drawing) = enroll_qr::for_terminal(out, uri, form, terminal)? else { return out.line(key) };
    out.line("Or scan this with the app:")?;
    let fits = terminal.is_none_or(|terminal| drawing.rows + AROUND <= terminal.rows);
    if !fits {
        out.line(&key)?;
    }
    out.line(&drawing.text)?;
    if fits { out.line(key) } else { Ok(()) }
}

/// What the factor waits for.
fn what_is_next(out: Output, enrolled: &EnrollReply) -> Result<(), CommandError> {
    if let Some(staged) = &enrolled.staged {
        if let Some(left) = enrolled.recovery_codes_left {
            out.line(format!("The recovery code that you typed is used up, and {left} are left. Until the"))?;
            out.line("change, each login uses up another one.")?;
        }
        return staged::explain(out, staged);
    }
    let (user, until) = (&enrolled.user, local(Time::from_unix(enrolled.expires_at)));
    out.line(format!("The enrollment waits for its first code until {until}."))?;
    if enrolled.replaces {
        out.line("The factor in use works until then.")?;
    }
    out.line(format!("`totpd confirm {user}` confirms it, or the first login with a code of it."))
}

/// Recovery codes, for the one moment they are shown.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn recovery_codes(out: Output, codes: &[SecretText]) -> Result<(), CommandError> {
    out.line("Recovery codes, for the day without a phone. Each works once.")?;
    out.line("They are shown only now: write them down, or print them.")?;
    for pair in codes.chunks(2) {
        let pair: Vec<&str> = pair.iter().map(SecretText::reveal).collect();
        out.line(format!("    {}", pair.join("    ")))?;
    }
    Ok(())
}
