//! Checks owners and modes of totpd's files: configuration, key, store, sockets.

use crate::config::StorePlace;
use crate::doctor::access::{Denied, Want, child_may, may};
use crate::doctor::accounts::Account;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, Kind};
use crate::doctor::fix::Fix;
use crate::doctor::system::Host;
use crate::store::files::database_file;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Rows about owners and modes.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let config = host.config_or_defaults();
    // A host without a store has another finding: the daemon refuses.
    let set_up = [&config.key_file, &config.store_id_file, &database_file(&config.state_dir)];
    let is_set_up = set_up.iter().any(|file| host.stat(file).is_ok());
    let mut found: Vec<Finding> = user(host).into_iter().collect();
    let Some(daemon) = host.daemon_account() else { return found };
    found.extend(readable(host, &daemon, &host.config_path, &kinds::CONFIG_UNREADABLE, 0o644));
    if is_set_up {
        found.extend(key(host, &daemon, &config.key_file));
        match &config.store {
            StorePlace::StateDir => found.extend(store(host, &daemon, &config.state_dir)),
            StorePlace::Postgres(settings) => {
                let file = settings.password_file.as_deref();
                found.extend(file.and_then(|file| password(host, &daemon, file)));
            }
        }
        found.extend(readable(host, &daemon, &config.store_id_file, &kinds::STORE_ID_UNREADABLE, 0o644));
    }
    found.extend(run_folder(host, &daemon, &config.login_socket));
    found.extend(sockets(host, &config));
    found
}

/// Row "sysusers not run".
fn user(host: &Host) -> Option<Finding> {
    let unit = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let installed = unit.iter().any(|folder| host.stat(Path::new(folder).join("totpd.service")).is_ok());
    if !installed || host.account("totpd").is_some() {
        return None;
    }
    // The user may be in a directory.
    if host.is_live() && host.output(&["getent", "passwd", "totpd"]).is_some() {
        return None;
    }
    let finding = Finding::new(&kinds::DAEMON_USER_MISSING, "totpd", "there is no user totpd on this host");
    Some(
        finding
            .fixed_by(Fix::Run(vec!["systemd-sysusers totpd.conf", "systemd-tmpfiles --create totpd.conf"])),
    )
}

/// The finding about a file that the daemon's user must be able to read.
fn readable(host: &Host, daemon: &Account, path: &Path, kind: &'static Kind, mode: u32) -> Option<Finding> {
    let denied = may(host, daemon, path, Want::Read).err()?;
    if child_may(host, daemon, path, Want::Read) {
        return None;
    }
    let finding = Finding::new(kind, path.display().to_string(), describe(host, daemon, &denied, path));
    Some(with_fix(finding, daemon, &denied, path, mode).at(path, None))
}

/// `/etc/totpd/totpd.key belongs to root (mode 0400), and the daemon runs as totpd`.
fn describe(host: &Host, daemon: &Account, denied: &Denied, path: &Path) -> String {
    let named = host.accounts.iter().find(|account| account.uid == denied.uid);
    let owner = named.map_or_else(|| format!("uid {}", denied.uid), |account| account.name.clone());
    let (at, mode) = (denied.path.display(), denied.mode);
    let way = if denied.on_the_way { format!(", on the way to {}", path.display()) } else { String::new() };
    format!("{at} belongs to {owner} (mode {mode:04o}){way}, and the daemon runs as {}", daemon.name)
}

/// Adds the fix that lets the daemon's user read the file.
fn with_fix(finding: Finding, daemon: &Account, denied: &Denied, path: &Path, mode: u32) -> Finding {
    if denied.on_the_way {
        let fix = Fix::Access { path: denied.path.clone(), owner: None, mode: Some(denied.mode | 0o111) };
        // Doctor does not open a user's home or /root.
        let is_ours = denied.path.file_name().is_some_and(|name| name == "totpd");
        return if is_ours { finding.fixed_by(fix) } else { finding.cure(format!("Run: {fix}")) };
    }
    let owner = (mode & 0o004 == 0).then(|| (daemon.name.clone(), daemon.uid, daemon.gid));
    finding.fixed_by(Fix::Access { path: path.to_owned(), owner, mode: Some(mode) })
}

/// Rows "key 0644; key owned by root".
fn key(host: &Host, daemon: &Account, path: &Path) -> Option<Finding> {
    let shown = path.display().to_string();
    // Links are followed: systemd may put the key elsewhere, as a credential.
    let Ok(metadata) = std::fs::metadata(host.inside(path)) else {
        let what = format!("{shown} is missing");
        let cure = "Restore it from a backup: totpd restore FILE";
        return Some(Finding::new(&kinds::KEY_MISSING, shown, what).cure(cure).at(path, None));
    };
    if metadata.mode() & 0o037 != 0 {
        let what = format!("other users can read {shown} (mode {:04o})", metadata.mode() & 0o7777);
        let fix = Fix::Access { path: path.to_owned(), owner: None, mode: Some(0o400) };
        return Some(Finding::new(&kinds::KEY_EXPOSED, shown, what).fixed_by(fix).at(path, None));
    }
    readable(host, daemon, path, &kinds::KEY_UNREADABLE, 0o400)
}

/// The password of the database. Without `password_file` it is a credential, which systemd checks.
fn password(host: &Host, daemon: &Account, path: &Path) -> Option<Finding> {
    let shown = path.display().to_string();
    let kind = &kinds::STORE_PASSWORD;
    let Ok(metadata) = host.stat(path) else {
        let what = format!("{shown} is missing");
        let owner = &daemon.name;
        let cure = format!("Run: systemd-ask-password -n | install -m 0400 -o {owner} /dev/stdin {shown}");
        return Some(Finding::new(kind, shown, what).cure(cure).at(path, None));
    };
    if !metadata.is_file() {
        let what = format!("{shown} is no regular file (a link?)");
        return Some(Finding::new(kind, shown, what).cure("Write the password into a file").at(path, None));
    }
    if metadata.mode() & 0o037 != 0 {
        let what = format!("other users can read {shown} (mode {:04o})", metadata.mode() & 0o7777);
        let fix = Fix::Access { path: path.to_owned(), owner: None, mode: Some(0o400) };
        return Some(Finding::new(kind, shown, what).fixed_by(fix).at(path, None));
    }
    readable(host, daemon, path, kind, 0o400)
}

/// Row "store not readable by the daemon's user".
fn store(host: &Host, daemon: &Account, folder: &Path) -> Vec<Finding> {
    // The folder may be a link of the administrator.
    let target = (host.root == Path::new("/")).then(|| folder.canonicalize().ok()).flatten();
    let folder = target.as_deref().unwrap_or(folder);
    let database = database_file(folder);
    let shown = database.display().to_string();
    let Ok(metadata) = host.stat(folder) else {
        let what = format!("{} is missing", folder.display());
        let cure = "Mount it, or restore it from a backup: totpd restore FILE";
        return vec![Finding::new(&kinds::STORE_MISSING, shown, what).cure(cure).at(folder, None)];
    };
    let owner = Some((daemon.name.clone(), daemon.uid, daemon.gid));
    let folder_fix = Fix::Access { path: folder.to_owned(), owner: owner.clone(), mode: Some(0o700) };
    if metadata.mode() & 0o077 != 0 {
        let what =
            format!("other users can open {} (mode {:04o})", folder.display(), metadata.mode() & 0o7777);
        return vec![Finding::new(&kinds::STORE_EXPOSED, shown, what).fixed_by(folder_fix).at(folder, None)];
    }
    let kind = &kinds::STORE_UNREADABLE;
    if let Err(denied) = may(host, daemon, folder, Want::Folder)
        && !child_may(host, daemon, folder, Want::Folder)
    {
        let finding = Finding::new(kind, shown, describe(host, daemon, &denied, folder)).at(folder, None);
        return vec![if denied.on_the_way {
            with_fix(finding, daemon, &denied, folder, 0o700)
        } else {
            finding.fixed_by(folder_fix)
        }];
    }
    if host.stat(&database).is_err() {
        let what = format!("{shown} is missing");
        let cure = "Mount its file system, or restore it from a backup: totpd restore FILE";
        return vec![Finding::new(&kinds::STORE_MISSING, shown, what).cure(cure).at(folder, None)];
    }
    // The database, and its write-ahead log.
    let files = ["totpd.db", "totpd.db-wal", "totpd.db-shm"].map(|name| folder.join(name));
    let foreign = |file: &std::path::PathBuf| {
        let metadata = host.stat(file).ok()?;
        let denied = Denied {
            path: file.clone(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode() & 0o7777,
            on_the_way: false,
        };
        let is_owner = metadata.uid() == daemon.uid && metadata.mode() & 0o600 == 0o600;
        let allowed = is_owner || daemon.uid == 0 || child_may(host, daemon, file, Want::Write);
        (!allowed).then(|| {
            let fix = Fix::Access { path: file.clone(), owner: owner.clone(), mode: Some(0o600) };
            Finding::new(kind, file.display().to_string(), describe(host, daemon, &denied, file))
                .fixed_by(fix)
                .at(file, None)
        })
    };
    files.iter().filter_map(foreign).collect()
}

/// Row "tmpfiles not run; /run/totpd foreign".
fn run_folder(host: &Host, daemon: &Account, socket: &Path) -> Option<Finding> {
    let folder = socket.parent()?;
    // A missing folder is created with the sockets.
    let metadata = host.stat(folder).ok()?;
    let trusted = [0, daemon.uid].contains(&metadata.uid());
    if trusted && metadata.mode() & 0o022 == 0 && metadata.is_dir() {
        return None;
    }
    let what = format!(
        "{} belongs to uid {} (mode {:04o}), and must belong to {} alone",
        folder.display(),
        metadata.uid(),
        metadata.mode() & 0o7777,
        daemon.name
    );
    let finding = Finding::new(&kinds::RUN_FOLDER, folder.display().to_string(), what).at(folder, None);
    Some(if folder == Path::new("/run/totpd") {
        finding.fixed_by(Fix::Run(vec!["systemd-tmpfiles --create totpd.conf"]))
    } else {
        finding.cure(format!("Run: chown {0}: {1} && chmod 0755 {1}", daemon.name, folder.display()))
    })
}

/// Row "sockets of a wrong mode".
fn sockets(host: &Host, config: &crate::config::Config) -> Vec<Finding> {
    let wanted = [(&config.login_socket, 0o666), (&config.root_socket, 0o600), (&config.admin_socket, 0o600)];
    let wrong = |(path, wanted): (&std::path::PathBuf, u32)| {
        let mode = host.stat(path).ok()?.mode() & 0o777;
        // While break-glass is open, the sockets are its own.
        let open = host.is_live() && crate::breakglass::is_open(config);
        (mode != wanted && !open).then(|| {
            let what = format!("{} has mode {mode:04o}, but needs {wanted:04o}", path.display());
            let finding = Finding::new(&kinds::SOCKET_MODE, path.display().to_string(), what).at(path, None);
            finding.cure(format!("Run: chmod {wanted:04o} {}", path.display()))
        })
    };
    wanted.into_iter().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_does_not_open_folders_of_other_users() {
        let daemon = Account::unnamed(990);
        for (way, fixed) in [("/root", false), ("/home/alice", false), ("/etc/totpd", true)] {
            let denied = Denied { path: way.into(), uid: 0, gid: 0, mode: 0o700, on_the_way: true };
            let finding = Finding::new(&kinds::KEY_UNREADABLE, "key", "cannot be read");
            let finding = with_fix(finding, &daemon, &denied, &Path::new(way).join("totpd.key"), 0o400);
            assert_eq!(finding.fix.is_some(), fixed, "{way}");
            assert_eq!(finding.cure, format!("Run: chmod 0711 {way}"));
        }
    }
}
