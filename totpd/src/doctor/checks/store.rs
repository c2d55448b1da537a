//! Checks the folder of the store: the same for daemon and host, writable, with free space.

use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::system::Host;
use crate::file_identity::FileIdentity;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// With fewer free bytes, writes may fail.
const FULL: u64 = 16 * 1024 * 1024;
/// With fewer free bytes, an administrator should make room.
const NEARLY_FULL: u64 = 256 * 1024 * 1024;

/// Rows about the folder of the store. A tree is not checked.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let folder = host.config_or_defaults().state_dir;
    if !host.is_live() || host.stat(&folder).is_err() {
        return Vec::new();
    }
    let other = other_mount(host, &folder);
    if other.is_some() {
        return other.into_iter().collect();
    }
    read_only(host, &folder).or_else(|| room(host, &folder)).into_iter().collect()
}

/// The folder as the daemon sees it.
fn seen_by_daemon(host: &Host, folder: &Path) -> Option<PathBuf> {
    let pid = host.daemon.as_ref()?.pid?;
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    Some(host.inside(&root).join(folder.strip_prefix("/").ok()?))
}

/// The folder as process 1 sees it: doctor may run in a sandbox where every folder is read-only.
fn seen_by_host(host: &Host, folder: &Path) -> PathBuf {
    let root = host.inside(Path::new("/proc/1/root"));
    let seen = folder.strip_prefix("/").map(|rest| root.join(rest)).unwrap_or_default();
    if seen.symlink_metadata().is_ok() { seen } else { host.inside(folder) }
}

/// Row "store unmounted under a running daemon (it keeps its own mount)".
fn other_mount(host: &Host, folder: &Path) -> Option<Finding> {
    let daemons = FileIdentity::of_link(&seen_by_daemon(host, folder)?).ok()?;
    let ours = FileIdentity::of_link(&seen_by_host(host, folder)).ok()?;
    if daemons == ours {
        return None;
    }
    let what = format!("the daemon and this host see different folders at {}", folder.display());
    let cure = "Mount the file system of the store again, or unmount what hides it. Then run: systemctl restart totpd";
    Some(
        Finding::new(&kinds::STORE_OF_ANOTHER_MOUNT, folder.display().to_string(), what)
            .cure(cure)
            .at(folder, None),
    )
}

/// Row "store on a read-only or unlisted folder (`ReadWritePaths`)".
fn read_only(host: &Host, folder: &Path) -> Option<Finding> {
    let is_read_only =
        |path: &Path| statvfs(path).is_ok_and(|file_system| file_system.flags().contains(FsFlags::ST_RDONLY));
    let (what, cure) = if is_read_only(&seen_by_host(host, folder)) {
        let what = format!("the file system of {} is mounted read-only", folder.display());
        (
            what,
            format!(
                "Run dmesg to see why, then: mount -o remount,rw $(findmnt -no TARGET -T {})",
                folder.display()
            ),
        )
    } else if seen_by_daemon(host, folder).is_some_and(|path| is_read_only(&path)) {
        let what = format!(
            "{} is read-only for totpd.service, because its sandbox does not list it",
            folder.display()
        );
        (
            what,
            format!(
                "Run: systemctl edit totpd, write [Service] and ReadWritePaths={}, then: systemctl restart totpd",
                folder.display()
            ),
        )
    } else {
        return None;
    };
    Some(
        Finding::new(&kinds::STORE_READ_ONLY, folder.display().to_string(), what).cure(cure).at(folder, None),
    )
}

/// Row "disk full or nearly".
fn room(host: &Host, folder: &Path) -> Option<Finding> {
    let file_system = statvfs(&seen_by_host(host, folder)).ok()?;
    // Blocks that are reserved for root do not count.
    let free = file_system.blocks_available().saturating_mul(file_system.fragment_size());
    let inodes = file_system.files_available();
    let none_left = file_system.files() > 0 && inodes < 16;
    let mib = free / 1024 / 1024;
    let kind = if free < FULL || none_left {
        &kinds::DISK_FULL
    } else if free < NEARLY_FULL {
        &kinds::DISK_NEARLY_FULL
    } else {
        return None;
    };
    let left = if none_left { format!("{inodes} inodes") } else { format!("{mib} MiB") };
    let what = format!("{left} are left on the file system of {}", folder.display());
    let cure = format!("Make room: du -xh --max-depth=2 {} | sort -h", mount_point(folder).display());
    Some(Finding::new(kind, folder.display().to_string(), what).cure(cure).at(folder, None))
}

/// The mount point of the file system of `folder`.
fn mount_point(folder: &Path) -> PathBuf {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    let of_folder = device(folder);
    let same = folder.ancestors().take_while(|above| device(above) == of_folder);
    same.last().unwrap_or(folder).to_owned()
}
