//! `totpd.toml`: parsed strictly and checked. A [`Config`] needs no further checks.

mod administration;
mod error;
mod exemptions;
mod file;
pub mod http;
mod last_good;
mod raw;
mod rules;
pub mod server_url;
mod sockets;
mod store;

pub use administration::{AdminScope, Administration};
pub use error::{ConfigError, ConfigProblem};
pub use exemptions::Ending;
pub(crate) use last_good::KeepOrder;
pub use last_good::{LastGood, Loaded};
pub use sockets::SocketPaths;
pub use store::StorePlace;

use file::ConfigFile;
use http::Http;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use totp_core::new_factor::{DEFAULT_PENDING_LIFETIME, MAX_PENDING_LIFETIME};
use totp_core::policy::{Action, Lint, Policy, Rule};
use totp_core::recovery::RecoveryStorage;
use totp_core::self_service::DEFAULT_DELAY;
use totp_core::{Digits, Params, Period};

/// The PAM services of consoles on Debian and Fedora: login, and the display managers.
const CONSOLE_SERVICES: [&str; 12] = [
    "login",
    "gdm",
    "gdm-password",
    "gdm-fingerprint",
    "gdm-smartcard",
    "lightdm",
    "sddm",
    "greetd",
    "lxdm",
    "xdm",
    "slim",
    "ly",
];

/// The default of [`Config::refused_prompt`]. The commonest mistake is the code of the SSH login
/// typed again at sudo.
const REFUSED_PROMPT: &str =
    "Not accepted. Each code works once: wait for the next one, or type a recovery code.";

/// sshd's own default of LoginGraceTime, in seconds (sshd_config(5)).
const SSH_GRACE_TIME: u64 = 120;

/// The path of the configuration without `--config`.
pub const DEFAULT_PATH: &str = "/etc/totpd/totpd.toml";

/// Programs that show PAM's messages to the user only. Not cockpit, xrdp and display managers,
/// which log them; nor polkit-1, whose agent may log them (KDE's does).
const SHOW_SECRETS_SERVICES: [&str; 6] = ["login", "sshd", "su", "su-l", "sudo", "sudo-i"];

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The socket of root's programs. Only root can connect.
    pub root_socket: PathBuf,
    /// The socket of every other program.
    pub login_socket: PathBuf,
    /// The socket of root's administration.
    pub admin_socket: PathBuf,
    /// The folder of the store.
    pub state_dir: PathBuf,
    /// Where the store is: in that folder, or in a database.
    pub store: StorePlace,
    /// The folder of the witness of withdrawals. `None`: systemd's `LogsDirectory=`, or
    /// /var/log/totpd.
    pub witness_dir: Option<PathBuf>,
    /// The key that seals the store.
    pub key_file: PathBuf,
    /// The file with the id of the store, so that an empty folder is not taken for it.
    pub store_id_file: PathBuf,
    /// The file that records uses of break-glass, which needs no store.
    pub breakglass_marks: PathBuf,
    /// Who administers besides root.
    pub administration: Administration,
    /// The settings of codes.
    pub totp: Totp,
    /// The prompt for a code.
    pub prompt: String,
    /// What stands before the prompt if the program has asked before.
    pub refused_prompt: String,
    /// PAM services of this host's own console: login and display managers.
    pub console_services: Vec<String>,
    /// How users get a first factor.
    pub self_enroll: SelfEnroll,
    /// PAM services whose programs are known not to log messages. Only they show keys and recovery
    /// codes.
    pub show_secrets_services: BTreeSet<String>,
    /// The delay, in seconds, of a user's own change of a factor in use without a ticket.
    pub self_change_delay: u64,
    /// After how many seconds sshd ends a login that is not complete; 0: never.
    pub ssh_grace_time: u64,
    /// The rules of logins.
    pub policy: Policy,
    /// The line of each rule in the file.
    pub rule_lines: Vec<usize>,
    /// The number of events that the history keeps.
    pub keep_events: u64,
    /// Uids that may ask for other users, each for its services.
    pub trusted_peers: Vec<TrustedPeer>,
    /// The settings of the HTTP API, if it is on; or what is wrong with `[http]`, which must not
    /// refuse logins.
    pub http: Result<Option<Http>, String>,
    /// Why and since when this is the last good configuration, if it is.
    pub last_good: Option<LastGood>,
}

/// How users get a first factor. Replacing an active one always needs a ticket or a delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelfEnroll {
    /// With a one-time ticket from an administrator.
    #[default]
    Ticket,
    /// Without a ticket.
    Open,
    /// Not by themselves; neither a first factor nor a replacement.
    Off,
}

/// The settings of new enrollments and of codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totp {
    /// The issuer that apps show. `%h` stands for the host's name.
    pub issuer: String,
    /// Algorithm, digits and period.
    pub params: Params,
    /// The tolerated clock skew, in steps, in each direction.
    pub skew: u8,
    /// Seconds after which an unconfirmed enrollment expires.
    pub pending: u64,
    /// How recovery codes are stored.
    pub recovery_storage: RecoveryStorage,
}

/// A service account that may ask for other users, such as that of a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeer {
    /// The uid of the account.
    pub uid: u32,
    /// The PAM services that it may claim.
    pub services: Vec<String>,
}

impl Config {
    /// The built-in defaults for a configuration in `folder`.
    pub fn defaults(folder: &Path) -> Self {
        Self {
            root_socket: "/run/totpd/root.sock".into(),
            login_socket: "/run/totpd/login.sock".into(),
            admin_socket: "/run/totpd/admin.sock".into(),
            state_dir: "/var/lib/totpd".into(),
            store: StorePlace::default(),
            witness_dir: None,
            key_file: folder.join("totpd.key"),
            store_id_file: folder.join("store.id"),
            breakglass_marks: folder.join("breakglass.log"),
            administration: Administration::default(),
            totp: Totp {
                issuer: "%h".into(),
                params: Params::default(),
                skew: 1,
                pending: DEFAULT_PENDING_LIFETIME,
                recovery_storage: RecoveryStorage::Hashed,
            },
            prompt: "Verification code: ".into(),
            refused_prompt: REFUSED_PROMPT.into(),
            console_services: CONSOLE_SERVICES.map(str::to_owned).to_vec(),
            self_enroll: SelfEnroll::default(),
            show_secrets_services: SHOW_SECRETS_SERVICES.map(str::to_owned).into(),
            self_change_delay: DEFAULT_DELAY,
            ssh_grace_time: SSH_GRACE_TIME,
            policy: Policy::default(),
            rule_lines: Vec::new(),
            keep_events: 100_000,
            trusted_peers: Vec::new(),
            http: Ok(None),
            last_good: None,
        }
    }

    /// Reads and checks the file for the daemon. Only root and the daemon's user may be able to
    /// change it.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column where there is one.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let of_file = |error| ConfigError::of_file(path, error);
        if is_default_and_absent(path) {
            return Ok(Loaded { config: Self::without_file(path)?, text: None });
        }
        let file = ConfigFile::read(path).map_err(of_file)?;
        file.check_owner(&[nix::unistd::geteuid().as_raw()]).map_err(of_file)?;
        let config = Self::parse(&file.text, path)?;
        Ok(Loaded { config, text: Some(file.text) })
    }

    /// The defaults, on a host that never had a file. A host that had one is not served without its
    /// rules.
    fn without_file(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::defaults(folder_of(path));
        let Some(copy) = last_good::kept(&config.state_dir) else { return Ok(config) };
        let (file, copy) = (path.display(), copy.display());
        let what = format!(
            "the file is missing, but this host had one ({copy}). Restore it; to use the defaults, run: touch {file}"
        );
        Err(ConfigError { location: file.to_string(), what, problem: ConfigProblem::Unreadable })
    }

    /// Reads and checks the file for a command, which another user may run. The owner of the state
    /// folder counts as the daemon's user.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for_command(path: &Path) -> Result<Self, ConfigError> {
        let of_file = |error| ConfigError::of_file(path, error);
        if is_default_and_absent(path) {
            return Self::without_file(path);
        }
        let file = ConfigFile::read(path).map_err(of_file)?;
        let config = Self::parse(&file.text, path)?;
        let daemon = std::fs::metadata(&config.state_dir).map(|folder| folder.uid()).ok();
        let users: Vec<u32> = daemon.into_iter().chain([nix::unistd::geteuid().as_raw()]).collect();
        file.check_owner(&users).map_err(of_file)?;
        Ok(config)
    }

    /// The same configuration, if `[http]` is valid too: a reload requires it, although a start
    /// does not.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn require_valid(self, path: &Path) -> Result<Self, ConfigError> {
        match &self.http {
            Ok(_) => Ok(self),
            Err(what) => Err(ConfigError::content(path, what.clone())),
        }
    }

    /// The settings of the HTTP API, if it is on and valid.
    pub fn api(&self) -> Option<&Http> {
        self.http.as_ref().ok()?.as_ref()
    }

    /// Parses and checks `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let folder = folder_of(path);
        let raw: raw::Raw = toml::from_str(text).map_err(|error| {
            // Not the rendered error, which quotes the line.
            let offset = error.span().map_or(0, |span| span.start);
            let what = error.message().to_owned();
            ConfigError { location: location(path, text, offset), what, problem: ConfigProblem::Content }
        })?;
        raw.check(Self::defaults(folder), |offset| line_and_column(text, offset).0)
            .map_err(|what| ConfigError::content(path, what))
    }

    /// A rule in messages, by its index: its number, name and line.
    pub fn rule_name(&self, index: usize) -> String {
        let name = self.policy.rules.get(index).and_then(|rule| rule.name.as_deref());
        let name = name.map_or_else(String::new, |name| format!(" \"{name}\""));
        let line = self.rule_lines.get(index).map_or_else(String::new, |line| format!(" (line {line})"));
        format!("rule {}{name}{line}", index + 1)
    }

    /// A rule in audit events, by its index: its name, or else its number.
    pub fn rule_word(&self, index: Option<usize>) -> Option<String> {
        let index = index?;
        let name = self.policy.rules.get(index).and_then(|rule| rule.name.clone());
        Some(name.unwrap_or_else(|| format!("rule {}", index + 1)))
    }

    /// Rules that can never match or have no effect, one sentence for each.
    pub fn findings(&self) -> Vec<String> {
        let sentence = |(index, finding): (usize, Lint)| format!("{} {finding}", self.rule_name(index));
        let findings = self.policy.lints().into_iter().map(sentence);
        let rules = self.policy.rules.iter().enumerate();
        findings.chain(rules.filter_map(|(index, rule)| self.enrolls_without_showing(index, rule))).collect()
    }

    /// A sentence about a rule that enrolls at services that never show a key.
    fn enrolls_without_showing(&self, index: usize, rule: &Rule) -> Option<String> {
        let services = rule.services.iter().flatten();
        let silent: Vec<&str> =
            services.filter(|service| !self.shows_secrets(Some(service))).map(String::as_str).collect();
        if rule.action != Action::Enroll || silent.is_empty() {
            return None;
        }
        Some(format!(
            "{} enrolls nobody by {}, because these programs may log the key. If they do not, add them to \
             login.show_secrets_services",
            self.rule_name(index),
            silent.join(", ")
        ))
    }

    /// Whether this PAM service shows keys, links and recovery codes.
    pub fn shows_secrets(&self, service: Option<&str>) -> bool {
        service.is_some_and(|service| self.show_secrets_services.contains(service))
    }

    /// Where the store is, for messages: its folder, or its database and servers.
    pub fn store_place(&self) -> String {
        match &self.store {
            StorePlace::StateDir => self.state_dir.display().to_string(),
            StorePlace::Postgres(settings) => settings.url.to_string(),
        }
    }

    /// The issuer of new enrollments, with `%h` replaced.
    pub fn issuer(&self) -> String {
        if !self.totp.issuer.contains("%h") {
            return self.totp.issuer.clone();
        }
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        self.totp.issuer.replace("%h", host.as_deref().unwrap_or("localhost")).replace(':', "-")
    }
}

/// The folder of the file, which is the default folder of the key.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this is the default path and no file or link exists there: the host was never
/// configured, and the defaults ask every user. A file that was named with `--config` must exist.
fn is_default_and_absent(path: &Path) -> bool {
    path == Path::new(DEFAULT_PATH)
        && path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn location(path: &Path, text: &str, offset: usize) -> String {
    let (line, column) = line_and_column(text, offset);
    format!("{}:{line}:{column}", path.display())
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

/// Checks algorithm, digits and period from a file, the command line or the wire.
///
/// # Errors
/// What is allowed.
pub fn params(
    algorithm: Option<&str>,
    digits: Option<u8>,
    period: Option<u64>,
    defaults: Params,
) -> Result<Params, String> {
    Ok(Params {
        algorithm: algorithm.map_or(Ok(defaults.algorithm), str::parse).map_err(|e| e.to_string())?,
        digits: digits.map_or(Ok(defaults.digits), Digits::try_from).map_err(|e| e.to_string())?,
        period: period.map_or(Ok(defaults.period), Period::try_from).map_err(|e| e.to_string())?,
    })
}

/// Checks the lifetime of a pending enrollment, in seconds: 1 s to 30 days.
///
/// # Errors
/// What is allowed.
pub fn lifetime(seconds: u64) -> Result<u64, String> {
    if (1..=MAX_PENDING_LIFETIME).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("an enrollment may wait 1s to 30d for its first code".to_owned())
    }
}

/// Checks an issuer: 1 to 64 bytes, no colon (apps end the issuer there), no control character.
///
/// # Errors
/// What is allowed.
pub fn checked_issuer(issuer: &str) -> Result<String, String> {
    if issuer.is_empty() || issuer.len() > 64 || issuer.chars().any(|c| c == ':' || c.is_control()) {
        return Err("an issuer has 1 to 64 bytes and neither ':' nor control characters".to_owned());
    }
    Ok(issuer.to_owned())
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
