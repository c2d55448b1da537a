//! Notices that the files of an open store were moved away, replaced or unmounted. They are still
//! written to, and what is written is lost with the process: used codes would be fresh again.

use crate::file_identity::FileIdentity;
use crate::store::error::OpenError;
use crate::store::files::{database_file, log_file};
use crate::store::sqlite::failure::Failure;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Checks the files of a store until it is dropped, on a thread that may wait for a disk.
#[derive(Debug)]
pub(super) struct FileWatch {
    _stop: Sender<()>,
}

impl FileWatch {
    /// Watches the files of the store in `state_dir`, which has just been opened. Once one of them
    /// is gone the store has failed.
    ///
    /// # Errors
    /// [`OpenError::Thread`].
    pub(super) fn start(state_dir: &Path, failure: Failure) -> Result<Self, OpenError> {
        Self::with_interval(state_dir, failure, INTERVAL)
    }

    fn with_interval(state_dir: &Path, failure: Failure, interval: Duration) -> Result<Self, OpenError> {
        let files = StoreFiles::of(state_dir);
        let (stop, stopped) = channel();
        let watch = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if failure.reason().is_some() {
                    return;
                }
                if let Some(file) = files.gone() {
                    failure.files_moved(format!(
                        "{} was moved away or replaced under the running totpd, which refuses everything \
                         until it is restarted: it serves what is there then",
                        file.display()
                    ));
                    return;
                }
            }
        };
        std::thread::Builder::new().name("store-watch".into()).spawn(watch).map_err(OpenError::Thread)?;
        Ok(Self { _stop: stop })
    }
}

/// The files as they were when the store was opened.
#[derive(Clone, Debug)]
struct StoreFiles {
    files: Vec<(PathBuf, FileIdentity)>,
}

impl StoreFiles {
    fn of(state_dir: &Path) -> Self {
        let files = [database_file(state_dir), log_file(state_dir)];
        let identified = files.into_iter().filter_map(|path| {
            let identity = FileIdentity::of(&path).ok()?;
            Some((path, identity))
        });
        Self { files: identified.collect() }
    }

    /// The first file that is not there any more, or is another one.
    fn gone(&self) -> Option<&Path> {
        let gone = |path: &Path, was: FileIdentity| match FileIdentity::of(path) {
            Ok(is) => is != was,
            // A file system that does not answer may still have the file.
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        self.files.iter().find(|(path, was)| gone(path, *was)).map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn moved_or_replaced_files_are_noticed_and_written_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["totpd.db", "totpd.db-wal"] {
            std::fs::write(at(name), "1").unwrap();
        }
        let files = StoreFiles::of(folder.path());
        assert_eq!(files.gone(), None);
        std::fs::write(at("totpd.db"), "22").unwrap();
        assert_eq!(files.gone(), None);
        for name in ["totpd.db", "totpd.db-wal"] {
            std::fs::rename(at(name), at("away")).unwrap();
            assert_eq!(files.gone(), Some(at(name).as_path()));
            std::fs::copy(at("away"), at(name)).unwrap();
            assert_eq!(files.gone(), Some(at(name).as_path()), "a copy");
            std::fs::rename(at("away"), at(name)).unwrap();
            assert_eq!(files.gone(), None, "put back");
        }
    }

    #[test]
    fn a_store_whose_file_was_moved_away_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let database = database_file(folder.path());
        std::fs::write(&database, "1").unwrap();
        let failure = Failure::default();
        let watch = FileWatch::with_interval(folder.path(), failure.clone(), Duration::from_millis(10));
        let _watch = watch.unwrap();
        assert_eq!(failure.reason(), None);
        std::fs::rename(&database, folder.path().join("away")).unwrap();
        let start = Instant::now();
        while failure.reason().is_none() {
            assert!(start.elapsed() < Duration::from_secs(30), "nobody noticed");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(failure.reason().unwrap().contains("totpd.db was moved away"));
        assert!(failure.files_are_whole());
    }
}
