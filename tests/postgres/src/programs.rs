//! PostgreSQL's programs, and the user that runs them.

use nix::unistd::{User, geteuid};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where Debian and its derivatives install each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Returns the folder of the programs of the latest PostgreSQL that is installed.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let entries = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
        let latest = entries
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
            })
            .filter(|(_, bin)| bin.join("postgres").exists() && bin.join("psql").exists())
            .max();
        latest.expect("no PostgreSQL in /usr/lib/postgresql; run: scripts/bootstrap.sh test").1
    })
}

/// Returns the user that runs the servers when the tests run as root: PostgreSQL refuses root.
/// `nobody`, which owns nothing, and not `postgres`, which owns the host's clusters.
pub(crate) fn server_user() -> Option<&'static User> {
    static USER: OnceLock<Option<User>> = OnceLock::new();
    let user = || {
        geteuid().is_root().then(|| User::from_name("nobody").unwrap().expect("the host has the user nobody"))
    };
    USER.get_or_init(user).as_ref()
}

/// Returns a command that runs a program of PostgreSQL as the server's user, without the
/// environment of the tests. `PGHOST` and its like would change what it does.
pub(crate) fn as_server_user(program: &str) -> Command {
    as_server_user_in(None, program)
}

/// Returns a command as [`as_server_user`] does, in another network namespace if one is named. Each
/// program on the way becomes the next: the pid is the server's.
pub(crate) fn as_server_user_in(network: Option<&Path>, program: &str) -> Command {
    let path = folder().join(program);
    let mut command = match server_user() {
        Some(user) => {
            let mut command = match network {
                None => Command::new("setpriv"),
                Some(network) => {
                    let mut command = Command::new("nsenter");
                    command.arg(format!("--net={}", network.display())).args(["--", "setpriv"]);
                    command
                }
            };
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.args(["--clear-groups", "--"]).arg(path);
            command
        }
        None => Command::new(path),
    };
    clear_environment(&mut command);
    // Some programs look for the folder that they are started in, which the user may not read.
    command.current_dir("/");
    command
}

/// Removes the environment of the tests from a command. Messages are in English.
pub(crate) fn clear_environment(command: &mut Command) {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
}

/// Runs a program to its end, and fails with its output unless it succeeds.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
