//! Why a file cannot be used: which file or folder on the way is in the way, whose it is, and the
//! command that cures it.

use nix::unistd::{Gid, Uid};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What somebody wants to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read it.
    Read,
    /// Read and write it; a folder: make files in it.
    Write,
}

/// Who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The uid.
    pub uid: Uid,
    /// Its groups.
    pub groups: Vec<Gid>,
}

impl Who {
    /// This process.
    pub fn me() -> Self {
        let mut groups = nix::unistd::getgroups().unwrap_or_default();
        groups.push(nix::unistd::getegid());
        Self { uid: nix::unistd::geteuid(), groups }
    }

    /// The user of this uid, with the groups that the host knows.
    pub fn of_uid(uid: u32) -> Self {
        let uid = Uid::from_raw(uid);
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        let groups = user.and_then(|user| {
            let name = std::ffi::CString::new(user.name).ok()?;
            nix::unistd::getgrouplist(&name, user.gid).ok()
        });
        Self { uid, groups: groups.unwrap_or_default() }
    }

    /// What `/etc/passwd` calls the user, or the number.
    pub fn name(&self) -> String {
        user_name(self.uid.as_raw())
    }

    /// The word of the user for chown(1).
    pub fn owner(&self) -> String {
        local_name("/etc/passwd", self.uid.as_raw()).unwrap_or_else(|| self.uid.to_string())
    }
}

/// What `/etc/passwd` calls a uid, or the number. No directory is asked: the daemon says this while
/// it starts.
pub fn user_name(uid: u32) -> String {
    local_name("/etc/passwd", uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn local_name(file: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.get(2).is_some_and(|field| field.parse() == Ok(id)))?;
    row.first().map(|name| (*name).to_owned())
}

/// A sentence or two for an error of the file system: by `who`, who wanted `want` of `path`.
pub fn explain(path: &Path, error: &Error, who: &Who, want: Want) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => why_not(path, who, want).unwrap_or_else(|| {
            format!(
                "{shown} cannot be {} by {}, though its mode allows it: look at its ACL (getfacl {shown}) and at the \
                 kernel's log for AppArmor or SELinux",
                match want {
                    Want::Read => "read",
                    Want::Write => "written",
                },
                who.name()
            )
        }),
        ErrorKind::ReadOnlyFilesystem => why_read_only(path),
        _ => format!("{shown}: {error}"),
    }
}

/// What is in the way of `who`, by owner and mode: the path itself, or the first folder on the way
/// that lets nobody pass. `None`: nothing is.
pub fn why_not(path: &Path, who: &Who, want: Want) -> Option<String> {
    let folders = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let mut above: Vec<&Path> = folders.collect();
    above.reverse();
    for folder in above {
        let metadata = std::fs::metadata(folder).ok()?;
        if !allows(&metadata, who, 0o1) {
            let (folder, mode) = (folder.display(), metadata.mode() & 0o7777);
            return Some(format!(
                "{folder} belongs to {} (mode {mode:04o}), and {} cannot pass through it to {}. Run: {}",
                user_name(metadata.uid()),
                who.name(),
                path.display(),
                match metadata.uid() {
                    0 => format!("chmod a+x {folder}"),
                    _ => format!("chown {}: {folder}", who.owner()),
                }
            ));
        }
    }
    let metadata = std::fs::metadata(path).ok()?;
    let bits = match (want, metadata.is_dir()) {
        (Want::Read, false) => 0o4,
        (Want::Read, true) => 0o5,
        (Want::Write, false) => 0o6,
        (Want::Write, true) => 0o7,
    };
    if allows(&metadata, who, bits) {
        return None;
    }
    let (shown, mode, name) = (path.display(), metadata.mode() & 0o7777, who.name());
    let mine = metadata.uid() == who.uid.as_raw();
    let command = match (mine, want) {
        (true, Want::Read) => format!("chmod u+r {shown}"),
        (true, Want::Write) => format!("chmod u+rwX {shown}"),
        (false, _) => format!("chown {}: {shown}", who.owner()),
    };
    Some(format!(
        "{shown} belongs to {} (mode {mode:04o}), and the daemon runs as {name}, which cannot {} it. Run: {command}",
        user_name(metadata.uid()),
        match want {
            Want::Read => "read",
            Want::Write => "write",
        }
    ))
}

/// Whether owner and mode give `who` all of these bits of one class (path_resolution(7)).
fn allows(metadata: &std::fs::Metadata, who: &Who, bits: u32) -> bool {
    if who.uid.is_root() {
        return true;
    }
    let mode = metadata.mode();
    let class = if metadata.uid() == who.uid.as_raw() {
        mode >> 6
    } else if who.groups.iter().any(|group| group.as_raw() == metadata.gid()) {
        mode >> 3
    } else {
        mode
    };
    class & bits == bits
}

/// Why nothing can be written at `path`: the file system is read-only, or only this process's view
/// of it is.
pub fn why_read_only(path: &Path) -> String {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    read_only_sentence(&text, &real)
}

/// The mount with the longest path decides. Of its options (proc_pid_mountinfo(5)) the sixth field
/// is the mount's own, and the last one the file system's: a sandbox changes the first alone.
fn read_only_sentence(mountinfo: &str, path: &Path) -> String {
    let shown = path.display();
    let mounts = mountinfo.lines().filter_map(|line| {
        let (fields, system) = line.split_once(" - ")?;
        let point = PathBuf::from(fields.split(' ').nth(4)?.replace("\\040", " "));
        let mut system = system.split(' ');
        let (device, options) = (system.nth(1)?, system.next()?);
        path.starts_with(&point).then(|| (point, device.to_owned(), has_ro(options)))
    });
    // Of two mounts on one place the later one is seen.
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

    fn nobody() -> Who {
        Who { uid: Uid::from_raw(65_533), groups: vec![Gid::from_raw(65_533)] }
    }

    #[test]
    fn the_file_or_folder_in_the_way_is_named_with_its_cure() {
        let scratch = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        let mode =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let (folder, who) = (scratch.path(), nobody());
        let file = folder.join("totpd.key");
        std::fs::write(&file, "").unwrap();
        mode(folder, 0o755);
        mode(&file, 0o400);
        let why = why_not(&file, &who, Want::Read).unwrap();
        assert!(why.contains("(mode 0400), and the daemon runs as uid 65533, which cannot read it"), "{why}");
        assert!(why.ends_with(&format!("Run: chown 65533: {}", file.display())), "{why}");
        mode(&file, 0o644);
        assert_eq!(why_not(&file, &who, Want::Read), None);
        assert!(why_not(&file, &who, Want::Write).unwrap().contains("cannot write it"));
        mode(folder, 0o700);
        let why = why_not(&file, &who, Want::Read).unwrap();
        assert!(
            why.starts_with(&folder.display().to_string()) && why.contains("cannot pass through it"),
            "{why}"
        );
        let me = Who { uid: Uid::from_raw(folder.metadata().unwrap().uid()), ..nobody() };
        mode(&file, 0o200);
        if !me.uid.is_root() {
            assert!(
                why_not(&file, &me, Want::Read).unwrap().ends_with(&format!("chmod u+r {}", file.display()))
            );
        }
    }

    #[test]
    fn a_group_counts_where_the_user_does_not_own_it() {
        let scratch = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
        let metadata = |mode| {
            std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(mode)).unwrap();
            scratch.path().metadata().unwrap()
        };
        let gid = Gid::from_raw(scratch.path().metadata().unwrap().gid());
        let member = Who { groups: vec![gid], ..nobody() };
        assert!(allows(&metadata(0o750), &member, 0o5) && !allows(&metadata(0o750), &nobody(), 0o5));
        assert!(!allows(&metadata(0o705), &member, 0o5), "the group's bits alone count for a member");
    }

    #[test]
    fn a_read_only_file_system_and_a_sandbox_are_told_apart() {
        let mounts = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
                      40 22 8:2 / /srv rw - ext4 /dev/sda2 ro,errors=remount-ro\n\
                      41 22 8:1 /opt /opt ro,nosuid - ext4 /dev/sda1 rw\n";
        let said = |path: &str| read_only_sentence(mounts, Path::new(path));
        assert!(said("/srv/totpd").contains("read-only (/dev/sda2 at /srv)"), "{}", said("/srv/totpd"));
        assert!(said("/opt/totpd").contains("ReadWritePaths=/opt/totpd"), "{}", said("/opt/totpd"));
        assert!(said("/srvx/totpd").contains("ReadWritePaths="));
    }
}
