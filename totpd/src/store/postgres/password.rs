//! The password of the database: a file that is read for each connection, so that a changed one
//! counts without a restart.

use crate::permission::{self, Access, Credentials};
use nix::fcntl::OFlag;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name of the credential that systemd may hand over (systemd.exec(5), `LoadCredential=`).
const CREDENTIAL: &str = "store-password";
/// The longest file, in bytes.
const MAX_BYTES: u64 = 1024;

/// The file of the password: the configured one, or systemd's credential if there is one.
#[expect(clippy::disallowed_methods, reason = "systemd sets it for the service; no user's program runs this")]
pub(super) fn file(configured: Option<&Path>) -> Option<PathBuf> {
    let credential = || {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty())?;
        Some(PathBuf::from(folder).join(CREDENTIAL)).filter(|file| file.exists())
    };
    configured.map(Path::to_owned).or_else(credential)
}

/// Reads the password, without the line break at its end.
///
/// # Errors
/// A sentence that names the file and quotes nothing of it.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let name = file.display();
    let unreadable = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("the password file {name} is missing (store.password_file)"),
        _ => permission::explain(file, error, &Credentials::of_process(), Access::Read),
    };
    // A pipe must not hold up the store's thread, nor may a link lead elsewhere.
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let irregular =
        || format!("the password file {name} is no regular file (a link?). Write the password into a file");
    let mut opened = options.open(file).map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ELOOP) => irregular(),
        _ => unreadable(&error),
    })?;
    let metadata = opened.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(irregular());
    }
    let mode = metadata.mode() & 0o777;
    // Group read is allowed because systemd passes credentials with mode 0440.
    if mode & 0o037 != 0 {
        return Err(format!(
            "the password file {name} can be read by others (mode {mode:04o}). Run: chmod 0400 {name}"
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    let read = std::io::Read::by_ref(&mut opened).take(MAX_BYTES + 1).read_to_end(&mut bytes);
    if read.map_err(|error| unreadable(&error))? as u64 > MAX_BYTES {
        return Err(format!("the password file {name} is longer than {MAX_BYTES} bytes"));
    }
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.truncate(end);
    if bytes.is_empty() {
        return Err(format!("the password file {name} is empty"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_password_file_is_private_and_ends_at_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        assert!(read(&file).unwrap_err().contains("missing"));
        std::fs::write(&file, "hunter2\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&file).unwrap_err();
        assert!(error.contains("chmod 0400") && !error.contains("hunter2"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read(&file).unwrap().as_slice(), b"hunter2");
        assert_eq!(super::file(Some(&file)), Some(file));
    }

    #[test]
    fn a_password_in_a_pipe_a_link_or_a_long_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Nobody writes into it: a read that waited would never end.
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&path("pipe")).unwrap_err().contains("no regular file"));
        let private = std::fs::Permissions::from_mode(0o400);
        for (bytes, is_read) in [(1024, true), (1025, false)] {
            let file = path(&bytes.to_string());
            std::fs::write(&file, "x".repeat(bytes)).unwrap();
            std::fs::set_permissions(&file, private.clone()).unwrap();
            assert_eq!(read(&file).is_ok(), is_read, "{bytes}");
        }
        assert!(read(&path("1025")).unwrap_err().contains("longer than 1024 bytes"));
        std::os::unix::fs::symlink(path("1024"), path("link")).unwrap();
        assert!(read(&path("link")).unwrap_err().contains("no regular file"));
    }
}
