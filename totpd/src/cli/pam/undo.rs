//! Takes back what no login has confirmed: by hand, by the timer, at the next boot, or after Ctrl-C.

use super::enable::say;
use super::{confirm, dirs, host, sshd, state};
use crate::cli::Context;
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::pam_config::Facility;
use crate::pam_config::undo::{Pending, Restored, State, take_back as take_back_file};
use serde_json::json;
use std::collections::BTreeMap;

/// `totpd pam take-back`
pub(super) fn take_back(context: &Context, change: Option<&str>, boot: bool) -> Result<(), CommandError> {
    let state = state()?;
    let of_change = |pending: &Pending| change.is_none_or(|id| id == pending.id);
    let read = || state.pending().map_err(|error| failed(ExitStatus::Refused, error));
    let Some(pending) = read()?.filter(of_change) else {
        return context.out.line("there is no change that waits for a login");
    };
    // Before anything else is held: a daemon that hangs must not hold up what another process does.
    let confirmed = if boot { BTreeMap::new() } else { confirmed(context, &pending) };
    let lock = state.lock();
    if let Err(error) = &lock {
        // One that was stopped in the middle of a change: what it left is understood.
        warn(&format!("{error}; the change is taken back all the same"));
    }
    let Some(mut pending) = read()?.filter(of_change) else { return Ok(()) };
    for service in &mut pending.services {
        if let Some(user) = confirmed.get(&service.group) {
            service.confirmed.get_or_insert_with(|| user.clone());
        }
    }
    settle(context, &state, pending, None, !boot)
}

fn confirmed(context: &Context, pending: &Pending) -> BTreeMap<String, String> {
    let confirmed = context.config().and_then(|config| confirm::confirmed(&config, pending));
    confirmed.unwrap_or_else(|why| {
        warn(&format!("{}: what is not known to be confirmed is taken back", why.why));
        BTreeMap::new()
    })
}

/// Keeps what is confirmed, takes the rest back, and forgets the change; `rest` is what goes on waiting instead. The
/// lock is held.
///
/// # Errors
/// Which files could not be taken back; they stay pending.
pub(super) fn settle(
    context: &Context,
    state: &State,
    mut pending: Pending,
    rest: Option<&Pending>,
    reload: bool,
) -> Result<(), CommandError> {
    let kept = |pending: &Pending, service: &str| {
        pending.services.iter().any(|one| one.name == service && one.confirmed.is_some())
    };
    let (mut errors, mut failed_files, mut drop_in) = (Vec::new(), Vec::new(), false);
    let mut done = Vec::new();
    // The other way round than it was written: sshd goes on asking PAM until PAM's own file is back.
    for file in pending.files.iter().rev().filter(|file| !kept(&pending, &file.service)) {
        let path = file.path.display();
        // sshd goes on asking while PAM's file asks for the code alone: it would be the only factor.
        let held = file.path == sshd::drop_in() && asks_in_sshd();
        if held {
            errors.push(format!(
                "{path} stays, since /etc/pam.d/sshd still asks for a code: take that line out first"
            ));
            failed_files.push(file.clone());
            continue;
        }
        match take_back_file(state, file) {
            Ok(Restored::Untouched) => {}
            Ok(Restored::Back) => {
                drop_in |= file.path == sshd::drop_in();
                done.push(json!({ "file": file.path, "done": "restored" }));
                say(context, format!("{path}: as it was before"));
            }
            Ok(Restored::BlockOnly) => {
                drop_in |= file.path == sshd::drop_in();
                done.push(json!({ "file": file.path, "done": "block-removed" }));
                let what = "somebody has edited it since; the block of totpd is out, and the rest stays";
                say(context, format!("{path}: {what}"));
            }
            Err(error) => {
                errors.push(format!("{path}: {error}"));
                failed_files.push(file.clone());
            }
        }
    }
    if drop_in
        && reload
        && let Err(why) = host::reload_sshd()
    {
        errors.push(why);
    }
    for service in pending.services.iter().filter(|service| service.confirmed.is_some()) {
        let user = service.confirmed.as_deref().unwrap_or_default();
        say(context, format!("{}: stays, confirmed by {user}", service.name));
    }
    let _ = context.out.json(&json!({ "services": pending.services, "files": done, "errors": errors }));
    let timer = pending.timer.take();
    let left = pending.left(failed_files, rest);
    state.set_pending(left.as_ref()).map_err(|error| failed(ExitStatus::Refused, error))?;
    if errors.is_empty() {
        // Last: when the timer itself runs this, stopping it is harmless then.
        host::disarm(timer.as_deref());
        return Ok(());
    }
    Err(failed(ExitStatus::Refused, format!("not everything could be taken back: {}", errors.join("; "))))
}

/// Whether sshd's stack has a line of ours, or cannot be read.
fn asks_in_sshd() -> bool {
    dirs()
        .stack("sshd", Facility::Auth)
        .is_ok_and(|stack| stack.ours().next().is_some() || !stack.troubles.is_empty())
}
