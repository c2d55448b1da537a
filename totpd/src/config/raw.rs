//! The file as serde reads it: every key is optional, and an unknown key is an error.

use super::administration::{self, RawAdminGroup};
use super::http;
use super::rules::RawRule;
use super::sockets::root_socket_beside;
use super::store::RawStore;
use super::{Config, SelfEnroll, TrustedPeer, checked_issuer, lifetime, params};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use totp_core::recovery::RecoveryStorage;
use totp_core::self_service::{MAX_DELAY, MIN_DELAY};
use totp_core::time::DAY;

/// The longest `ssh_grace_time`, in seconds.
const MAX_SSH_GRACE_TIME: u64 = DAY;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    root_socket: Option<PathBuf>,
    login_socket: Option<PathBuf>,
    admin_socket: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    witness_dir: Option<PathBuf>,
    key_file: Option<PathBuf>,
    admin_group: Option<String>,
    #[serde(default)]
    admin_groups: Vec<RawAdminGroup>,
    protected_groups: Option<BTreeSet<String>>,
    #[serde(default)]
    store: RawStore,
    #[serde(default)]
    totp: RawTotp,
    #[serde(default)]
    login: RawLogin,
    #[serde(default)]
    history: RawHistory,
    #[serde(default)]
    trusted_peer: Vec<RawPeer>,
    #[serde(default)]
    http: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTotp {
    issuer: Option<String>,
    algorithm: Option<String>,
    digits: Option<u8>,
    period: Option<u64>,
    skew: Option<u8>,
    pending: Option<String>,
    recovery_codes: Option<RawKeeping>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKeeping {
    Hashed,
    Sealed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLogin {
    prompt: Option<String>,
    refused_prompt: Option<String>,
    console_services: Option<Vec<String>>,
    self_enroll: Option<SelfEnroll>,
    show_secrets_services: Option<BTreeSet<String>>,
    self_change_delay: Option<String>,
    ssh_grace_time: Option<String>,
    #[serde(default)]
    rule: Vec<toml::Spanned<RawRule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHistory {
    keep: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    uid: u32,
    services: Vec<String>,
}

impl Raw {
    /// Checks the keys and sets them in `config`, which has the defaults. `line_of` returns the
    /// line of an offset in the text.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub(super) fn check(
        self,
        mut config: Config,
        line_of: impl Fn(usize) -> usize,
    ) -> Result<Config, String> {
        absolute("login_socket", self.login_socket, &mut config.login_socket)?;
        config.root_socket = root_socket_beside(&config.login_socket);
        absolute("root_socket", self.root_socket, &mut config.root_socket)?;
        absolute("admin_socket", self.admin_socket, &mut config.admin_socket)?;
        absolute("state_dir", self.state_dir, &mut config.state_dir)?;
        if let Some(folder) = self.witness_dir {
            absolute("witness_dir", Some(folder), config.witness_dir.get_or_insert_default())?;
        }
        absolute("key_file", self.key_file, &mut config.key_file)?;
        config.store = self.store.check()?;
        let mut sockets = [&config.root_socket, &config.login_socket, &config.admin_socket];
        sockets.sort();
        if sockets.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(
                "root_socket, login_socket and admin_socket must differ; they serve different peers".into()
            );
        }
        config.administration =
            administration::check(self.admin_group, self.admin_groups, self.protected_groups)?;
        self.totp.check(&mut config)?;
        if let Some(prompt) = self.login.prompt {
            if prompt.is_empty() || prompt.len() > 100 || prompt.chars().any(char::is_control) {
                return Err("login.prompt has 1 to 100 bytes and no control characters".into());
            }
            config.prompt = prompt;
        }
        if let Some(refused) = self.login.refused_prompt {
            if refused.is_empty() || refused.len() > 160 || refused.chars().any(char::is_control) {
                return Err("login.refused_prompt has 1 to 160 bytes and no control characters".into());
            }
            config.refused_prompt = refused;
        }
        if let Some(services) = self.login.console_services {
            if services.iter().any(String::is_empty) {
                return Err("login.console_services has an empty name in it".into());
            }
            config.console_services = services;
        }
        config.self_enroll = self.login.self_enroll.unwrap_or(config.self_enroll);
        if let Some(services) = self.login.show_secrets_services {
            if services.iter().any(|service| service.is_empty() || service.chars().any(char::is_uppercase)) {
                return Err("login.show_secrets_services: names of PAM services are in lower case".into());
            }
            config.show_secrets_services = services;
        }
        if let Some(delay) = self.login.self_change_delay {
            let seconds = humantime::parse_duration(&delay).map(|time| time.as_secs()).ok();
            let seconds = seconds.filter(|s| (MIN_DELAY..=MAX_DELAY).contains(s));
            config.self_change_delay = seconds.ok_or("login.self_change_delay is \"1h\" to \"30d\"")?;
        }
        if let Some(grace) = self.login.ssh_grace_time {
            let seconds = humantime::parse_duration(&grace).map(|time| time.as_secs()).ok();
            config.ssh_grace_time = seconds.filter(|seconds| *seconds <= MAX_SSH_GRACE_TIME).ok_or(
                "login.ssh_grace_time is \"0s\" to \"1d\", as LoginGraceTime in sshd_config. Run: sshd -T | grep -i grace",
            )?;
        }
        for rule in self.login.rule {
            let line = line_of(rule.span().start);
            let rule = rule.into_inner().check().map_err(|e| format!("login.rule in line {line}: {e}"))?;
            config.policy.rules.push(rule);
            config.rule_lines.push(line);
        }
        if let Some(keep) = self.history.keep {
            if !(1_000..=100_000_000).contains(&keep) {
                return Err("history.keep is 1000 to 100000000 events".into());
            }
            config.keep_events = keep;
        }
        config.http = self.http.map_or(Ok(None), http::check).map_err(|e| format!("http: {e}"));
        config.trusted_peers = self.trusted_peer.into_iter().map(RawPeer::check).collect::<Result<_, _>>()?;
        Ok(config)
    }
}

impl RawTotp {
    fn check(self, config: &mut Config) -> Result<(), String> {
        let in_table = |key: &str, what: String| format!("totp.{key}: {what}");
        let totp = &mut config.totp;
        if let Some(issuer) = self.issuer {
            totp.issuer = checked_issuer(&issuer).map_err(|e| in_table("issuer", e))?;
        }
        totp.params = params(self.algorithm.as_deref(), self.digits, self.period, totp.params)
            .map_err(|e| format!("totp: {e}"))?;
        if let Some(skew) = self.skew {
            totp.skew = Some(skew).filter(|s| *s <= 10).ok_or("totp.skew is 0 to 10 steps")?;
        }
        if let Some(pending) = self.pending {
            let time = humantime::parse_duration(&pending)
                .map_err(|_| in_table("pending", "write a time such as \"24h\" or \"30m\"".into()))?;
            totp.pending = lifetime(time.as_secs()).map_err(|e| in_table("pending", e))?;
        }
        totp.recovery_storage = match self.recovery_codes {
            Some(RawKeeping::Sealed) => RecoveryStorage::Sealed,
            Some(RawKeeping::Hashed) | None => RecoveryStorage::Hashed,
        };
        Ok(())
    }
}

impl RawPeer {
    fn check(self) -> Result<TrustedPeer, String> {
        if self.uid == 0 {
            return Err("trusted_peer.uid: root needs no entry".into());
        }
        // An empty list never means "any".
        if self.services.is_empty() || self.services.iter().any(String::is_empty) {
            return Err("trusted_peer.services names the PAM services this uid may claim".into());
        }
        Ok(TrustedPeer { uid: self.uid, services: self.services })
    }
}

fn absolute(key: &str, value: Option<PathBuf>, target: &mut PathBuf) -> Result<(), String> {
    if let Some(path) = value {
        if !path.is_absolute() {
            return Err(format!("{key} must be an absolute path"));
        }
        *target = path;
    }
    Ok(())
}
