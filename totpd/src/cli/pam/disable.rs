//! `totpd pam disable`: removes totpd's blocks and sshd's drop-in. Needs no daemon and no terminal.

use super::proposal::diff;
use super::undo::HostPhase;
use super::{dirs, host, sshd, state, undo};
use crate::cli::Context;
use crate::cli::args::PamDisable;
use crate::cli::output::{CommandError, ExitStatus, failed, warn};
use crate::clock;
use crate::pam_config::plan::in_a_block;
use crate::pam_config::proof::describe;
use crate::pam_config::siblings::services_of;
use crate::pam_config::undo::{Pending, PendingFile, PendingService, State, checksum, content};
use crate::pam_config::{Facility, MODULE, Mode, block, locker, parse};
use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After this time the timer finishes a removal that was killed; so does the next boot.
const FINISH_AFTER: Duration = Duration::from_mins(1);

/// The change of one file.
struct Edit {
    service: String,
    path: PathBuf,
    old: String,
    /// `None` if the file is removed, because nothing is left in it.
    new: Option<String>,
}

/// The services whose lines are removed.
enum Selection {
    /// Every service of the host (`--all`).
    All(BTreeSet<String>),
    /// The named services, with those that `enable` changes together with them.
    Named(BTreeSet<String>),
}

impl Selection {
    const fn services(&self) -> &BTreeSet<String> {
        let (Self::All(services) | Self::Named(services)) = self;
        services
    }

    const fn is_all(&self) -> bool {
        matches!(self, Self::All(_))
    }
}

/// `totpd pam disable`
pub(super) fn disable(context: &Context, args: &PamDisable) -> Result<(), CommandError> {
    let state = state()?;
    let selection = if args.all {
        Selection::All(dirs().names())
    } else {
        let named = args.services.iter().flat_map(|name| services_of(name)).map(str::to_owned);
        Selection::Named(named.collect())
    };
    let edits = edits(&selection).map_err(|why| failed(ExitStatus::Refused, why))?;
    for edit in &edits {
        context.out.print(diff(&edit.path, Some(&edit.old), edit.new.as_deref()));
    }
    if args.dry_run {
        return context.out.line("a dry run: nothing was changed");
    }
    refuse_locking_out(&edits).map_err(|why| failed(ExitStatus::Refused, why))?;
    if edits.is_empty() {
        context.out.print("there is no block of totpd to remove");
    } else {
        ask_to_go_on(args)?;
        apply(context, &state, edits)?;
        let config = context.config()?;
        let names: Vec<&str> = selection.services().iter().map(String::as_str).collect();
        if let Err(error) = crate::last_run::forget(&config, &names) {
            warn(&format!("totpd doctor will report that these services stopped asking ({error})"));
        }
    }
    let left = remaining(&selection);
    if left.is_empty() {
        return Ok(());
    }
    Err(failed(
        ExitStatus::Refused,
        format!(
            "{MODULE} is still in lines outside of totpd's blocks: {}. Remove these lines by hand",
            left.join(", ")
        ),
    ))
}

/// Refuses to remove the block of a locker that would then ask by the lines of a service that it
/// includes: nobody could unlock it.
fn refuse_locking_out(edits: &[Edit]) -> Result<(), String> {
    let (before, mut after) = (dirs(), dirs());
    for edit in edits {
        // A copy of a package's file is removed, and the package's file has the same lines.
        after = after.with(&edit.path, edit.new.as_deref().unwrap_or(&block::strip(&edit.old)?));
    }
    let known = locker::unusable(&before);
    let Some(locked) = locker::unusable(&after).into_iter().find(|service| !known.contains(service)) else {
        return Ok(());
    };
    let stack = after.stack(&locked, Facility::Auth)?;
    let Some(ours) = stack.ours().next() else { return Ok(()) };
    let remedy = if in_a_block(&after, ours)? {
        let service = ours.file.file_name().unwrap_or_default().display();
        format!("Run: totpd pam disable {locked} {service}")
    } else {
        format!("Remove {} by hand first", describe(ours))
    };
    Err(format!(
        "nobody could unlock {locked}, because {} would ask in a second prompt. {remedy}",
        describe(ours)
    ))
}

/// The files with a block, in the order in which `enable` writes them. They are changed in reverse
/// order: sshd's drop-in last, and lockers after the services that they include.
fn edits(selection: &Selection) -> Result<Vec<Edit>, String> {
    let services = selection.services();
    let mut paths: Vec<(String, PathBuf)> = Vec::new();
    if selection.is_all() || services.contains("sshd") {
        paths.push(("sshd".to_owned(), sshd::drop_in()));
    }
    paths.extend(services.iter().map(|service| (service.clone(), dirs().own(service))));
    // The sort is stable: sshd's drop-in stays before sshd's PAM file.
    paths.sort_by_key(|(service, _)| !locker::is_locker(service));
    let mut edits = Vec::new();
    for (service, path) in paths {
        // totpd writes no block into a link or another kind of file.
        if !std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let Some(old) = content(&path).map_err(|error| format!("{}: {error}", path.display()))? else {
            continue;
        };
        let plain = block::strip(&old)
            .map_err(|why| format!("{}: {why}. Repair or remove the block by hand", path.display()))?;
        if plain != old {
            // An unchanged copy of a package's file is removed, so that updates take effect again.
            let packaged = dirs().packaged(&service).and_then(|file| dirs().read(&file).ok());
            let new = (!plain.trim().is_empty() && packaged.as_ref() != Some(&plain)).then_some(plain);
            edits.push(Edit { service, path, old, new });
        }
    }
    Ok(edits)
}

/// Asks whether to change the files, unless `--yes` was given.
fn ask_to_go_on(args: &PamDisable) -> Result<(), CommandError> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(failed(ExitStatus::Usage, "there is no terminal to ask on. Add --yes"));
    }
    let _ =
        write!(std::io::stderr(), "Change these files? These services will no longer ask for a code. [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(failed(ExitStatus::Refused, "nothing was changed"))
    }
}

/// Makes the edits, as the undo of a pending change: if this process is killed, the undo finishes
/// them.
fn apply(context: &Context, state: &State, edits: Vec<Edit>) -> Result<(), CommandError> {
    let said = |error: std::io::Error| failed(ExitStatus::Refused, error);
    let _lock = state.lock().map_err(said)?;
    let now = clock::now().unix();
    let waiting = state.pending().map_err(said)?;
    let (mut files, mut services) = (Vec::new(), Vec::new());
    for edit in edits {
        let backup =
            edit.new.as_deref().map(|new| state.back_up(&edit.path, new, now)).transpose().map_err(said)?;
        services.push(PendingService {
            name: edit.service.clone(),
            group: edit.service.clone(),
            mode: Mode::Require,
            confirmed: None,
        });
        files.push(PendingFile {
            path: edit.path,
            service: edit.service,
            backup,
            old: edit.new.as_deref().map(checksum),
            new: Some(checksum(&edit.old)),
        });
    }
    let mut pending = Pending {
        id: format!("{now}-{}", std::process::id()),
        until: now + FINISH_AFTER.as_secs(),
        edited: None,
        seen: Vec::new(),
        administrators: Vec::new(),
        timer: None,
        services,
        files,
    };
    // Another pending change keeps waiting, without these services.
    let rest = waiting.map(|mut rest| {
        let gone = |service: &str| pending.services.iter().any(|one| one.name == service);
        rest.services.retain(|service| !gone(&service.name));
        rest.files.retain(|file| !gone(&file.service));
        rest
    });
    let Some(rest) = rest else {
        state.set_pending(Some(&pending)).map_err(said)?;
        // Best effort: without a timer, the next boot finishes a removal that was killed.
        pending.timer = host::arm(&context.config_path, &pending.id, FINISH_AFTER).unwrap_or_default();
        return undo::settle(context, state, pending, None, HostPhase::Running);
    };
    let mut both = rest.clone();
    both.files.extend(pending.files.iter().cloned());
    both.services.extend(pending.services.iter().cloned());
    state.set_pending(Some(&both)).map_err(said)?;
    let waits = (!rest.services.is_empty()).then_some(&rest);
    undo::settle(context, state, pending, waits, HostPhase::Running)?;
    if waits.is_none() {
        host::disarm(rest.timer.as_deref());
    }
    Ok(())
}

/// The lines with totpd's module that are left, as `FILE:LINE`.
fn remaining(selection: &Selection) -> Vec<String> {
    let mut left = BTreeSet::new();
    let dirs = dirs();
    for service in selection.services() {
        if selection.is_all() {
            if let Some(file) = dirs.file(service) {
                left.extend(ours_in(&file, &dirs.read(&file).unwrap_or_default()));
            }
        } else if dirs.file(service).is_some()
            && let Ok(stack) = dirs.stack(service, Facility::Auth)
        {
            left.extend(stack.ours().map(|entry| format!("{}:{}", entry.file.display(), entry.line.number)));
        }
    }
    if selection.is_all() {
        let file = Path::new("/etc/pam.conf");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let named = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.split('#').next().is_some_and(|code| code.contains(MODULE)));
        left.extend(named.map(|(index, _)| format!("{}:{}", file.display(), index + 1)));
    }
    left.into_iter().collect()
}

fn ours_in(file: &Path, text: &str) -> Vec<String> {
    let (lines, _) = parse(text);
    let ours = lines.iter().filter(|line| line.is_ours());
    ours.map(|line| format!("{}:{}", file.display(), line.number)).collect()
}
