//! `totpd.toml`: parsed strictly and checked. A [`Config`] needs no further checks.

mod administration;
mod checks;
mod defaults;
mod error;
mod exemptions;
mod file;
pub mod http;
mod last_good;
mod load;
mod raw;
mod rules;
pub mod server_url;
mod sockets;
mod store;

pub use administration::{AdminScope, Administration};
pub use checks::{checked_issuer, lifetime, params};
pub use error::{ConfigError, ConfigProblem};
pub use exemptions::Ending;
pub(crate) use last_good::KeepOrder;
pub use last_good::{LastGood, Loaded};
pub use load::DEFAULT_PATH;
pub use sockets::SocketPaths;
pub use store::StorePlace;

use http::Http;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use totp_core::Params;
use totp_core::policy::{Action, Lint, Policy, Rule};
use totp_core::recovery::RecoveryStorage;

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
    /// The settings of the HTTP API, if it is on and valid.
    pub fn api(&self) -> Option<&Http> {
        self.http.as_ref().ok()?.as_ref()
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

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
