//! Which process the client accepts as its server, by the uid that the kernel reports
//! (`SO_PEERCRED`, unix(7)). A code is sent to no other process.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// The rule by which the client accepts a listener.
///
/// ```
/// use std::path::Path;
/// use totp_wire::Trust;
///
/// let socket = Path::new("/run/totpd/login.sock");
/// assert!(Trust::Uid(990).accepts(990, socket), "server_uid=990");
/// assert!(Trust::Uid(990).accepts(0, socket), "root could read every code anyway");
/// assert!(!Trust::Uid(990).accepts(1000, socket));
/// // Any user can create a socket in /tmp.
/// assert!(!Trust::RootOrFolderOwner.accepts(1000, Path::new("/tmp/login.sock")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Accepts a listener that runs as root, or as the owner of the socket's folder. The owner is
    /// accepted only if no other user but root can write that folder or a folder above it, and thus
    /// nobody else can put a socket there.
    RootOrFolderOwner,
    /// Accepts a listener that runs as this uid (`server_uid=` of the PAM line), or as root. Root
    /// gains nothing by posing as the daemon, and break-glass runs as root.
    Uid(u32),
}

impl Trust {
    /// Returns whether the rule accepts a listener with this uid on this socket. If a folder cannot
    /// be examined, the listener is not accepted.
    pub fn accepts(self, uid: u32, socket: &Path) -> bool {
        match self {
            Self::Uid(expected) => uid == 0 || uid == expected,
            Self::RootOrFolderOwner => uid == 0 || controls_folder(uid, socket),
        }
    }
}

/// Returns whether the user owns the socket's folder, and no other user but root can write it or a
/// folder above it.
fn controls_folder(uid: u32, socket: &Path) -> bool {
    let Some(named) = socket.parent() else { return false };
    let Ok(folder) = named.canonicalize() else { return false };
    let metadata = |path: &Path| std::fs::symlink_metadata(path).ok();
    let is_protected = |path: &Path| {
        metadata(path).is_some_and(|m| {
            let is_closed = m.is_symlink() || (m.is_dir() && m.mode() & 0o022 == 0);
            is_closed && [0, uid].contains(&m.uid())
        })
    };
    // Both the path as it is written and the path after links are resolved: in a folder that others
    // can write, they can point a link anywhere.
    let is_plain = named.is_absolute() && named.components().all(|c| c != Component::ParentDir);
    is_plain
        && metadata(&folder).is_some_and(|m| m.uid() == uid)
        && folder.ancestors().chain(named.ancestors()).all(is_protected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_root_or_the_named_uid_is_trusted() {
        let nowhere = Path::new("/nowhere/login.sock");
        assert!(Trust::RootOrFolderOwner.accepts(0, nowhere));
        assert!(!Trust::RootOrFolderOwner.accepts(1000, nowhere));
        assert!(Trust::Uid(1000).accepts(1000, nowhere));
        assert!(Trust::Uid(1000).accepts(0, nowhere));
        assert!(!Trust::Uid(1000).accepts(1001, nowhere));
    }

    #[test]
    fn a_listener_in_a_folder_writable_by_others_is_not_trusted() {
        // /tmp belongs to root, but every user can put a socket there.
        assert!(!controls_folder(0, Path::new("/tmp/login.sock")));
        assert!(controls_folder(0, Path::new("/usr/login.sock")));
        assert!(!controls_folder(65534, Path::new("/usr/login.sock")));
        assert!(!controls_folder(0, Path::new("/usr/../usr/login.sock")));
        assert!(!controls_folder(0, Path::new("usr/login.sock")));
    }
}
