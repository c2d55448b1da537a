//! The witness: a file outside the state folder that lists what the store withdrew, one line for
//! each withdrawal (`counter kind id seconds`, see [`totp_core::withdrawal`]). It detects a state
//! folder that was put back to an earlier copy. It names no user.
//!
//! A line is written after the store's commit, so a crash between the two leaves the store ahead of
//! its witness, which raises no alarm. The file is not synced: the store writes a line that a power
//! cut destroyed again at the next start.

use crate::folder::{Existing, Folder, Owner};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use totp_core::withdrawal::{Entry, Kind, MAX_ENTRIES};

/// The folder of the witness unless systemd or the configuration names another one.
pub const DEFAULT_FOLDER: &str = "/var/log/totpd";
/// The start of a witness's file name. The id of its store follows.
const PREFIX: &str = "withdrawals-";
/// The most bytes to read of the file: more than twice the lines that are kept.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How long to wait before a failed write is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Returns the folder of the witness: the configured one, or else the first one that systemd
/// created (`LogsDirectory=`, systemd.exec(5)), or else [`DEFAULT_FOLDER`].
#[expect(clippy::disallowed_methods, reason = "systemd sets it for the service; no user's program runs this")]
pub fn folder(configured: Option<&Path>) -> PathBuf {
    let created = || std::env::var_os("LOGS_DIRECTORY").filter(|value| !value.is_empty());
    let first = |value: std::ffi::OsString| {
        value.to_str().and_then(|folders| folders.split(':').next()).map(PathBuf::from)
    };
    let configured = configured.map(Path::to_owned);
    configured.or_else(|| created().and_then(first)).unwrap_or_else(|| DEFAULT_FOLDER.into())
}

/// Returns the witness of any store in this folder. If there is one, this host has had a store.
pub fn any(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX)))
}

/// The witness of one store.
#[derive(Debug)]
pub struct Witness {
    folder: PathBuf,
    name: String,
    /// The owner of the folder if [`Self::write`] creates it. `None`: the user of this process.
    owner: Option<Owner>,
    /// The entries that are not written yet.
    unwritten: VecDeque<Entry>,
    /// When to try again, after a write that failed.
    retry_at: Option<Instant>,
}

impl Witness {
    /// Returns the witness of the store with this id. Opens no file.
    pub fn new(folder: &Path, store_id: &str) -> Self {
        let id: String = store_id.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        Self {
            folder: folder.to_owned(),
            name: format!("{PREFIX}{id}"),
            owner: None,
            unwritten: VecDeque::new(),
            retry_at: None,
        }
    }

    /// Sets the owner of the witness's folder, for the case that [`Self::write`] creates it.
    #[must_use]
    pub fn for_owner(self, owner: Owner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Returns the path of the witness's file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Reads the entries, in the order of the file. Returns none when there is no file, and skips
    /// malformed lines.
    ///
    /// # Errors
    /// The file system's error.
    pub fn read(&self) -> std::io::Result<Vec<Entry>> {
        let folder = match Folder::open_own(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        match folder.read(&self.name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            file => read_entries(&mut file?),
        }
    }

    /// Appends the entries to the file. If that fails, logs a warning and keeps the entries for
    /// [`Self::retry`]. It returns no error, because the store has committed already.
    pub fn write(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.unwritten.extend(entries);
        while self.unwritten.len() > MAX_ENTRIES {
            self.unwritten.pop_front();
        }
        if self.unwritten.is_empty() {
            return;
        }
        match self.append() {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("{} is written again", self.path().display());
                }
                self.unwritten.clear();
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::warn!(
                        "{} cannot be written ({error}): an older copy of the store might not be noticed. Logins go \
                         on; it is tried again",
                        self.path().display()
                    );
                }
                self.retry_at = Some(Instant::now() + RETRY_INTERVAL);
            }
        }
    }

    /// Writes the entries that a failed [`Self::write`] kept, at most once in five seconds.
    pub fn retry(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.write([]);
        }
    }

    fn append(&self) -> std::io::Result<()> {
        let folder = match Folder::open_own(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::DirBuilder::new().mode(0o700).create(&self.folder)?;
                let folder = Folder::open_own(&self.folder)?;
                self.owner.map_or(Ok(()), |owner| folder.give_to(owner))?;
                folder
            }
            folder => folder?,
        };
        if !folder.holds(&self.name)? {
            // A restore runs as root, and the daemon must be able to write the file.
            folder.write_new(&self.name, &mut &b""[..], 0o600, folder.owner()?)?;
        }
        let mut file = folder.append(&self.name)?;
        let mut text = self.unwritten.iter().map(|entry| format!("{entry}\n")).collect::<String>();
        if !ends_with_newline(&mut file)? {
            // A crash cut off the last line: start a new one, so that the next entry is readable.
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() > MAX_BYTES / 4 {
            prune(&folder, &self.name, &mut file)?;
        }
        Ok(())
    }
}

fn ends_with_newline(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// Reads the entries in the last [`MAX_BYTES`] of the file.
fn read_entries(file: &mut std::fs::File) -> std::io::Result<Vec<Entry>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(Entry::parse).collect())
}

/// Replaces the file with one that holds the last [`MAX_ENTRIES`] entries, and the last generation
/// if it is older than they are.
fn prune(folder: &Folder, name: &str, file: &mut std::fs::File) -> std::io::Result<()> {
    let mut entries = read_entries(file)?;
    let kept = entries.split_off(entries.len().saturating_sub(MAX_ENTRIES));
    let generation = entries.into_iter().rfind(|entry| entry.what.kind == Kind::Generation);
    let text: String = generation.iter().chain(&kept).map(|entry| format!("{entry}\n")).collect();
    let new = format!("{name}.new");
    folder.remove(&new)?;
    folder.write_new(&new, &mut text.as_bytes(), 0o600, folder.owner()?)?;
    folder.rename(&new, name, Existing::Replace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use totp_core::Time;
    use totp_core::withdrawal::Withdrawal;

    fn entry(counter: u64, kind: Kind, id: &str) -> Entry {
        Entry { counter, what: Withdrawal::new(kind, id), at: Time::from_unix(9) }
    }

    #[test]
    fn written_entries_are_read_and_only_a_torn_line_is_lost() {
        let scratch = tempfile::tempdir().unwrap();
        let mut witness = Witness::new(&scratch.path().join("log"), "abc/..");
        assert_eq!(witness.read().unwrap(), []);
        witness.write([entry(1, Kind::Factor, "a")]);
        let mut file = std::fs::OpenOptions::new().append(true).open(witness.path()).unwrap();
        file.write_all(b"2 recov").unwrap();
        witness.write([entry(3, Kind::Ticket, "b")]);
        assert_eq!(witness.read().unwrap(), [entry(1, Kind::Factor, "a"), entry(3, Kind::Ticket, "b")]);
        assert!(witness.path().ends_with("log/withdrawals-abc"));
    }

    #[test]
    fn links_are_not_followed_and_failed_writes_are_retried() {
        let scratch = tempfile::tempdir().unwrap();
        let other = scratch.path().join("other");
        std::fs::write(&other, "").unwrap();
        let mut witness = Witness::new(scratch.path(), "abc");
        std::os::unix::fs::symlink(&other, witness.path()).unwrap();
        witness.write([entry(1, Kind::Factor, "a")]);
        assert_eq!(std::fs::read(&other).unwrap(), b"");
        std::fs::remove_file(witness.path()).unwrap();
        witness.write([entry(2, Kind::Factor, "b")]);
        assert_eq!(witness.read().unwrap(), [entry(1, Kind::Factor, "a"), entry(2, Kind::Factor, "b")]);
    }

    #[test]
    fn a_long_file_keeps_its_last_entries_and_generation() {
        let scratch = tempfile::tempdir().unwrap();
        let mut witness = Witness::new(scratch.path(), "abc");
        witness.write([entry(1, Kind::Generation, "1-x")]);
        let id = "x".repeat(400);
        for chunk in 0..4 {
            witness.write((0..1000).map(|n| entry(2 + chunk * 1000 + n, Kind::Factor, &id)));
        }
        let read = witness.read().unwrap();
        assert_eq!(read.first(), Some(&entry(1, Kind::Generation, "1-x")));
        assert_eq!(read.last().map(|e| e.counter), Some(4001));
        assert!(std::fs::metadata(witness.path()).unwrap().len() < MAX_BYTES);
    }
}
