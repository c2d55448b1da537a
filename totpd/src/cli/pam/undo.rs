//! Takes back changes that no login has confirmed: by hand, by the timer, at the next boot, or
//! after Ctrl-C.

use super::{confirm, dirs, host, sshd, state};
use crate::cli::Context;
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::pam_config::Facility;
use crate::pam_config::undo::{Pending, Restored, State, take_back as take_back_file};
use serde_json::json;
use std::collections::BTreeMap;

/// Whether the host is still booting: then no daemon is asked, and no sshd is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostPhase {
    /// `totpd-pam-take-back.service` runs this, before logins.
    Booting,
    /// The host runs.
    Running,
}

/// `totpd pam take-back`
pub(super) fn take_back(
    context: &Context,
    change: Option<&str>,
    phase: HostPhase,
) -> Result<(), CommandError> {
    let state = state()?;
    let of_change = |pending: &Pending| change.is_none_or(|id| id == pending.id);
    let read = || state.pending().map_err(|error| failed(ExitStatus::Refused, error));
    let Some(pending) = read()?.filter(of_change) else {
        return context.out.line("no change waits for a login");
    };
    // Before the lock is taken: a daemon that hangs must not block another process.
    let confirmed = match phase {
        HostPhase::Booting => BTreeMap::new(),
        HostPhase::Running => confirmed(context, &pending),
    };
    let lock = state.lock();
    if let Err(error) = &lock {
        // The other process was stopped in the middle of a change. `take_back_file` handles each
        // step.
        warn(&format!("{error}. The change is taken back all the same"));
    }
    let Some(mut pending) = read()?.filter(of_change) else { return Ok(()) };
    for service in &mut pending.services {
        if let Some(user) = confirmed.get(&service.group) {
            service.confirmed.get_or_insert_with(|| user.clone());
        }
    }
    settle(context, &state, pending, None, phase)
}

fn confirmed(context: &Context, pending: &Pending) -> BTreeMap<String, String> {
    let confirmed = context.config().and_then(|config| confirm::confirmed(&config, pending));
    confirmed.unwrap_or_else(|why| {
        warn(&format!("{}. Services that are not known to be confirmed are changed back", why.why));
        BTreeMap::new()
    })
}

/// Ends a pending change: keeps what is confirmed, and takes the rest back. `rest` is the change
/// that stays pending instead. The caller holds the lock.
///
/// # Errors
/// Which files could not be taken back. They stay pending.
pub(super) fn settle(
    context: &Context,
    state: &State,
    mut pending: Pending,
    rest: Option<&Pending>,
    phase: HostPhase,
) -> Result<(), CommandError> {
    let kept = |pending: &Pending, service: &str| {
        pending.services.iter().any(|one| one.name == service && one.confirmed.is_some())
    };
    let (mut errors, mut failed_files, mut drop_in) = (Vec::new(), Vec::new(), false);
    let mut done = Vec::new();
    // In reverse order of writing: sshd asks PAM until PAM's own file is as before.
    for file in pending.files.iter().rev().filter(|file| !kept(&pending, &file.service)) {
        let path = file.path.display();
        // While PAM's file asks for nothing but the code, sshd must not take the code as the only
        // factor.
        let held = file.path == sshd::drop_in() && asks_in_sshd();
        if held {
            errors.push(format!(
                "{path} is kept, because /etc/pam.d/sshd still asks for a code. Remove that line first"
            ));
            failed_files.push(file.clone());
            continue;
        }
        match take_back_file(state, file) {
            Ok(Restored::Unchanged) => {}
            Ok(Restored::OldContent) => {
                drop_in |= file.path == sshd::drop_in();
                done.push(json!({ "file": file.path, "done": "restored" }));
                context.out.print(format!("{path}: as it was before"));
            }
            Ok(Restored::BlockRemoved) => {
                drop_in |= file.path == sshd::drop_in();
                done.push(json!({ "file": file.path, "done": "block-removed" }));
                let what = "it was edited since, so only the block of totpd was removed";
                context.out.print(format!("{path}: {what}"));
            }
            Err(error) => {
                errors.push(format!("{path}: {error}"));
                failed_files.push(file.clone());
            }
        }
    }
    if drop_in
        && phase == HostPhase::Running
        && let Err(why) = host::reload_sshd()
    {
        errors.push(why);
    }
    for service in pending.services.iter().filter(|service| service.confirmed.is_some()) {
        let user = service.confirmed.as_deref().unwrap_or_default();
        context.out.print(format!("{}: kept, confirmed by {user}", service.name));
    }
    let _ = context.out.json(&json!({ "services": pending.services, "files": done, "errors": errors }));
    let timer = pending.timer.take();
    let left = pending.left(failed_files, rest);
    state.set_pending(left.as_ref()).map_err(|error| failed(ExitStatus::Refused, error))?;
    if errors.is_empty() {
        // Last: the timer itself may run this process.
        host::disarm(timer.as_deref());
        return Ok(());
    }
    Err(failed(ExitStatus::Refused, format!("some files could not be taken back: {}", errors.join("; "))))
}

/// Whether sshd's stack has a line of totpd, or cannot be read.
fn asks_in_sshd() -> bool {
    dirs()
        .stack("sshd", Facility::Auth)
        .is_ok_and(|stack| stack.ours().next().is_some() || !stack.troubles.is_empty())
}
