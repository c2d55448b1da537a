//! Whether a user may read and write a file, by owners and modes.

use super::accounts::{Account, groups};
use super::system::Host;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The access to a file that a user needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Reading a file.
    Read,
    /// Reading and writing a file.
    Write,
    /// Reading and searching a folder, and creating files in it.
    Folder,
}

/// The file or folder whose mode denies a user the access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The file, or a parent folder, by its path on the host.
    pub path: PathBuf,
    /// The owner's uid.
    pub uid: u32,
    /// The group's gid.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    /// It is a parent folder of the file.
    pub on_the_way: bool,
}

/// Checks whether `account` has this access to the file, by owner and mode of the file and of each
/// parent folder. `Ok` if the file does not exist: that is another finding.
///
/// # Errors
/// The file or folder whose mode denies it.
pub fn may(host: &Host, account: &Account, path: &Path, want: Want) -> Result<(), Denied> {
    if account.uid == 0 {
        return Ok(());
    }
    let gids: Vec<u32> = {
        let member = |(_, _, members): &(String, u32, Vec<String>)| members.contains(&account.name);
        let more = groups(&host.root).into_iter().filter(member).map(|(_, gid, _)| gid);
        std::iter::once(account.gid).chain(more).collect()
    };
    let check = |path: &Path, bits: u32, on_the_way: bool| {
        // Links are followed: the mode of a link means nothing.
        let Ok(metadata) = std::fs::metadata(host.inside(path)) else { return Ok(()) };
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        let granted = match (uid == account.uid, gids.contains(&gid)) {
            (true, _) => mode >> 6,
            (false, true) => mode >> 3,
            (false, false) => mode,
        };
        if granted & bits == bits {
            return Ok(());
        }
        Err(Denied { path: path.to_owned(), uid, gid, mode, on_the_way })
    };
    let folders: Vec<&Path> = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
    for folder in folders.into_iter().rev() {
        check(folder, 0o1, true)?;
    }
    let bits = match want {
        Want::Read => 0o4,
        Want::Write => 0o6,
        Want::Folder => 0o7,
    };
    check(path, bits, false)
}

/// Whether the kernel grants the access all the same, by an access control list. A child of that
/// user tries it.
pub fn child_may(host: &Host, account: &Account, path: &Path, want: Want) -> bool {
    let Some(path) = path.to_str().filter(|_| host.is_live()) else { return false };
    let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
    let ask = |flag: &str| {
        let child = ["setpriv", "--reuid", &uid, "--regid", &gid, "--init-groups", "test", flag, path];
        host.programs.run(&child).is_some_and(|output| output.success)
    };
    match want {
        Want::Read => ask("-r"),
        Want::Write => ask("-r") && ask("-w"),
        Want::Folder => ask("-r") && ask("-w") && ask("-x"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::accounts::groups_of;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn owner_group_others_and_parent_folders_are_checked() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str, mode: u32| {
            let path = scratch.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        write("etc/passwd", "totpd:x:990:990::/:/usr/sbin/nologin\nann:x:1000:7::/home/ann:/bin/sh\n", 0o644);
        write("etc/group", "totpd:x:990:ann\n", 0o644);
        write("etc/totpd/totpd.toml", "", 0o640);
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let host = Host::of_tree(scratch.path(), Path::new("/etc/totpd/totpd.toml"));
        let (totpd, ann) = (host.account("totpd").unwrap(), host.account("ann").unwrap());
        assert!(ann.logs_in() && !totpd.logs_in());
        assert_eq!(groups_of(&host.root, ann), ["totpd"]);
        let (file, path) = (scratch.path().join("etc/totpd/totpd.toml"), Path::new("/etc/totpd/totpd.toml"));
        let denied = may(&host, totpd, path, Want::Read).unwrap_err();
        assert_eq!((denied.mode, denied.on_the_way), (0o640, false));
        nix::unistd::chown(&file, None, Some(990.into())).unwrap();
        for account in [totpd, ann] {
            assert_eq!(may(&host, account, path, Want::Read), Ok(()));
            assert!(may(&host, account, path, Want::Write).is_err());
        }
        let folder = file.parent().unwrap();
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
        assert!(may(&host, totpd, path, Want::Read).unwrap_err().on_the_way);
    }
}
