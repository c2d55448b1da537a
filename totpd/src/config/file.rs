//! Reads the configuration file. Only root and the daemon's user may be able to change it.

use crate::permission::{self, Access, Credentials};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const ROOT: u32 = 0;
/// The write permissions of the group and of others.
const WRITABLE: u32 = 0o022;
/// In a sticky folder, users cannot move or remove files of others.
const STICKY: u32 = 0o1000;

/// Why the file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileError {
    /// It is not UTF-8.
    NotText,
    /// It cannot be read.
    Unreadable(String),
    /// Other users may change it. The text says how to end that.
    Untrusted(String),
}

/// The text of the file, and who owns it.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    pub(super) text: String,
    owner: u32,
    folder: Option<(PathBuf, u32)>,
}

impl ConfigFile {
    /// Reads the file. A link is followed: its target and the target's folder are checked.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error: std::io::Error| {
            FileError::Unreadable(match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "the file does not exist. Name one with --config, or run `totpd init`, which writes one"
                        .to_owned()
                }
                _ => permission::explain(path, &error, &Credentials::of_process(), Access::Read),
            })
        };
        let mut file = File::open(path).map_err(unreadable)?;
        // Of the open file, so that the checked file is the one that is read.
        let metadata = file.metadata().map_err(unreadable)?;
        check_mode(path, "this file", &metadata)?;
        let folder = path.canonicalize().map_err(unreadable)?.parent().map(Path::to_owned);
        let folder = match folder {
            None => None,
            Some(folder) => {
                let metadata = folder.metadata().map_err(unreadable)?;
                if metadata.mode() & STICKY == 0 {
                    check_mode(&folder, "its folder", &metadata)?;
                }
                Some((folder, metadata.uid()))
            }
        };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => FileError::NotText,
            _ => unreadable(error),
        })?;
        Ok(Self { path: path.to_owned(), text, owner: metadata.uid(), folder })
    }

    /// Refuses a file that belongs neither to root nor to one of these users, or whose folder does
    /// not.
    pub(super) fn check_owner(&self, users: &[u32]) -> Result<(), FileError> {
        let trusted = |uid: u32| uid == ROOT || users.contains(&uid);
        let foreign = |what: &str, path: &Path, uid: u32| {
            FileError::Untrusted(format!(
                "{what} belongs to uid {uid}, but only root and the daemon's user may change it. Run: chown root {}",
                path.display()
            ))
        };
        if !trusted(self.owner) {
            return Err(foreign("this file", &self.path, self.owner));
        }
        match &self.folder {
            Some((folder, uid)) if !trusted(*uid) => Err(foreign("its folder", folder, *uid)),
            _ => Ok(()),
        }
    }
}

fn check_mode(path: &Path, what: &str, metadata: &Metadata) -> Result<(), FileError> {
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(FileError::Untrusted(format!(
        "other users can change {what} (mode {mode:04o}). Run: chmod go-w {path}"
    )))
}

/// The folder of the file, which is the default folder of the key.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_may_change_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        let (path, link) = (folder.join("totpd.toml"), folder.join("link.toml"));
        std::fs::write(&path, "x").unwrap();
        symlink(&path, &link).unwrap();
        for (mode, good) in
            [(0o600, true), (0o644, true), (0o640, true), (0o666, false), (0o664, false), (0o602, false)]
        {
            set(&path, mode);
            for path in [&path, &link] {
                match ConfigFile::read(path) {
                    Ok(file) => assert!(good && file.text == "x", "{mode:o}"),
                    Err(FileError::Untrusted(why)) => {
                        assert!(!good && why.contains(&format!("chmod go-w {}", path.display())), "{why}");
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        set(&path, 0o644);
        for (mode, good) in [(0o755, true), (0o775, false), (0o777, false), (0o1777, true)] {
            set(&folder, mode);
            assert_eq!(ConfigFile::read(&path).is_ok(), good, "{mode:o}");
        }
        assert!(matches!(ConfigFile::read(&folder.join("none")), Err(FileError::Unreadable(_))));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let me = geteuid().as_raw();
        let file = |owner, folder| ConfigFile {
            path: "/x/totpd.toml".into(),
            text: String::new(),
            owner,
            folder: Some(("/x".into(), folder)),
        };
        for (owner, folder, good) in
            [(0, 0, true), (me, 0, true), (me, me, true), (4242, 0, false), (0, 4242, false)]
        {
            let checked = file(owner, folder).check_owner(&[me]);
            assert_eq!(checked.is_ok(), good, "{owner} {folder}: {checked:?}");
        }
        let Err(FileError::Untrusted(why)) = file(4242, 0).check_owner(&[me]) else { panic!("accepted") };
        assert!(why.ends_with("Run: chown root /x/totpd.toml"), "{why}");
        assert!(file(4242, 4242).check_owner(&[me, 4242]).is_ok());
    }
}
