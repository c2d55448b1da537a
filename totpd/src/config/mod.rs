//! `totpd.toml`: read strictly, then checked. What comes out can be used without looking again.

mod error;
mod file;
pub mod http;
mod last_good;
mod raw;
mod rules;
mod sockets;

pub use error::{ConfigError, ConfigProblem};
pub(crate) use last_good::KeepOrder;
pub use last_good::{LastGood, Loaded};
pub use sockets::SocketPaths;

use file::ConfigFile;
use http::Http;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use totp_core::account::{DEFAULT_PENDING_LIFETIME, MAX_PENDING_LIFETIME};
use totp_core::policy::{Action, Lint, Policy, Rule};
use totp_core::recovery::RecoveryStorage;
use totp_core::self_service::DEFAULT_DELAY;
use totp_core::{Digits, Params, Period};

/// What Debian's and Fedora's consoles call themselves: getty's login, and the display managers.
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

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/totpd/totpd.toml";

/// Programs that write PAM's messages to the person alone: sshd to the client, the others to their terminal. Not
/// cockpit, xrdp and display managers, which log them; nor polkit-1, whose agent may (KDE's does).
const SHOW_SECRETS_SERVICES: [&str; 6] = ["login", "sshd", "su", "su-l", "sudo", "sudo-i"];

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where root's programs ask; nobody else reaches it.
    pub root_socket: PathBuf,
    /// Where everybody asks.
    pub login_socket: PathBuf,
    /// Where root administers.
    pub admin_socket: PathBuf,
    /// The folder of the store.
    pub state_dir: PathBuf,
    /// The folder of the witness of withdrawals; none is systemd's (`LogsDirectory=`), or else /var/log/totpd.
    pub witness_dir: Option<PathBuf>,
    /// The key that seals the store.
    pub key_file: PathBuf,
    /// The id of the store, so that an empty folder is not taken for it.
    pub store_id_file: PathBuf,
    /// The marks of break-glass, which needs no store.
    pub breakglass_marks: PathBuf,
    /// Whose members may administer, besides root.
    pub admin_group: Option<String>,
    /// What new enrollments are like.
    pub totp: Totp,
    /// The question at the prompt.
    pub prompt: String,
    /// PAM services of the machine's own console: login and display managers.
    pub console_services: Vec<String>,
    /// How users come by a first factor of their own.
    pub self_enroll: SelfEnroll,
    /// PAM services whose programs are known to log no message: they alone show keys and recovery codes.
    pub show_secrets_services: BTreeSet<String>,
    /// Seconds that a change of a factor in use waits when its user makes it without a ticket.
    pub self_change_delay: u64,
    /// The rules of logins.
    pub policy: Policy,
    /// The lines that the rules stand in.
    pub rule_lines: Vec<usize>,
    /// Rows of the history that are kept.
    pub keep_events: u64,
    /// Uids that may speak for others, for the services named.
    pub trusted_peers: Vec<TrustedPeer>,
    /// Where applications ask, if anywhere; or what is wrong with `[http]`, which costs applications their answers
    /// and nobody a login.
    pub http: Result<Option<Http>, String>,
    /// This is the last good configuration: the file cannot be used.
    pub last_good: Option<LastGood>,
}

/// How users come by a first factor of their own. Replacing an active one takes a ticket or a delay besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelfEnroll {
    /// With a one-time ticket of an administrator's.
    #[default]
    Ticket,
    /// Just so.
    Open,
    /// Not at all, nor a replacement.
    Off,
}

/// What new enrollments are like, and how codes are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totp {
    /// Shown above the code; `%h` is the host's name.
    pub issuer: String,
    /// Hash, digits, period.
    pub params: Params,
    /// Steps of clock skew tolerated either way.
    pub skew: u8,
    /// Seconds until an unconfirmed enrollment is gone.
    pub pending: u64,
    /// How recovery codes are kept.
    pub recovery_storage: RecoveryStorage,
}

/// A service account that may ask for others, such as a mail server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeer {
    /// Its uid.
    pub uid: u32,
    /// The PAM services it may claim.
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
            witness_dir: None,
            key_file: folder.join("totpd.key"),
            store_id_file: folder.join("store.id"),
            breakglass_marks: folder.join("breakglass.log"),
            admin_group: None,
            totp: Totp {
                issuer: "%h".into(),
                params: Params::default(),
                skew: 1,
                pending: DEFAULT_PENDING_LIFETIME,
                recovery_storage: RecoveryStorage::Hashed,
            },
            prompt: "Verification code: ".into(),
            console_services: CONSOLE_SERVICES.map(str::to_owned).to_vec(),
            self_enroll: SelfEnroll::default(),
            show_secrets_services: SHOW_SECRETS_SERVICES.map(str::to_owned).into(),
            self_change_delay: DEFAULT_DELAY,
            policy: Policy::default(),
            rule_lines: Vec::new(),
            keep_events: 100_000,
            trusted_peers: Vec::new(),
            http: Ok(None),
            last_good: None,
        }
    }

    /// Reads and checks the file for the daemon. Only root and the user that the daemon runs as may be able to change it.
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

    /// The defaults, on a host that never had a file. One that had is not served without its rules.
    fn without_file(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::defaults(folder_of(path));
        let Some(copy) = last_good::kept(&config.state_dir) else { return Ok(config) };
        let (file, copy) = (path.display(), copy.display());
        let what = format!(
            "is missing, and this host had one ({copy}). Put it back; for every default run: touch {file}"
        );
        Err(ConfigError { place: file.to_string(), what, problem: ConfigProblem::Unreadable })
    }

    /// Reads and checks the file for a command, which another user may run: the daemon's user is the one that owns the
    /// folder of the store.
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

    /// The same configuration, when everything in it is right: what a start can do without is asked of a reload.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn require_valid(self, path: &Path) -> Result<Self, ConfigError> {
        match &self.http {
            Ok(_) => Ok(self),
            Err(what) => Err(ConfigError::content(path, what.clone())),
        }
    }

    /// Where applications ask, if `[http]` is right and names a place.
    pub fn api(&self) -> Option<&Http> {
        self.http.as_ref().ok()?.as_ref()
    }

    /// Checks `text` as if it stood in the file at `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let folder = folder_of(path);
        let raw: raw::Raw = toml::from_str(text).map_err(|error| {
            // Never the rendered error: it quotes the line.
            let offset = error.span().map_or(0, |span| span.start);
            let what = error.message().to_owned();
            ConfigError { place: place(path, text, offset), what, problem: ConfigProblem::Content }
        })?;
        raw.check(Self::defaults(folder), |offset| line_and_column(text, offset).0)
            .map_err(|what| ConfigError::content(path, what))
    }

    /// A rule as it is called in words: its number, its name, its line.
    pub fn rule_name(&self, place: usize) -> String {
        let name = self.policy.rules.get(place).and_then(|rule| rule.name.as_deref());
        let name = name.map_or_else(String::new, |name| format!(" \"{name}\""));
        let line = self.rule_lines.get(place).map_or_else(String::new, |line| format!(" (line {line})"));
        format!("rule {}{name}{line}", place + 1)
    }

    /// A rule as the audit calls it: its name, or else its number.
    pub fn rule_word(&self, place: Option<usize>) -> Option<String> {
        let place = place?;
        let name = self.policy.rules.get(place).and_then(|rule| rule.name.clone());
        Some(name.unwrap_or_else(|| format!("rule {}", place + 1)))
    }

    /// Rules that can never decide or that change nothing, a sentence each.
    pub fn findings(&self) -> Vec<String> {
        let sentence = |(place, finding): (usize, Lint)| format!("{} {finding}", self.rule_name(place));
        let findings = self.policy.lints().into_iter().map(sentence);
        let rules = self.policy.rules.iter().enumerate();
        findings.chain(rules.filter_map(|(place, rule)| self.shows_nothing(place, rule))).collect()
    }

    /// A sentence about a rule that enrolls by services that never show a key.
    fn shows_nothing(&self, place: usize, rule: &Rule) -> Option<String> {
        let services = rule.services.iter().flatten();
        let silent: Vec<&str> =
            services.filter(|service| !self.shows_secrets(Some(service))).map(String::as_str).collect();
        if rule.action != Action::Enroll || silent.is_empty() {
            return None;
        }
        Some(format!(
            "{} enrolls nobody by {}: such a program may log the key. Name it in login.show_secrets_services if it does \
             not",
            self.rule_name(place),
            silent.join(", ")
        ))
    }

    /// Whether keys, links and recovery codes are shown by this PAM service.
    pub fn shows_secrets(&self, service: Option<&str>) -> bool {
        service.is_some_and(|service| self.show_secrets_services.contains(service))
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

/// The folder of the file, in which its key is by default.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this is the usual path and nothing is there, not even a link that leads nowhere: the host was never
/// configured, and the defaults ask everybody. A file that was named with `--config` has to be there.
fn is_default_and_absent(path: &Path) -> bool {
    path == Path::new(DEFAULT_PATH)
        && path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn place(path: &Path, text: &str, offset: usize) -> String {
    let (line, column) = line_and_column(text, offset);
    format!("{}:{line}:{column}", path.display())
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

/// Digits, period and algorithm as they may come from a file, the command line or the wire.
///
/// # Errors
/// The sentence that says what is allowed.
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

/// Seconds that an enrollment may wait: 1 s to 30 days.
///
/// # Errors
/// The sentence that says so.
pub fn lifetime(seconds: u64) -> Result<u64, String> {
    if (1..=MAX_PENDING_LIFETIME).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("an enrollment may wait 1s to 30d for its first code".to_owned())
    }
}

/// An issuer that apps can show: no colon (it would end there), no control character, at most 64 bytes.
///
/// # Errors
/// The sentence that says so.
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
