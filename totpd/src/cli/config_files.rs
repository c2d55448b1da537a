//! The part of `totpd config check` outside the configuration file: whether the daemon's user can
//! use the files that it names, and whether its sockets are those of the units.

use super::Context;
use crate::cli::output::CommandError;
use crate::config::http::Listen;
use crate::config::server_url::ServerTls;
use crate::config::{Config, DEFAULT_PATH, StorePlace};
use crate::key::{KeyError, StoreKey};
use crate::permission::{self, Access, Credentials};
use crate::store::files::{database_file, log_file, shared_memory_file};
use crate::units;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, User, access};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file that this process's user may not read or write.
#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    path: PathBuf,
    write: bool,
    errno: i32,
}

/// What is wrong with files and sockets, one sentence for each problem.
pub(super) fn problems(context: &Context, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let unit = context.config_path == Path::new(DEFAULT_PATH);
    if unit {
        problems.extend(other_sockets(Path::new("/"), config));
    }
    let daemon = if unit { daemon_of_unit(config) } else { Ok(owner_of_state(config)) };
    let daemon = match daemon {
        Ok(daemon) => daemon,
        Err(problem) => {
            problems.push(problem);
            return problems;
        }
    };
    let process = Credentials::of_process();
    let refused = if daemon.uid == process.uid {
        Some(refused(&context.config_path, config))
    } else {
        as_user(context, &daemon)
    };
    match refused {
        Some(refused) => problems.extend(refused.into_iter().map(|file| {
            let access = if file.write { Access::Write } else { Access::Read };
            let error = std::io::Error::from_raw_os_error(file.errno);
            sentence(&context.config_path, &file.path, &error, &daemon, access)
        })),
        None if process.uid.is_root() => {
            problems.push(format!(
                "the files were not checked for {}, because totpd cannot be run as that user",
                daemon.name()
            ));
        }
        // Only root can check as another user.
        None => {}
    }
    match StoreKey::load(&config.key_file) {
        Ok(key) => problems.extend(crate::init::check_store_id(config, &key).err()),
        Err(KeyError::Missing(..) | KeyError::Unreadable(_)) => {}
        Err(error) => problems.push(error.to_string()),
    }
    problems
}

/// The problem of one file. The configuration holds no secret and belongs to root, so `chmod` fixes
/// it; the other files belong to the daemon's user.
fn sentence(
    config_path: &Path,
    path: &Path,
    error: &std::io::Error,
    daemon: &Credentials,
    access: Access,
) -> String {
    let is_config = path == config_path && error.kind() == std::io::ErrorKind::PermissionDenied;
    match std::fs::metadata(path) {
        Ok(metadata)
            if is_config
                && permission::denied_by_mode(path, daemon, access)
                    .is_some_and(|why| why.contains("which cannot")) =>
        {
            format!(
                "{} belongs to {} (mode {:04o}), and the daemon runs as {}, which cannot read it. Run: chmod 0644 {}",
                path.display(),
                permission::user_name(metadata.uid()),
                metadata.mode() & 0o7777,
                daemon.name(),
                path.display()
            )
        }
        _ => permission::explain(path, error, daemon, access),
    }
}

/// The user that the unit names. The owner of the state folder if there is no unit.
fn daemon_of_unit(config: &Config) -> Result<Credentials, String> {
    let Some(name) = units::daemon_user(Path::new("/")) else { return Ok(owner_of_state(config)) };
    let user = User::from_name(&name).ok().flatten();
    user.map(|user| Credentials::of_uid(user.uid.as_raw())).ok_or_else(|| {
        format!(
            "{} runs as the user {name}, which does not exist on this host. Run: systemd-sysusers",
            units::SERVICE
        )
    })
}

/// The owner of the state folder, as whom a daemon without a unit runs.
fn owner_of_state(config: &Config) -> Credentials {
    let owner = std::fs::metadata(&config.state_dir).map(|folder| folder.uid());
    owner.map_or_else(|_| Credentials::of_process(), Credentials::of_uid)
}

/// `totpd config check --files`: prints the files that this process's user may not use, as JSON for
/// the parent process.
pub(super) fn print_refused(context: &Context, config: &Config) -> Result<(), CommandError> {
    let refused = refused(&context.config_path, config);
    context.out.json(&serde_json::json!(refused))
}

fn refused(config_path: &Path, config: &Config) -> Vec<Refused> {
    let mut files = vec![
        (config_path.to_owned(), false),
        (config.key_file.clone(), false),
        (config.store_id_file.clone(), false),
        (config.breakglass_marks.clone(), false),
        (config.state_dir.clone(), true),
        (database_file(&config.state_dir), true),
        (log_file(&config.state_dir), true),
        (shared_memory_file(&config.state_dir), true),
    ];
    if let StorePlace::Postgres(settings) = &config.store {
        files.extend(settings.password_file.iter().map(|file| (file.clone(), false)));
        if let ServerTls::VerifyFull(roots) = &settings.url.tls {
            files.push((roots.clone(), false));
        }
    }
    if let Some(Listen::Tls(_, tls)) = config.api().map(|http| &http.listen) {
        files.extend([(tls.certificate.clone(), false), (tls.private_key.clone(), false)]);
    }
    let refused = files.into_iter().filter_map(|(path, write)| {
        let wanted = if write { AccessFlags::R_OK | AccessFlags::W_OK } else { AccessFlags::R_OK };
        match access(&path, wanted) {
            // A missing file is another check's finding.
            Ok(()) | Err(Errno::ENOENT) => None,
            Err(errno) => Some(Refused { path, write, errno: errno as i32 }),
        }
    });
    refused.collect()
}

/// [`refused()`] as another user: in a child of that user, so that the kernel applies modes, ACLs
/// and mounts.
fn as_user(context: &Context, daemon: &Credentials) -> Option<Vec<Refused>> {
    let gid = User::from_uid(daemon.uid).ok().flatten().map_or(daemon.uid.as_raw(), |user| user.gid.as_raw());
    let mut command = Command::new("/proc/self/exe");
    command.arg("--json").arg("--config").arg(&context.config_path).args(["config", "check", "--files"]);
    command.uid(daemon.uid.as_raw()).gid(gid).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    // No JSON: the child could not even read the configuration.
    let unread =
        || vec![Refused { path: context.config_path.clone(), write: false, errno: Errno::EACCES as i32 }];
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| unread()))
}

/// Sockets of the units with other paths than the configuration has: programs would ask where no
/// daemon listens.
fn other_sockets(root: &Path, config: &Config) -> Vec<String> {
    let pairs = [
        ("totpd.socket", "login_socket", &config.login_socket),
        ("totpd-root.socket", "root_socket", &config.root_socket),
        ("totpd-admin.socket", "admin_socket", &config.admin_socket),
    ];
    let other = pairs.into_iter().filter_map(|(unit, key, path)| {
        let listens = units::values(root, unit, "ListenStream")?;
        if listens.is_empty() || listens.iter().any(|listen| Path::new(listen) == path) {
            return None;
        }
        Some(format!(
            "{key} is {}, but {unit} listens at {}. Set both to the path that the PAM lines name",
            path.display(),
            listens.join(", ")
        ))
    });
    other.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_not_the_units_are_named() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("usr/lib/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join("totpd.socket"), "[Socket]\nListenStream=/run/totpd/login.sock\n").unwrap();
        let mut config = Config::defaults(Path::new("/etc/totpd"));
        assert_eq!(other_sockets(root.path(), &config), [""; 0]);
        config.login_socket = "/run/other.sock".into();
        let said = other_sockets(root.path(), &config);
        assert!(said[0].contains("/run/other.sock") && said[0].contains("/run/totpd/login.sock"), "{said:?}");
    }
}
