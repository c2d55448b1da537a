//! Where the files of an open store are. One that was moved away, replaced or unmounted while it is open is still
//! written to, and what is written is gone with the process: used codes would be fresh again.

use crate::file_identity::FileIdentity;
use crate::store::sqlite::open;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files as they were when the store was opened.
#[derive(Clone, Debug)]
pub(super) struct StoreFiles {
    files: Vec<(PathBuf, FileIdentity)>,
}

impl StoreFiles {
    /// The files of the store in `state_dir`, which has just been opened.
    pub(super) fn of(state_dir: &Path) -> Self {
        let file = open::database_file(state_dir);
        let log = state_dir.join("totpd.db-wal");
        let identified =
            [file, log].into_iter().filter_map(|path| Some((path.clone(), FileIdentity::of(&path).ok()?)));
        Self { files: identified.collect() }
    }

    /// The first file that is not there any more, or is another one.
    pub(super) fn gone(&self) -> Option<&Path> {
        let gone = |path: &Path, was: FileIdentity| match FileIdentity::of(path) {
            Ok(is) => is != was,
            // Only what is known to be gone is: a file system that does not answer has the file yet.
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        self.files.iter().find(|(path, was)| gone(path, *was)).map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_replaced_or_removed_is_gone_and_what_is_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["totpd.db", "totpd.db-wal"] {
            std::fs::write(at(name), "1").unwrap();
        }
        let place = StoreFiles::of(folder.path());
        assert_eq!(place.gone(), None);
        std::fs::write(at("totpd.db"), "22").unwrap();
        assert_eq!(place.gone(), None);
        for name in ["totpd.db", "totpd.db-wal"] {
            std::fs::rename(at(name), at("away")).unwrap();
            assert_eq!(place.gone(), Some(at(name).as_path()));
            std::fs::copy(at("away"), at(name)).unwrap();
            assert_eq!(place.gone(), Some(at(name).as_path()), "a copy");
            std::fs::rename(at("away"), at(name)).unwrap();
            assert_eq!(place.gone(), None, "put back");
        }
    }
}
