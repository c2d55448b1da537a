//! Whom the client accepts as the server. A code is sent to nobody else.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A listener of uid 0; or of the owner of the socket's folder, when nobody but root and that
    /// owner can put a socket there: the folder and all its ancestors are writable by these two
    /// alone.
    RootOrFolderOwner,
    /// A listener of this uid (`server_uid=` of the PAM line), or of uid 0: root can do whatever a
    /// lie would gain, and break-glass answers as root.
    Uid(u32),
}

impl Trust {
    /// Whether a listener of `uid` at `socket` is believed. Any error is a no.
    pub fn accepts(self, uid: u32, socket: &Path) -> bool {
        match self {
            Self::Uid(expected) => uid == 0 || uid == expected,
            Self::RootOrFolderOwner => uid == 0 || owns_the_way(uid, socket),
        }
    }
}

fn owns_the_way(uid: u32, socket: &Path) -> bool {
    let Some(named) = socket.parent() else { return false };
    let Ok(folder) = named.canonicalize() else { return false };
    let metadata = |path: &Path| std::fs::symlink_metadata(path).ok();
    let is_theirs = |path: &Path| {
        metadata(path).is_some_and(|m| {
            let closed = m.is_symlink() || (m.is_dir() && m.mode() & 0o022 == 0);
            closed && [0, uid].contains(&m.uid())
        })
    };
    // The way as it is named as well as the way as it is: a link in a folder that others may write
    // leads wherever they like.
    let plain = named.is_absolute() && named.components().all(|c| c != Component::ParentDir);
    plain
        && metadata(&folder).is_some_and(|m| m.uid() == uid)
        && folder.ancestors().chain(named.ancestors()).all(is_theirs)
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
        // /tmp is root's and everybody's: a socket there proves nothing about who put it.
        assert!(!owns_the_way(0, Path::new("/tmp/login.sock")));
        assert!(owns_the_way(0, Path::new("/usr/login.sock")));
        assert!(!owns_the_way(65534, Path::new("/usr/login.sock")));
        assert!(!owns_the_way(0, Path::new("/usr/../usr/login.sock")));
        assert!(!owns_the_way(0, Path::new("usr/login.sock")));
    }
}
