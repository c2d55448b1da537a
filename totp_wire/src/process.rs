//! The identity of this process as the kernel reports it, and the sockets that it connects to.

use crate::login::Process;
use nix::unistd::{Uid, geteuid, getppid, getuid};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The name of the socket for root, in the folder of the socket for all users.
const ROOT_SOCKET: &str = "root.sock";

/// Returns the real uid: the user who started this process, even if it is setuid (credentials(7)).
pub fn real_uid() -> u32 {
    getuid().as_raw()
}

/// Returns the login uid of the kernel's audit system (`/proc/self/loginuid`), or `None` when it is
/// not set or the kernel has no audit system. It is for the audit log only, because a process
/// without one can set it.
pub fn login_uid() -> Option<u32> {
    read_number("/proc/self/loginuid")
}

/// Returns the session id of the kernel's audit system (`/proc/self/sessionid`), or `None` when it
/// is not set or the kernel has no audit system.
pub fn audit_session() -> Option<u32> {
    read_number("/proc/self/sessionid")
}

/// When this process started, in clock ticks since boot; `None` without /proc.
pub fn start_time() -> Option<u64> {
    read_start_time("/proc/self/stat")
}

/// The parent of this process; `None` where /proc does not show it.
pub fn parent() -> Option<Process> {
    let pid = getppid().as_raw();
    let started = read_start_time(&format!("/proc/{pid}/stat"))?;
    Some(Process { pid: u32::try_from(pid).ok()?, started })
}

/// The field `starttime` of proc_pid_stat(5), the 22nd. The second one is the program's name in
/// parentheses, and may have any character in it.
fn read_start_time(path: &str) -> Option<u64> {
    let mut buffer = [0; 1024];
    let stat = read_file(path, &mut buffer)?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A short file, in one read: a file of /proc has no size that a buffer could be made by. What does
/// not fit is left out.
fn read_file<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut file = File::open(path).ok()?;
    // A signal that arrives during the read is not the end of the file.
    let length = loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read.ok()?,
        }
    };
    buffer.get(..length)
}

fn read_number(path: &str) -> Option<u32> {
    let mut buffer = [0; 32];
    let number = str::from_utf8(read_file(path, &mut buffer)?).ok()?.trim().parse().ok()?;
    (number != u32::MAX).then_some(number)
}

/// Returns the daemon's sockets that this process should try, in this order. `login` is the socket
/// for all users. With the effective uid 0, the socket for root in the same folder comes first,
/// because no other user can fill its queue.
///
/// ```
/// # use std::path::Path;
/// let sockets = totp_wire::process::sockets(Path::new("/run/totpd/login.sock"));
/// assert_eq!(sockets.last().map(|path| path.as_path()), Some(Path::new("/run/totpd/login.sock")));
/// ```
pub fn sockets(login: &Path) -> Vec<PathBuf> {
    sockets_for(login, geteuid())
}

fn sockets_for(login: &Path, effective_uid: Uid) -> Vec<PathBuf> {
    let root = login.with_file_name(ROOT_SOCKET);
    if effective_uid.is_root() && root != login {
        vec![root, login.to_owned()]
    } else {
        vec![login.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_tries_its_socket_first_and_others_only_the_public_one() {
        let login = Path::new("/run/totpd/login.sock");
        let root = Path::new("/run/totpd/root.sock");
        let (as_root, as_user) = (Uid::from_raw(0), Uid::from_raw(1000));
        assert_eq!(sockets_for(login, as_root), [root, login]);
        assert_eq!(sockets_for(login, as_user), [login]);
        assert_eq!(sockets_for(root, as_root), [root], "not twice");
    }

    #[test]
    fn a_process_and_its_parent_have_a_start_time() {
        let (own, parent) = (start_time().unwrap(), parent().unwrap());
        assert!(parent.pid > 0 && parent.started <= own, "{parent:?} {own}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stat");
        let read = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            read_start_time(file.to_str().unwrap())
        };
        let stat = |name: &[u8]| {
            [b"7 (", name, b") S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 99 23"].concat()
        };
        for name in [&b"sshd"[..], b"a) S 1 (b", b"\xff \n"] {
            assert_eq!(read(&stat(name)), Some(99), "{name:?}");
        }
        assert_eq!((read(b""), read(b"7 (x) S 1"), read(b"7 x S 1")), (None, None, None));
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
