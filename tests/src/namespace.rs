//! The mount namespace of a site, and its syslog.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// Binds a syslog socket in the site, and collects its lines: a serial console would slow the
/// tests.
pub(crate) fn listen_to_syslog(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            kept.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    lines
}

/// Starts a process that holds a mount namespace with the site's files over the host's. It ends
/// when its input is closed.
pub(crate) fn enter(root: &Path) -> Child {
    let script = r#"
set -e
for file in pam.d passwd shadow group sudoers; do mount --bind "$1/etc/$file" "/etc/$file"; done
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/sshd /run/sudo
# su and login keep lists of logins and of failures.
mount -t tmpfs -o mode=0755 tmpfs /var/log
# Device nodes of its own: binding the host's /dev/null was seen to change the host's permissions.
mount -t tmpfs -o mode=0755 tmpfs "$1/dev"
mknod -m 666 "$1/dev/null" c 1 3
mknod -m 666 "$1/dev/zero" c 1 5
mknod -m 666 "$1/dev/full" c 1 7
mknod -m 666 "$1/dev/random" c 1 8
mknod -m 666 "$1/dev/urandom" c 1 9
mknod -m 666 "$1/dev/tty" c 5 0
mkdir "$1/dev/pts" "$1/dev/shm"
mount --bind /dev/pts "$1/dev/pts"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
ln -s "$1/log/sock" "$1/dev/log"
mount --rbind "$1/dev" /dev
echo ready
exec cat
"#;
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line)
        .expect("a mount namespace can be made: these tests need root and CAP_SYS_ADMIN");
    child
}
