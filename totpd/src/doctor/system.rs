//! The host that doctor examines: its files, its programs' output, and the daemon's answers.
//!
//! Every access goes through it, so an image (`--root`) or a test can have other files and answers.

use super::accounts::{Account, accounts, groups_of};
use super::daemon::DaemonFacts;
use super::tree_files::{MAX_BYTES, inside, read_bounded};
use crate::config::{Config, ConfigError, ConfigProblem};
use crate::pam_config::ConfigDirs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use totp_core::Time;
use totp_core::policy::Moment;

/// How long a program of the host may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(10);

/// A program's output.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// It ended with status 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The programs of the host.
pub trait Programs: std::fmt::Debug {
    /// Runs a program to its end. `None` if it does not exist, or takes too long.
    fn run(&self, command: &[&str]) -> Option<Output>;
}

/// The programs of a running host.
#[derive(Debug)]
pub struct Installed;

/// The programs of a tree, which are never run.
#[derive(Debug)]
pub struct NoPrograms;

impl Programs for NoPrograms {
    fn run(&self, _: &[&str]) -> Option<Output> {
        None
    }
}

impl Programs for Installed {
    fn run(&self, command: &[&str]) -> Option<Output> {
        let (program, arguments) = command.split_first()?;
        let mut command = Command::new(program);
        // Without root's environment; LC_ALL makes the output predictable.
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).ok()?);
        let (send, receive) = channel();
        std::thread::spawn(move || {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            // Both at once: a program may block on one pipe while the other is read.
            let stderr = std::thread::spawn(move || text(stderr));
            let stdout = text(stdout);
            let stderr = stderr.join().unwrap_or_default();
            let success = child.wait().is_ok_and(|status| status.success());
            send.send(Output { success, stdout, stderr })
        });
        let output = receive.recv_timeout(PROGRAM_TIMEOUT);
        if output.is_err() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        output.ok()
    }
}

/// What comes out of a pipe, as far as it is read. Then the pipe is closed, which ends who goes on
/// writing.
fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.map(|pipe| pipe.take(MAX_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The host.
#[derive(Debug)]
pub struct Host {
    /// The folder that is its `/`.
    pub root: PathBuf,
    /// The configuration, as the host calls it.
    pub config_path: PathBuf,
    /// What is in it.
    pub config: Result<Config, ConfigError>,
    /// Its programs.
    pub programs: Box<dyn Programs>,
    /// What the daemon answers. None: a tree, or it was not asked.
    pub daemon: Option<DaemonFacts>,
    /// Its users, of its files.
    pub accounts: Vec<Account>,
    /// When doctor looks.
    pub now: Time,
}

impl Host {
    /// The tree at `root`, of which only files are looked at.
    pub fn of_tree(root: &Path, config_path: &Path) -> Self {
        let text = read_bounded(&inside(root, config_path));
        let config = text.map_err(|error| ConfigError {
            location: config_path.display().to_string(),
            what: format!("cannot be read ({error})"),
            problem: ConfigProblem::Unreadable,
        });
        let config = config.and_then(|text| Config::parse(&text, config_path));
        Self {
            root: root.to_owned(),
            config_path: config_path.to_owned(),
            config,
            programs: Box::new(NoPrograms),
            daemon: None,
            accounts: accounts(root),
            now: crate::clock::now(),
        }
    }

    /// The moment for the rules of totpd.toml.
    pub const fn moment(&self) -> Moment {
        Moment { now: self.now, not_before: crate::clock::RELEASED }
    }

    /// Whether it is a running host.
    pub fn is_live(&self) -> bool {
        self.daemon.is_some()
    }

    /// Where a path of the host is.
    pub fn inside(&self, path: &Path) -> PathBuf {
        inside(&self.root, path)
    }

    /// What the host calls this path.
    pub fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
    }

    /// The text of a file of the host.
    ///
    /// # Errors
    /// What the file system said.
    pub fn read(&self, path: impl AsRef<Path>) -> std::io::Result<String> {
        read_bounded(&self.inside(path.as_ref()))
    }

    /// What is known of a path of the host. Its last component is not followed.
    ///
    /// # Errors
    /// What the file system said.
    pub fn stat(&self, path: impl AsRef<Path>) -> std::io::Result<std::fs::Metadata> {
        std::fs::symlink_metadata(self.inside(path.as_ref()))
    }

    /// What a program prints that has to succeed.
    pub fn output(&self, command: &[&str]) -> Option<String> {
        self.programs.run(command).filter(|output| output.success).map(|output| output.stdout)
    }

    /// Its PAM files.
    pub fn pam(&self) -> ConfigDirs {
        ConfigDirs::of(&self.root)
    }

    /// The configuration, or the defaults where it cannot be read.
    pub fn config_or_defaults(&self) -> Config {
        let folder = self.config_path.parent().unwrap_or(Path::new("/"));
        self.config.as_ref().map_or_else(|_| Config::defaults(folder), Clone::clone)
    }

    /// A user of the host's files.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// The user whom the daemon runs as: of the process, or totpd, or the owner of the state
    /// folder.
    pub fn daemon_account(&self) -> Option<Account> {
        let by_uid = |uid: u32| {
            let known = self.accounts.iter().find(|account| account.uid == uid).cloned();
            known.unwrap_or_else(|| Account::unnamed(uid))
        };
        let process = self.daemon.as_ref().and_then(|daemon| daemon.pid).and_then(|pid| self.uid_of(pid));
        let named = || self.account("totpd").cloned();
        let owner = || {
            use std::os::unix::fs::MetadataExt;
            Some(by_uid(self.stat(&self.config_or_defaults().state_dir).ok()?.uid()))
        };
        process.map(by_uid).or_else(named).or_else(owner)
    }

    /// The members of a group of the host's files, those whose first group it is among them.
    pub fn members(&self, group: &str) -> Vec<&Account> {
        self.accounts
            .iter()
            .filter(|account| groups_of(&self.root, account).iter().any(|g| g == group))
            .collect()
    }

    fn uid_of(&self, pid: i32) -> Option<u32> {
        let status = self.read(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_fifo_nor_endless_output_is_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let fifo = scratch.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_bounded(&fifo).is_err());
        let endless = Installed.run(&["yes"]).unwrap();
        assert!(!endless.success);
        assert_eq!(endless.stdout.len() as u64, MAX_BYTES);
        assert_eq!(Installed.run(&["sh", "-c", "echo a; echo b >&2"]).unwrap().stderr, "b\n");
    }
}
