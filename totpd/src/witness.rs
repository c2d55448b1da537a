//! The witness: a file outside the state folder that lists what the store withdrew, one line each
//! (`counter kind id seconds`, see [`totp_core::withdrawal`]). It names no user. It follows the
//! store's commit, so a crash between the two leaves the store ahead, which is no alarm. It is not
//! synced: a line that a power cut takes is written again from the store at the next start.

use crate::folder::{Folder, Owner};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use totp_core::withdrawal::{Entry, Kind, MAX_ENTRIES};

/// Where the witness is unless systemd or the configuration names another folder.
pub const DEFAULT_FOLDER: &str = "/var/log/totpd";
/// How the name of a witness begins; the id of its store follows.
const PREFIX: &str = "withdrawals-";
/// Bytes of the file that are read: more than twice the lines that are kept.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How long a write that failed waits before it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The folder of the witness: the configured one, or the one that systemd made (`LogsDirectory=`),
/// or the default.
#[expect(clippy::disallowed_methods, reason = "systemd's word to the service; no user's program runs this")]
pub fn folder(configured: Option<&Path>) -> PathBuf {
    let made = || std::env::var_os("LOGS_DIRECTORY").filter(|value| !value.is_empty());
    let first = |value: std::ffi::OsString| {
        value.to_str().and_then(|folders| folders.split(':').next()).map(PathBuf::from)
    };
    let configured = configured.map(Path::to_owned);
    configured.or_else(|| made().and_then(first)).unwrap_or_else(|| DEFAULT_FOLDER.into())
}

/// A witness of any store in this folder: there was a store on this host.
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
    /// Who owns the folder if it is made here; otherwise this process.
    owner: Option<Owner>,
    /// What could not be written yet.
    waiting: VecDeque<Entry>,
    retry_at: Option<Instant>,
}

impl Witness {
    /// The witness of the store with this id. Opens nothing yet.
    pub fn new(folder: &Path, store_id: &str) -> Self {
        let id: String = store_id.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        Self {
            folder: folder.to_owned(),
            name: format!("{PREFIX}{id}"),
            owner: None,
            waiting: VecDeque::new(),
            retry_at: None,
        }
    }

    /// The same witness, whose folder belongs to `owner` if it is made here.
    #[must_use]
    pub fn for_owner(self, owner: Owner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Reads the lines; none when there is no file.
    ///
    /// # Errors
    /// What the file system said.
    pub fn read(&self) -> std::io::Result<Vec<Entry>> {
        let folder = match Folder::open_own(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        match folder.read(&self.name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            file => lines(&mut file?),
        }
    }

    /// Writes the entries, or keeps them for [`Self::retry`] and warns. Never fails: the store has
    /// committed.
    pub fn write(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.waiting.extend(entries);
        while self.waiting.len() > MAX_ENTRIES {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            return;
        }
        match self.append() {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("{} is written again", self.path().display());
                }
                self.waiting.clear();
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

    /// Tries again to write what could not be written, at most every few seconds.
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
            // Root that restores writes for the daemon.
            folder.write_new(&self.name, &mut &b""[..], 0o600, folder.owner()?)?;
        }
        let mut file = folder.append(&self.name)?;
        let mut text = self.waiting.iter().map(|entry| format!("{entry}\n")).collect::<String>();
        if !ends_in_line(&mut file)? {
            // What a crash cut off must not swallow the next line.
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() > MAX_BYTES / 4 {
            compact(&folder, &self.name, &mut file)?;
        }
        Ok(())
    }
}

fn ends_in_line(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

fn lines(file: &mut std::fs::File) -> std::io::Result<Vec<Entry>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(Entry::parse).collect())
}

/// Replaces the file by one that has the last lines, and the last generation.
fn compact(folder: &Folder, name: &str, file: &mut std::fs::File) -> std::io::Result<()> {
    let mut entries = lines(file)?;
    let kept = entries.split_off(entries.len().saturating_sub(MAX_ENTRIES));
    let generation = entries.into_iter().rfind(|entry| entry.what.kind == Kind::Generation);
    let text: String = generation.iter().chain(&kept).map(|entry| format!("{entry}\n")).collect();
    let new = format!("{name}.new");
    folder.remove(&new)?;
    let owner = folder.owner().unwrap_or_else(|_| Owner::me());
    folder.write_new(&new, &mut text.as_bytes(), 0o600, owner)?;
    folder.rename(&new, name, true)
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
    fn what_is_written_is_read_and_a_torn_line_costs_itself_alone() {
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
    fn no_link_is_followed_and_failed_entries_are_written_later() {
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
    fn a_long_file_keeps_its_last_lines_and_generation() {
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
