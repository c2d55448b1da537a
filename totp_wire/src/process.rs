//! Who this process is, by the kernel's word.

use nix::unistd::{geteuid, getuid};
use std::path::{Path, PathBuf};

/// The name of root's own socket, which lies beside the one for everybody.
const ROOT_SOCKET: &str = "root.sock";

/// The real uid: who started this process, also where it is setuid (credentials(7)).
pub fn real_uid() -> u32 {
    getuid().as_raw()
}

/// The login uid of the audit system (`/proc/self/loginuid`), or `None` where it is unset or there
/// is no audit. Text for the audit: where it is unset anybody can set it.
pub fn login_uid() -> Option<u32> {
    read_number("/proc/self/loginuid")
}

/// The audit session (`/proc/self/sessionid`), or `None` where it is unset or there is no audit.
pub fn audit_session() -> Option<u32> {
    read_number("/proc/self/sessionid")
}

fn read_number(path: &str) -> Option<u32> {
    let number = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (number != u32::MAX).then_some(number)
}

/// The sockets of a daemon to try, in this order. `login` is the one for everybody; with effective
/// uid 0 root's own, beside it, comes first: no other user can fill its queue.
///
/// ```
/// # use std::path::Path;
/// let sockets = totp_wire::process::sockets(Path::new("/run/totpd/login.sock"));
/// assert_eq!(sockets.last().map(|path| path.as_path()), Some(Path::new("/run/totpd/login.sock")));
/// ```
pub fn sockets(login: &Path) -> Vec<PathBuf> {
    sockets_for(login, geteuid().is_root())
}

fn sockets_for(login: &Path, is_root: bool) -> Vec<PathBuf> {
    let root = login.with_file_name(ROOT_SOCKET);
    if is_root && root != login { vec![root, login.to_owned()] } else { vec![login.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_tries_its_socket_first_and_others_only_the_public_one() {
        let login = Path::new("/run/totpd/login.sock");
        let root = Path::new("/run/totpd/root.sock");
        assert_eq!(sockets_for(login, true), [root, login]);
        assert_eq!(sockets_for(login, false), [login]);
        assert_eq!(sockets_for(root, true), [root], "named itself");
    }

    #[test]
    fn an_unset_number_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read_number(file.to_str().unwrap())
        };
        assert_eq!(read("5001\n"), Some(5001));
        assert_eq!((read("4294967295"), read("-1"), read("")), (None, None, None));
        assert_eq!(read_number("/no/such/file"), None);
    }
}
