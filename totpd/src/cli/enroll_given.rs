//! `totpd enroll USER --secret -`: a factor whose secret was made elsewhere, as that of a hardware
//! token. The secret comes from standard input, never from argv, which every user can read.

use super::args::{Enroll, SecretSource};
use super::{Context, enroll_screens, passphrase, verify};
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::cli::rpc::admin_call;
use crate::cli::subject::Subject;
use crate::clock::rfc3339;
use crate::import::secret_text::{self, MAX_TEXT, ReadSecret};
use crate::local_time::{local, local_second};
use serde_json::json;
use std::io::{IsTerminal, Read};
use totp_core::given_secret::{GivenSecret, ShortSecret};
use totp_core::{Params, Time};
use totp_wire::{SecretText, admin};
use zeroize::Zeroizing;

/// How many first codes may be typed before the command leaves it to `totpd confirm`.
const FIRST_CODE_TRIES: u8 = 5;

/// Enrolls `args.user` with the secret on standard input.
///
/// # Errors
/// When there is no secret on it, when an option contradicts an otpauth link, or when the daemon
/// refuses it.
pub(super) fn enroll_given(context: &Context, args: Enroll) -> Result<(), CommandError> {
    let out = context.out;
    out.require_shown("the recovery codes")?;
    let Some(user) = args.user.clone() else {
        return Err(usage("a given secret needs a user. Run: totpd enroll USER --secret -"));
    };
    if args.secret != Some(SecretSource::StandardInput) {
        return Err(usage(
            "a secret on the command line is visible to every user of this host. Write --secret - and give it on \
             standard input",
        ));
    }
    if !nix::unistd::geteuid().is_root() && matches!(Subject::of(Some(user.clone()))?, Subject::Oneself(_)) {
        return Err(usage("only administrators give a secret. Leave out --secret, and the daemon makes one"));
    }
    let given = secret_text::parse(&read_secret()?).map_err(|why| usage(&why.to_string()))?;
    let short = if args.allow_short { ShortSecret::Accept } else { ShortSecret::Refuse };
    GivenSecret::new(given.secret.clone(), short).map_err(|why| usage(&why.to_string()))?;
    refuse_contradictions(&args, &given)?;
    if let Some(account) = given.account.as_ref().filter(|account| **account != user) {
        warn(&format!("the otpauth link names {}, and not {user}", totp_wire::text::printable(account, 64)));
    }
    let call = admin::Enroll {
        user: user.clone(),
        lifetime: args.expires.map(|time| time.as_secs()),
        issuer: args.issuer,
        algorithm: given.params.map(|params| params.algorithm.as_str().to_owned()).or(args.algorithm),
        digits: given.params.map(|params| params.digits.get()).or(args.digits),
        period: given.params.map(|params| params.period.seconds()).or(args.period),
        given: Some(admin::GivenSecret {
            secret: SecretText::new(given.secret.to_base32()),
            allow_short: args.allow_short.then_some(true),
        }),
        name: args.name,
        add: args.add.then_some(true),
    };
    let enrolled = admin_call(&context.config()?, &call)?;
    let expires_at = Time::from_unix(enrolled.expires_at);
    let codes_from = enrolled.codes_from.map(Time::from_unix);
    let codes: Vec<&str> = enrolled.recovery_codes.iter().map(SecretText::reveal).collect();
    out.json(&json!({
        "user": enrolled.user,
        "totp_id": enrolled.totp_id,
        "given": given.form.to_string(),
        "recovery_codes": codes,
        "expires_at": rfc3339(expires_at),
        "codes_from": codes_from.map(rfc3339),
        "replaces": enrolled.replaces,
    }))?;
    out.line(format!("{user}: enrolled with the given secret, which is {}.", given.form))?;
    if let Some(codes_from) = codes_from.map(local_second) {
        out.line(format!(
            "Codes that are shown before {codes_from} are refused: they may have been used elsewhere.\n"
        ))?;
    }
    let subject = Subject::User(user.clone());
    let answered =
        if out.interactive() { verify::first_code(context, &subject, FIRST_CODE_TRIES) } else { Ok(false) };
    // Whatever became of the first code, the recovery codes are shown only now.
    enroll_screens::recovery_codes(out, &enrolled.recovery_codes)?;
    if answered? {
        return out.line(format!("\n{user}: confirmed"));
    }
    out.line(format!("\nThe enrollment waits for its first code until {}.", local(expires_at)))?;
    if enrolled.replaces {
        out.line("The factor in use works until then.")?;
    }
    out.line(format!("`totpd confirm {user}` confirms it, or the first login with a code of it."))
}

fn usage(why: &str) -> CommandError {
    failed(ExitStatus::Usage, why)
}

/// Reads the secret: a line without echo from a terminal, or all of standard input.
fn read_secret() -> Result<Zeroizing<String>, CommandError> {
    // One more than is read, so that a longer input is noticed.
    let limit = MAX_TEXT + 1;
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return passphrase::hidden_line("Secret (base32, hex or an otpauth:// link): ", limit);
    }
    let mut text = Zeroizing::new(String::with_capacity(limit));
    let read = stdin.lock().take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => usage("the secret on standard input is not text"),
        _ => failed(ExitStatus::Refused, format!("standard input cannot be read: {error}")),
    })?;
    Ok(text)
}

/// Refuses options that say something else than the otpauth link.
fn refuse_contradictions(args: &Enroll, given: &ReadSecret) -> Result<(), CommandError> {
    let Some(Params { algorithm, digits, period }) = given.params else { return Ok(()) };
    let differs = [
        (
            "--algorithm",
            args.algorithm.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(algorithm.as_str())),
        ),
        ("--digits", args.digits.is_some_and(|number| number != digits.get())),
        ("--period", args.period.is_some_and(|seconds| seconds != period.seconds())),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((option, _)) => Err(usage(&format!(
            "{option} contradicts the otpauth link, which says {}, {} digits and {} s. Leave it out",
            algorithm.as_str(),
            digits.get(),
            period.seconds()
        ))),
    }
}
