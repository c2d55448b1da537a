//! `totpd.toml`: read strictly, then checked. What comes out can be used without looking again.

pub mod http;
mod raw;
mod rules;

use http::Http;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use totp_core::account::{PENDING_DEFAULT, PENDING_LONGEST};
use totp_core::policy::{Finding, Policy};
use totp_core::recovery::Keeping;
use totp_core::{Digits, Params, Period};

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/totpd/totpd.toml";

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where logins ask.
    pub login_socket: PathBuf,
    /// Where administrators ask.
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
    /// How users come by a first factor of their own.
    pub self_enroll: SelfEnroll,
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
}

/// How a user comes by a first factor of his own. Replacing an active one always needs a code of it.
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
    pub keeping: Keeping,
}

/// A service account that may ask for others, such as a mail server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeer {
    /// Its uid.
    pub uid: u32,
    /// The PAM services it may claim.
    pub services: Vec<String>,
}

/// Why a configuration cannot be used: one sentence with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    /// `FILE`, or `FILE:LINE:COLUMN`.
    pub place: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Config {
    /// The built-in defaults for a configuration in `folder`.
    pub fn defaults(folder: &Path) -> Self {
        Self {
            login_socket: "/run/totpd/login.sock".into(),
            admin_socket: "/run/totpd/admin.sock".into(),
            state_dir: "/var/lib/totpd".into(),
            witness_dir: None,
            key_file: folder.join("totpd.key"),
            store_id_file: folder.join("store.id"),
            breakglass_marks: crate::store::breakglass::marks_file(folder),
            admin_group: None,
            totp: Totp {
                issuer: "%h".into(),
                params: Params::default(),
                skew: 1,
                pending: PENDING_DEFAULT,
                keeping: Keeping::Hashed,
            },
            prompt: "Verification code: ".into(),
            self_enroll: SelfEnroll::default(),
            policy: Policy::default(),
            rule_lines: Vec::new(),
            keep_events: 100_000,
            trusted_peers: Vec::new(),
            http: Ok(None),
        }
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column where there is one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let at = |what: String| ConfigError { place: path.display().to_string(), what };
        let text = std::fs::read_to_string(path).map_err(|error| {
            at(match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "no such file. Name one with --config, or run `totpd init`, which writes one".to_owned()
                }
                _ => format!("cannot be read ({error})"),
            })
        })?;
        Self::parse(&text, path)
    }

    /// The same configuration, when everything in it is right: what a start can do without is asked of a reload.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn whole(self, path: &Path) -> Result<Self, ConfigError> {
        match &self.http {
            Ok(_) => Ok(self),
            Err(what) => Err(ConfigError { place: path.display().to_string(), what: what.clone() }),
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
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let raw: raw::Raw = toml::from_str(text).map_err(|error| {
            // Never the rendered error: it quotes the line.
            let offset = error.span().map_or(0, |span| span.start);
            ConfigError { place: place(path, text, offset), what: error.message().to_owned() }
        })?;
        let at = |what: String| ConfigError { place: path.display().to_string(), what };
        raw.check(Self::defaults(folder), |offset| line_and_column(text, offset).0).map_err(at)
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
        let sentence = |(place, finding): (usize, Finding)| format!("{} {finding}", self.rule_name(place));
        self.policy.findings().into_iter().map(sentence).collect()
    }

    /// The sockets that a broken configuration still names, so that the daemon can refuse on them.
    pub fn sockets_of_broken(text: &str) -> Option<(PathBuf, PathBuf)> {
        let table: toml::Table = text.parse().ok()?;
        let defaults = Self::defaults(Path::new("/"));
        let path = |key: &str, default: PathBuf| match table.get(key) {
            None => Some(default),
            Some(value) => value.as_str().map(PathBuf::from).filter(|p| p.is_absolute()),
        };
        Some((path("login_socket", defaults.login_socket)?, path("admin_socket", defaults.admin_socket)?))
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
    if (1..=PENDING_LONGEST).contains(&seconds) {
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
mod tests;
