//! The marks that break-glass leaves: a file of JSON lines beside the configuration. Writing it
//! needs no store. It is read at every login, so that users learn for a week that break-glass
//! granted a login in their name.

use crate::audit::{Event, EventOutcome};
use crate::store::Committed;
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use totp_core::Time;
use totp_core::time::DAY;

/// For how long a use is shown to its user, in seconds.
const SHOWN_FOR: u64 = 7 * DAY;
/// The bytes of a file that is read at most: more than break-glass ever wrote.
const MAX_BYTES: u64 = 1024 * 1024;

/// Writes a mark to stable storage; the folder too, so that the file is found again.
///
/// # Errors
/// The file system's error. Nothing may be granted then.
pub fn mark(file: &Path, event: &Event) -> std::io::Result<Committed> {
    let mut options = OpenOptions::new();
    let mut marks = options.create(true).append(true).mode(0o644).open(file)?;
    // For the daemon's user to read, whatever root's umask is.
    marks.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    marks.write_all(format!("{}\n", event.json()).as_bytes())?;
    marks.sync_all()?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(Committed(()))
}

#[derive(Deserialize)]
struct Mark {
    time: String,
    user: String,
    outcome: EventOutcome,
}

/// When break-glass last granted this user a login; `None` when that was a week ago or earlier, and
/// where the file cannot be read: it decides nothing.
pub fn last_use(file: &Path, user: &str, now: Time) -> Option<Time> {
    let size = std::fs::metadata(file).ok()?.len();
    if size > MAX_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let marks = text.lines().filter_map(|line| serde_json::from_str::<Mark>(line).ok());
    let uses = marks.filter(|mark| mark.user == user && mark.outcome == EventOutcome::Granted);
    let times = uses.filter_map(|mark| crate::clock::from_rfc3339(&mark.time));
    times.filter(|at| now.since(*at) < SHOWN_FOR).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{EventKind, EventSource};

    #[test]
    fn a_use_is_shown_for_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("breakglass.log");
        let at = Time::from_unix(1_800_000_000);
        assert_eq!(last_use(&file, "alice", at), None);
        for (user, outcome, time) in
            [("alice", EventOutcome::Granted, at), ("bob", EventOutcome::Started, at.plus(9))]
        {
            let event =
                Event { outcome, ..Event::new(EventKind::BreakGlass, user, time, EventSource::default()) };
            mark(&file, &event).unwrap();
        }
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"no json\n").unwrap();
        assert_eq!(last_use(&file, "alice", at.plus(7 * DAY - 1)), Some(at));
        assert_eq!(last_use(&file, "alice", at.plus(7 * DAY)), None);
        assert_eq!(last_use(&file, "bob", at.plus(10)), None, "it was never used");
    }
}
