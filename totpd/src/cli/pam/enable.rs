//! `totpd pam enable`: shows the change, tries it, arms the undo, edits, and waits for logins.

use super::proposal::{Proposal, diff};
use super::undo::HostPhase;
use super::{admins, confirm, host, sshd, state, trial, undo};
use crate::cli::Context;
use crate::cli::args::PamEnable;
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::clock;
use crate::config::Config;
use crate::pam_config::locker::is_locker;
use crate::pam_config::proof::FirstFactor;
use crate::pam_config::undo::{Pending, PendingFile, PendingService, State, checksum, content, replace};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The range of `--confirm-within`: a login takes some seconds.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(24);
/// The most users to name in one line.
const MAX_NAMES: usize = 20;
/// How often the history is read for logins.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// `totpd pam enable`
pub(super) fn enable(context: &Context, args: &PamEnable) -> Result<(), CommandError> {
    if !(SHORTEST..=LONGEST).contains(&args.confirm_within) {
        return Err(failed(ExitStatus::Usage, "--confirm-within takes 10s to 24h"));
    }
    let (config, state) = (context.config()?, state()?);
    let refused = |why: String| failed(ExitStatus::Refused, why);
    let damaged = |error: std::io::Error| refused(error.to_string());
    if state.pending().map_err(damaged)?.is_some() {
        return Err(refused(
            "another change waits for a login. `totpd pam status` shows it, and `totpd pam take-back` takes it back"
                .to_owned(),
        ));
    }
    state.tidy().map_err(damaged)?;
    let proposal = Proposal::new(&config, args)?;
    let edits = proposal.edits();
    show(context, &proposal, &edits);
    if edits.is_empty() || args.dry_run {
        let files = edits.iter().map(
            |(_, path, old, new)| json!({ "file": path, "diff": diff(path, old.as_deref(), new.as_deref()) }),
        );
        let files: Vec<_> = files.collect();
        context.out.json(&json!({ "files": files, "notes": proposal.notes, "left": proposal.left }))?;
        let what = if edits.is_empty() { "nothing to change" } else { "a dry run: nothing was changed" };
        return context.out.line(what);
    }
    let affected = admins::affected_users(&config, proposal.mode)?;
    if let Some(plan) = &proposal.sshd {
        sshd::check(&proposal.scratch, plan, &affected.users, &admins::roots())
            .map_err(|why| refused(format!("{why}. Nothing was changed")))?;
    }
    note_users_locked_out(context, &proposal, &affected.without_factor);
    context.out.print("trying the new stacks with libpam, pam_totp and a test daemon …");
    let runs = trial::trial(&config, &proposal).map_err(refused)?;
    context.out.print(format!("{runs} test logins: each was granted or refused as expected"));
    ask_to_go_on(context, args)?;
    let signals = block_signals().map_err(damaged)?;
    let pending = apply(context, &state, &config, &proposal, args, (&edits, affected.administrators))?;
    if proposal.mode == crate::pam_config::Mode::Monitor {
        // Doctor must not report services that only watch from now on.
        let names: Vec<&str> = pending.services.iter().map(|service| service.name.as_str()).collect();
        if let Err(error) = crate::last_run::forget(&config, &names) {
            context
                .out
                .print(format!("totpd doctor will report that these services stopped asking ({error})"));
        }
    }
    if args.unattended {
        let lock = state.lock().map_err(damaged)?;
        state.set_pending(None).map_err(damaged)?;
        drop(lock);
        host::disarm(pending.timer.as_deref());
        context.out.json(&json!({ "services": pending.services, "files": pending.files }))?;
        return context.out.line("done, without waiting for logins");
    }
    // The trial's folder is removed before the wait, which may be killed.
    drop(proposal);
    wait(context, &state, &config, &pending, args.confirm_within, &signals)
}

/// Service, file, old and new content of each edit.
type Edits = [(String, std::path::PathBuf, Option<String>, Option<String>)];

fn show(context: &Context, proposal: &Proposal, edits: &Edits) {
    for (_, path, old, new) in edits {
        context.out.print(diff(path, old.as_deref(), new.as_deref()));
    }
    for note in &proposal.notes {
        context.out.print(format!("note: {note}"));
    }
    for (service, why) in &proposal.left {
        context.out.print(format!("not changed: {service}: {why}"));
    }
}

/// Names the users without a factor, who could not unlock a locker of the change.
fn note_users_locked_out(context: &Context, proposal: &Proposal, users: &[String]) {
    let lockers = proposal.changed.iter().filter(|changed| changed.first == FirstFactor::OneField);
    let lockers: Vec<&str> = lockers.map(|changed| changed.service.as_str()).collect();
    if lockers.is_empty() || users.is_empty() {
        return;
    }
    let more = users.len().saturating_sub(MAX_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let users = users.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    context.out.print(format!(
        "note: {}: these users have no factor, and cannot unlock: {users}{more}",
        lockers.join(", ")
    ));
}

/// Asks whether to change the files, unless `--yes` was given.
fn ask_to_go_on(context: &Context, args: &PamEnable) -> Result<(), CommandError> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(failed(ExitStatus::Usage, "there is no terminal to ask on. Add --yes"));
    }
    let within = humantime::format_duration(args.confirm_within);
    context.out.line(format!(
        "Keep this session open. Services without a login within {within} are changed back."
    ))?;
    let _ = write!(std::io::stderr(), "Change these files? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(failed(ExitStatus::Refused, "nothing was changed"))
}

/// Blocks SIGINT and SIGTERM: from the first edit on, Ctrl-C takes the change back and must not end
/// it half-way.
fn block_signals() -> std::io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?)
}

/// Arms the undo and makes the edits. Takes everything back if one fails.
fn apply(
    context: &Context,
    state: &State,
    config: &Config,
    proposal: &Proposal,
    args: &PamEnable,
    (edits, administrators): (&Edits, Vec<String>),
) -> Result<Pending, CommandError> {
    let said = |error: std::io::Error| failed(ExitStatus::Refused, error);
    let lock = state.lock().map_err(said)?;
    // Another process may have begun a change before the lock was taken.
    if state.pending().map_err(said)?.is_some() {
        return Err(failed(ExitStatus::Refused, "nothing was changed, because another change came first"));
    }
    let mut pending = arm(context, state, proposal, args, edits)?;
    let waits = || state.pending().is_ok_and(|now| now.is_some_and(|now| now.id == pending.id));
    let written = write(edits, waits);
    if let Err(why) = written {
        let why = failed(ExitStatus::Refused, format!("{why}. The change is taken back"));
        undo::settle(context, state, pending, None, HostPhase::Running)?;
        return Err(why);
    }
    let edited = clock::now().unix();
    // A login of this same second may have come before the last edit, and confirms nothing.
    pending.seen = confirm::events_since(config, edited).unwrap_or_default();
    pending.edited = Some(edited);
    pending.administrators = administrators;
    state.set_pending(Some(&pending)).map_err(said)?;
    drop(lock);
    Ok(pending)
}

/// Writes the pending change to disk and starts the timer of its undo.
fn arm(
    context: &Context,
    state: &State,
    proposal: &Proposal,
    args: &PamEnable,
    edits: &Edits,
) -> Result<Pending, CommandError> {
    let now = clock::now().unix();
    let said =
        |error: std::io::Error| failed(ExitStatus::Refused, format!("the undo cannot be armed: {error}"));
    let mut files = Vec::new();
    for (service, path, old, new) in edits {
        let backup = old.as_deref().map(|old| state.back_up(path, old, now)).transpose().map_err(said)?;
        files.push(PendingFile {
            path: path.clone(),
            service: service.clone(),
            backup,
            old: old.as_deref().map(checksum),
            new: new.as_deref().map(checksum),
        });
    }
    let services = proposal.changed.iter().map(|changed| PendingService {
        name: changed.service.clone(),
        group: changed.group.clone(),
        mode: proposal.mode,
        confirmed: None,
    });
    let id = format!("{now}-{}", std::process::id());
    let mut pending = Pending {
        until: now + args.confirm_within.as_secs(),
        edited: None,
        seen: Vec::new(),
        administrators: Vec::new(),
        timer: None,
        services: services.collect(),
        files,
        id: id.clone(),
    };
    // Before the timer starts, which reads it; and again below, with the timer's name.
    state.set_pending(Some(&pending)).map_err(said)?;
    match host::arm(&context.config_path, &id, args.confirm_within) {
        Ok(timer) => pending.timer = timer,
        Err(why) => {
            state.set_pending(None).map_err(said)?;
            return Err(failed(
                ExitStatus::Refused,
                format!("the undo cannot be armed: {why}. Nothing was changed"),
            ));
        }
    }
    state.set_pending(Some(&pending)).map_err(said)?;
    Ok(pending)
}

/// Writes the files. sshd's drop-in is first, and sshd uses it before PAM's files change. Stops if
/// the undo has run.
fn write(edits: &Edits, waits: impl Fn() -> bool) -> Result<(), String> {
    for (_, path, old, new) in edits {
        if !waits() {
            return Err("the undo has run already".to_owned());
        }
        let said = |error: std::io::Error| format!("{}: {error}", path.display());
        if content(path).map_err(said)? != *old {
            return Err(format!("{} was changed by another program at the same time", path.display()));
        }
        replace(path, new.as_deref()).map_err(said)?;
        if *path == sshd::drop_in() {
            host::reload_sshd()?;
        }
    }
    if waits() { Ok(()) } else { Err("the undo has run already".to_owned()) }
}

/// Waits until every service is confirmed, the time is over, or the user presses Ctrl-C.
fn wait(
    context: &Context,
    state: &State,
    config: &Config,
    pending: &Pending,
    within: Duration,
    signals: &SignalFd,
) -> Result<(), CommandError> {
    let begun = Instant::now();
    let groups: BTreeSet<&str> = pending.services.iter().map(|service| service.group.as_str()).collect();
    let mut waiting = groups.clone();
    let names = groups.iter().copied().collect::<Vec<_>>().join(", ");
    context.out.print(format!("changed. Now log in from another terminal, with a code, to each of: {names}"));
    if groups.iter().any(|group| is_locker(group)) {
        context.out.print("For a locker, lock the screen now, and unlock it with a code.");
    }
    if !pending.administrators.is_empty() {
        context
            .out
            .print(format!("Only logins of administrators count: {}", pending.administrators.join(", ")));
    }
    context
        .out
        .print("Ctrl-C changes back what is not confirmed. If this terminal closes, the timer does it.");
    let mut unreachable = false;
    loop {
        match confirm::confirmed(config, pending) {
            Ok(confirmed) => {
                for (group, user) in confirmed {
                    if !waiting.remove(group.as_str()) {
                        continue;
                    }
                    let all = state
                        .confirm(&pending.id, &group, &user)
                        .map_err(|e| failed(ExitStatus::Refused, e))?;
                    clear_line();
                    context.out.print(format!("{group}: confirmed by {user}, and stays"));
                    // The code was right, and the program may have refused for another reason.
                    context.out.print(format!(
                        "if that login was refused all the same, run: totpd pam disable {group}"
                    ));
                    if all {
                        host::disarm(pending.timer.as_deref());
                        context.out.json(&json!({ "services": pending.services, "confirmed": true }))?;
                        return context.out.line("every service is confirmed");
                    }
                }
            }
            Err(why) if !unreachable => {
                unreachable = true;
                warn(&format!("{}. Still waiting", why.why));
            }
            Err(_) => {}
        }
        let left = within.saturating_sub(begun.elapsed());
        if left.is_zero() || interrupted(signals) {
            clear_line();
            context.out.print("changing back what no login has confirmed");
            undo::take_back(context, Some(&pending.id), HostPhase::Running)?;
            return Err(failed(
                ExitStatus::Refused,
                format!("not confirmed: {}", waiting.into_iter().collect::<Vec<_>>().join(", ")),
            ));
        }
        if state.pending().is_ok_and(|now| now.is_none_or(|now| now.id != pending.id)) {
            clear_line();
            return Err(failed(
                ExitStatus::Refused,
                "the timer or another command has ended this change, and changed back what no login had confirmed. \
                 Run: totpd pam status",
            ));
        }
        show_time_left(context, &waiting, left);
    }
}

/// Waits for [`CHECK_INTERVAL`]. Returns whether SIGINT or SIGTERM came.
fn interrupted(signals: &SignalFd) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(CHECK_INTERVAL).unwrap_or(PollTimeout::ZERO);
    matches!(poll(&mut fds, timeout), Ok(1..)) && matches!(signals.read_signal(), Ok(Some(_)))
}

/// Shows how much time is left, on one line of a terminal.
fn show_time_left(context: &Context, waiting: &BTreeSet<&str>, left: Duration) {
    if context.out.interactive() {
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        let waiting = waiting.iter().copied().collect::<Vec<_>>().join(", ");
        let _ = write!(std::io::stderr(), "\r\x1b[Knot yet confirmed: {waiting} ({left} left)");
    }
}

fn clear_line() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}
