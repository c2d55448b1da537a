//! The scratch folders of this process, and the guard that removes them.

use crate::programs::server_user;
use nix::unistd::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Memory is much faster than a disk on which other tests sync, and a killed process loses nothing
/// in it.
const MEMORY: &str = "/dev/shm";
/// The free bytes at which data are put there: containers often have 64 MiB.
const MEMORY_NEEDED: u64 = 1024 * 1024 * 1024;

/// `DATA FOLDER`: waits until its input ends, which happens when the test process ends, even by
/// SIGKILL. Then it ends every process that works in data in DATA, as each process of a server
/// does, and removes both folders. A test may have frozen some of them: they continue first.
const GUARD: &str = r#"
cat > /dev/null
processes() {
    for process in /proc/[0-9]*; do
        for data in "$1"/*; do
            if [ "$process/cwd" -ef "$data" ]; then echo "${process#/proc/}"; fi
        done
    done
}
for pid in $(processes "$1"); do kill -CONT "$pid"; kill -QUIT "$pid"; done
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -n "$(processes "$1")" ] || break
    sleep 0.1
done
for pid in $(processes "$1"); do kill -KILL "$pid"; done
# The shared memory of those that were killed: the seventh line has its key and id.
for file in "$1"/*/postmaster.pid; do
    [ -e "$file" ] && ipcrm -m "$(sed -n '7s/.* //p' "$file")"
done
rm -rf "$1" "$2"
"#;

struct Scratch {
    folder: PathBuf,
    data: PathBuf,
    /// Held, so that its input ends when this process does.
    _guard: Child,
}

/// Makes a folder for sockets, logs and certificates. The server's user owns it, and no other user
/// enters it. Its path is short: that of a Unix socket has at most 107 bytes (unix(7)).
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = scratch().folder.join(numbered(name));
    std::fs::create_dir(&path).unwrap();
    own(&path);
    path
}

/// Returns the path of a new server's data, which does not exist yet.
pub(crate) fn data(name: &str) -> PathBuf {
    scratch().data.join(numbered(name))
}

/// Gives a file to the server's user.
pub(crate) fn own(path: &Path) {
    if let Some(user) = server_user() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn numbered(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}-{name}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn scratch() -> &'static Scratch {
    static SCRATCH: OnceLock<Scratch> = OnceLock::new();
    SCRATCH.get_or_init(make)
}

fn make() -> Scratch {
    let (folder, data) = (new_folder(&std::env::temp_dir()), new_folder(&data_parent()));
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "sh"]).arg(&data).arg(&folder);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, so that an interrupt from the terminal, or a test runner that kills the
    // test's group, leaves the guard to its work.
    let guard = guard.process_group(0).spawn().unwrap();
    Scratch { folder, data, _guard: guard }
}

fn new_folder(parent: &Path) -> PathBuf {
    let path = tempfile::Builder::new().prefix("totpd-pg-").tempdir_in(parent).unwrap().keep();
    let path = path.canonicalize().unwrap();
    own(&path);
    path
}

fn data_parent() -> PathBuf {
    let free = nix::sys::statvfs::statvfs(MEMORY)
        .map_or(0, |memory| memory.blocks_available().saturating_mul(memory.fragment_size()));
    if free >= MEMORY_NEEDED { MEMORY.into() } else { std::env::temp_dir() }
}
