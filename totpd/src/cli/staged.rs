//! Staged changes: a user's own changes of a factor in use, and `totpd cancel`.

use super::{Context, verify};
use crate::cli::output::{CommandError, Output};
use crate::cli::rpc::admin_call;
use crate::cli::subject::{Subject, self_service_call};
use crate::clock::rfc3339;
use crate::local_time::local;
use serde_json::{Value, json};
use totp_core::Time;
use totp_wire::admin::Staged;
use totp_wire::{SecretText, admin, self_service};

/// A code and a ticket, each `None` if the user left it out.
pub(super) type Proof = (Option<SecretText>, Option<SecretText>);

/// Asks for a code of the factor in use, and for a ticket that changes it without a delay.
pub(super) fn ask_proof() -> Result<Proof, CommandError> {
    let given = |text: SecretText| if text.reveal().is_empty() { None } else { Some(text) };
    let code = verify::ask("Current code, or a recovery code (empty with a ticket for a lost phone): ")?;
    let ticket = verify::ask("Ticket from your administrator (empty: the change is delayed): ")?;
    Ok((given(code), given(ticket)))
}

/// `totpd cancel [USER]`
pub(super) fn cancel(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    let config = context.config()?;
    let subject = Subject::of(user)?;
    let cancelled = match &subject {
        Subject::Oneself(_) => {
            let code = verify::ask("Current code, or a recovery code: ")?;
            self_service_call(&config, &self_service::Cancel { code })?.cancelled
        }
        Subject::User(user) => admin_call(&config, &admin::Cancel { user: user.clone() })?.cancelled,
    };
    let user = subject.name();
    context.out.json(&json!({ "user": user, "cancelled": document(&cancelled) }))?;
    let what = what(&cancelled);
    context.out.line(format!(
        "{user}: cancelled {what}, which was asked for on {} from {}. If you did not ask for it, somebody else has used \
         your code: call your administrators",
        shown(cancelled.staged_at),
        cancelled.from
    ))
}

/// The change as text: `a replacement of the factor`.
pub(super) fn what(staged: &Staged) -> &'static str {
    match staged.change.as_str() {
        "replace" => "a replacement of the factor",
        "add" => "a further authenticator",
        "remove" => "the removal of the factor",
        _ => "an exchange of the recovery codes",
    }
}

/// Prints how long a staged change waits, and what to do then.
pub(super) fn explain(out: Output, staged: &Staged) -> Result<(), CommandError> {
    let (ripens_at, expires_at) = (shown(staged.ripens_at), shown(staged.expires_at));
    let then = match staged.change.as_str() {
        "replace" | "add" => "run `totpd confirm` with a code of the new app",
        "remove" => "run `totpd revoke` again with another code",
        _ => "run `totpd recovery-codes` again with another code",
    };
    out.line(format!(
        "This waits until {ripens_at}, and for a login that shows you a notice of it: log in once as"
    ))?;
    out.line(format!("usual, where you see messages. Then {then}, before {expires_at}."))?;
    out.line("The factor in use works until then. `totpd cancel` with a code of it cancels this change.")
}

/// A staged change as JSON.
pub(super) fn document(staged: &Staged) -> Value {
    json!({
        "change": staged.change,
        "staged_at": time(staged.staged_at),
        "from": staged.from,
        "ripens_at": time(staged.ripens_at),
        "notice_shown": staged.notice_shown,
        "expires_at": time(staged.expires_at),
    })
}

/// A time for people.
fn shown(unix: u64) -> String {
    local(Time::from_unix(unix))
}

/// A time for programs.
fn time(unix: u64) -> String {
    rfc3339(Time::from_unix(unix))
}
