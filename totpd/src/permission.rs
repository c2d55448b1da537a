//! Explains why a file cannot be used: which file or folder denies access, who owns it, and the
//! command that fixes it.

use nix::unistd::{Gid, Uid};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The kind of access to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read a file, or list a folder.
    Read,
    /// Read and write a file, or create files in a folder.
    Write,
}

/// The credentials by which the kernel decides on access (credentials(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The effective user id.
    pub uid: Uid,
    /// The group ids.
    pub groups: Vec<Gid>,
}

impl Credentials {
    /// Returns the credentials of this process.
    pub fn of_process() -> Self {
        let mut groups = nix::unistd::getgroups().unwrap_or_default();
        groups.push(nix::unistd::getegid());
        Self { uid: nix::unistd::geteuid(), groups }
    }

    /// Returns the credentials of a user, with the groups that the host's user directory lists.
    pub fn of_uid(uid: u32) -> Self {
        let uid = Uid::from_raw(uid);
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        let groups = user.and_then(|user| {
            let name = std::ffi::CString::new(user.name).ok()?;
            nix::unistd::getgrouplist(&name, user.gid).ok()
        });
        Self { uid, groups: groups.unwrap_or_default() }
    }

    /// Returns the user's name for a message, see [`user_name`].
    pub fn name(&self) -> String {
        user_name(self.uid.as_raw())
    }

    /// Returns the user's name as an argument of chown(1): the name, or the uid.
    pub fn owner(&self) -> String {
        local_name("/etc/passwd", self.uid.as_raw()).unwrap_or_else(|| self.uid.to_string())
    }
}

/// Returns the name of a uid in `/etc/passwd`, or `uid N`. Asks no other user directory, because
/// the daemon uses this in messages while it starts, when a directory may not answer.
pub fn user_name(uid: u32) -> String {
    local_name("/etc/passwd", uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// Returns the name of an id in a file with the format of passwd(5) or group(5).
fn local_name(file: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.get(2).is_some_and(|field| field.parse() == Ok(id)))?;
    row.first().map(|name| (*name).to_owned())
}

/// Returns a message for an error that the file system returned when a process with these
/// credentials accessed `path`: what happened, why, and the command that fixes it.
pub fn explain(path: &Path, error: &Error, credentials: &Credentials, access: Access) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => denied_by_mode(path, credentials, access).unwrap_or_else(|| {
            format!(
                "{shown} cannot be {} by {}, though its mode allows it: look at its ACL (getfacl {shown}) and at the \
                 kernel's log for AppArmor or SELinux",
                match access {
                    Access::Read => "read",
                    Access::Write => "written",
                },
                credentials.name()
            )
        }),
        ErrorKind::ReadOnlyFilesystem => why_read_only(path),
        _ => format!("{shown}: {error}"),
    }
}

/// Returns a message about what denies access by owner and mode: the first folder above `path` that
/// cannot be searched, or `path` itself. Returns `None` when the modes allow the access, or cannot
/// be read.
pub fn denied_by_mode(path: &Path, credentials: &Credentials, access: Access) -> Option<String> {
    let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    let mut folders: Vec<&Path> = parents.collect();
    folders.reverse();
    for folder in folders {
        let metadata = std::fs::metadata(folder).ok()?;
        if !allows(&metadata, credentials, 0o1) {
            let (folder, mode) = (folder.display(), metadata.mode() & 0o7777);
            return Some(format!(
                "{folder} belongs to {} (mode {mode:04o}), and {} cannot pass through it to {}. Run: {}",
                user_name(metadata.uid()),
                credentials.name(),
                path.display(),
                match metadata.uid() {
                    0 => format!("chmod a+x {folder}"),
                    _ => format!("chown {}: {folder}", credentials.owner()),
                }
            ));
        }
    }
    let metadata = std::fs::metadata(path).ok()?;
    let bits = match (access, metadata.is_dir()) {
        (Access::Read, false) => 0o4,
        (Access::Read, true) => 0o5,
        (Access::Write, false) => 0o6,
        (Access::Write, true) => 0o7,
    };
    if allows(&metadata, credentials, bits) {
        return None;
    }
    let (shown, mode, name) = (path.display(), metadata.mode() & 0o7777, credentials.name());
    let is_owner = metadata.uid() == credentials.uid.as_raw();
    let command = match (is_owner, access) {
        (true, Access::Read) => format!("chmod u+r {shown}"),
        (true, Access::Write) => format!("chmod u+rwX {shown}"),
        (false, _) => format!("chown {}: {shown}", credentials.owner()),
    };
    Some(format!(
        "{shown} belongs to {} (mode {mode:04o}), and the daemon runs as {name}, which cannot {} it. Run: {command}",
        user_name(metadata.uid()),
        match access {
            Access::Read => "read",
            Access::Write => "write",
        }
    ))
}

/// Returns whether the mode grants all of these bits to the class (owner, group or others) that the
/// credentials belong to (path_resolution(7)).
fn allows(metadata: &std::fs::Metadata, credentials: &Credentials, bits: u32) -> bool {
    if credentials.uid.is_root() {
        return true;
    }
    let mode = metadata.mode();
    let class = if metadata.uid() == credentials.uid.as_raw() {
        mode >> 6
    } else if credentials.groups.iter().any(|group| group.as_raw() == metadata.gid()) {
        mode >> 3
    } else {
        mode
    };
    class & bits == bits
}

/// Returns a message about why `path` is read-only: the file system is mounted read-only, or only
/// this process sees it so, because of the sandbox of its unit.
pub fn why_read_only(path: &Path) -> String {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    read_only_message(&text, &resolved)
}

/// Returns the message by the mount that `path` belongs to, which is the one with the longest mount
/// point. In proc_pid_mountinfo(5), field 6 has the options of the mount and the last field those
/// of the file system. A sandbox changes only the former.
fn read_only_message(mountinfo: &str, path: &Path) -> String {
    let shown = path.display();
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(mount.split(' ').nth(4)?.replace("\\040", " "));
        let mut fields = file_system.split(' ');
        let (device, options) = (fields.nth(1)?, fields.next()?);
        path.starts_with(&point).then(|| (point, device.to_owned(), has_ro(options)))
    });
    // Of two mounts on the same mount point, the later one hides the other.
    match mounts.max_by_key(|(point, ..)| point.as_os_str().len()) {
        Some((point, device, true)) => format!(
            "{shown} lies on a file system that is read-only ({device} at {}). See why with `dmesg`, then run: mount -o \
             remount,rw {}",
            point.display(),
            point.display()
        ),
        _ => format!(
            "the daemon's unit lets it write nothing in {shown}. Run `systemctl edit totpd`, write [Service] and \
             ReadWritePaths={shown} there, then: systemctl restart totpd"
        ),
    }
}

fn has_ro(options: &str) -> bool {
    options.split(',').any(|option| option == "ro")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn nobody() -> Credentials {
        Credentials { uid: Uid::from_raw(65_533), groups: vec![Gid::from_raw(65_533)] }
    }

    #[test]
    fn the_file_or_folder_that_denies_access_is_named_with_a_fix() {
        let scratch = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        let mode =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let (folder, user) = (scratch.path(), nobody());
        let file = folder.join("totpd.key");
        std::fs::write(&file, "").unwrap();
        mode(folder, 0o755);
        mode(&file, 0o400);
        let why = denied_by_mode(&file, &user, Access::Read).unwrap();
        assert!(why.contains("(mode 0400), and the daemon runs as uid 65533, which cannot read it"), "{why}");
        assert!(why.ends_with(&format!("Run: chown 65533: {}", file.display())), "{why}");
        mode(&file, 0o644);
        assert_eq!(denied_by_mode(&file, &user, Access::Read), None);
        assert!(denied_by_mode(&file, &user, Access::Write).unwrap().contains("cannot write it"));
        mode(folder, 0o700);
        let why = denied_by_mode(&file, &user, Access::Read).unwrap();
        assert!(
            why.starts_with(&folder.display().to_string()) && why.contains("cannot pass through it"),
            "{why}"
        );
        let owner = Credentials { uid: Uid::from_raw(folder.metadata().unwrap().uid()), ..nobody() };
        mode(&file, 0o200);
        if !owner.uid.is_root() {
            let why = denied_by_mode(&file, &owner, Access::Read).unwrap();
            assert!(why.ends_with(&format!("chmod u+r {}", file.display())), "{why}");
        }
    }

    #[test]
    fn the_group_bits_apply_to_members_that_are_not_the_owner() {
        let scratch = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        let metadata = |mode| {
            std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(mode)).unwrap();
            scratch.path().metadata().unwrap()
        };
        let gid = Gid::from_raw(scratch.path().metadata().unwrap().gid());
        let member = Credentials { groups: vec![gid], ..nobody() };
        assert!(allows(&metadata(0o750), &member, 0o5) && !allows(&metadata(0o750), &nobody(), 0o5));
        assert!(!allows(&metadata(0o705), &member, 0o5), "only the group's bits apply to a member");
    }

    #[test]
    fn a_read_only_file_system_is_told_from_a_sandbox() {
        let mounts = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
                      40 22 8:2 / /srv rw - ext4 /dev/sda2 ro,errors=remount-ro\n\
                      41 22 8:1 /opt /opt ro,nosuid - ext4 /dev/sda1 rw\n";
        let message = |path: &str| read_only_message(mounts, Path::new(path));
        assert!(message("/srv/totpd").contains("read-only (/dev/sda2 at /srv)"), "{}", message("/srv/totpd"));
        assert!(message("/opt/totpd").contains("ReadWritePaths=/opt/totpd"), "{}", message("/opt/totpd"));
        assert!(message("/srvx/totpd").contains("ReadWritePaths="));
    }
}
