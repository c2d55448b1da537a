//! `[[login.rule]]` as serde reads it, and as a checked rule.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::str::FromStr;
use totp_core::Time;
use totp_core::policy::siblings::services_of;
use totp_core::policy::{Action, Mode, PeerMatch, Rule, Subject};
use totp_core::remembered::{MAX_LENGTH, MIN_LENGTH, Remember, RememberBy};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    name: Option<String>,
    users: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    services: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    peers: Option<Vec<RawPeerMatch>>,
    ssh_methods: Option<Vec<String>>,
    action: RawAction,
    mode: Option<RawMode>,
    enforce_from: Option<RawTime>,
    until: Option<RawTime>,
    approved_by: Option<String>,
    remember: Option<String>,
    remember_by: Option<RawRememberBy>,
    subject: Option<RawSubject>,
    local: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAction {
    Require,
    Exempt,
    Enroll,
    Deny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawMode {
    Enforce,
    Monitor,
    MonitorAsk,
    Off,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawRememberBy {
    Session,
    SshKey,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawSubject {
    User,
    Ruser,
}

/// A time as a string, or as TOML's own type.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawTime {
    Toml(toml::value::Datetime),
    Text(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawPeerMatch {
    Uid(u32),
    Word(String),
}

impl RawRule {
    /// Checks the rule.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub(super) fn check(self) -> Result<Rule, String> {
        let action = match self.action {
            RawAction::Require => Action::Require,
            RawAction::Exempt => Action::Exempt,
            RawAction::Enroll => Action::Enroll,
            RawAction::Deny => Action::Deny,
        };
        let enforce_from = self.enforce_from.map(|time| time.check("enforce_from")).transpose()?;
        let rule = Rule {
            name: self.name.map(checked_name).transpose()?,
            users: words("users", self.users)?,
            groups: words("groups", self.groups)?,
            services: services(self.services)?,
            networks: parsed("networks", self.networks)?,
            peers: list("peers", self.peers)?
                .map(|p| p.into_iter().map(RawPeerMatch::check).collect())
                .transpose()?,
            ssh_methods: parsed("ssh_methods", self.ssh_methods)?,
            action,
            mode: mode(self.mode, enforce_from)?,
            enforce_from,
            until: self.until.map(|time| time.check("until")).transpose()?,
            approved_by: self.approved_by.map(checked_approval).transpose()?,
            remember: remember(self.remember.as_deref(), self.remember_by)?,
            subject: match self.subject {
                Some(RawSubject::Ruser) => Subject::Ruser,
                Some(RawSubject::User) | None => Subject::User,
            },
            local: self.local.unwrap_or(false),
        };
        if rule.action != Action::Exempt && rule.until.is_some() {
            return Err("until goes with action = \"exempt\". Another rule ends when it is removed".into());
        }
        if rule.action != Action::Exempt && rule.approved_by.is_some() {
            return Err(
                "approved_by goes with action = \"exempt\", and says who approved the exemption".into()
            );
        }
        if rule.local && rule.action == Action::Enroll {
            // It would show the QR code to a user who failed at the password before it.
            return Err(
                "local = true cannot go with action = \"enroll\", which requires a proved first factor. Put \
                        first_factor=passed into a PAM line below a requisite module"
                    .into(),
            );
        }
        if rule.subject == Subject::Ruser && rule.action == Action::Enroll {
            return Err("subject = \"ruser\" cannot go with action = \"enroll\", because the first factor of the user \
                        was proved, not that of ruser"
                .into());
        }
        Ok(rule)
    }
}

fn checked_name(name: String) -> Result<String, String> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err("name has 1 to 64 bytes and no control characters".into());
    }
    Ok(name)
}

fn checked_approval(text: String) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err("approved_by has 1 to 128 bytes and no control characters".into());
    }
    Ok(text)
}

/// Refuses an empty list, which must never mean "any".
fn list<T>(key: &str, list: Option<Vec<T>>) -> Result<Option<Vec<T>>, String> {
    match list {
        Some(list) if list.is_empty() => Err(format!("{key} is empty. Remove the key to match any")),
        list => Ok(list),
    }
}

/// The PAM services of a rule: `sudo` stands for `sudo-i` too, `=sudo` only for itself.
fn services(names: Option<Vec<String>>) -> Result<Option<BTreeSet<String>>, String> {
    let Some(names) = words("services", names)? else { return Ok(None) };
    if names.iter().any(|name| name.trim_start_matches('=').is_empty() || name.starts_with("==")) {
        return Err(
            "services: write the name of a PAM service, with at most one '=' before it (\"=sudo\": not sudo-i)"
                .into(),
        );
    }
    Ok(Some(names.iter().flat_map(|name| services_of(name)).map(str::to_owned).collect()))
}

fn words(key: &str, given: Option<Vec<String>>) -> Result<Option<BTreeSet<String>>, String> {
    let Some(words) = list(key, given)? else { return Ok(None) };
    if words.iter().any(String::is_empty) {
        return Err(format!("{key} has an empty name in it"));
    }
    Ok(Some(words.into_iter().collect()))
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    key: &str,
    given: Option<Vec<String>>,
) -> Result<Option<Vec<T>>, String> {
    let Some(texts) = list(key, given)? else { return Ok(None) };
    let parse = |text: &String| text.parse().map_err(|e| format!("{key}: \"{text}\": {e}"));
    texts.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

/// The mode of a rule. With `enforce_from` and no mode, the rule only watches until that date.
fn mode(mode: Option<RawMode>, enforce_from: Option<Time>) -> Result<Mode, String> {
    match (mode, enforce_from) {
        (None | Some(RawMode::Enforce), None) => Ok(Mode::Enforce),
        (None, Some(_)) | (Some(RawMode::Monitor), _) => Ok(Mode::Monitor),
        (Some(RawMode::Enforce), Some(_)) => {
            Err("mode = \"enforce\" makes enforce_from useless. Remove the mode, or write monitor or off"
                .into())
        }
        (Some(RawMode::MonitorAsk), _) => Ok(Mode::MonitorAsk),
        (Some(RawMode::Off), _) => Ok(Mode::Off),
    }
}

fn remember(length: Option<&str>, by: Option<RawRememberBy>) -> Result<Option<Remember>, String> {
    let Some(length) = length else {
        return match by {
            None => Ok(None),
            Some(_) => Err("remember_by needs remember, which says for how long".into()),
        };
    };
    let bounds = "remember is a time from \"1m\" to \"30d\". Remove it to remember nothing";
    let length = humantime::parse_duration(length).map_err(|_| bounds)?.as_secs();
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
        return Err(bounds.into());
    }
    let by = match by {
        Some(RawRememberBy::SshKey) => RememberBy::SshKey,
        Some(RawRememberBy::Session) | None => RememberBy::Session,
    };
    Ok(Some(Remember { length, by }))
}

impl RawTime {
    fn check(self, key: &str) -> Result<Time, String> {
        let text = match self {
            Self::Toml(time) => time.to_string(),
            Self::Text(text) => text,
        };
        let parsed = crate::clock::from_rfc3339(&text);
        parsed.ok_or_else(|| format!("{key} is an RFC 3339 time with its zone: 2027-01-31T08:00:00Z"))
    }
}

impl RawPeerMatch {
    fn check(self) -> Result<PeerMatch, String> {
        match self {
            Self::Uid(0) => Ok(PeerMatch::Root),
            Self::Uid(uid) => Ok(PeerMatch::Uid(uid)),
            Self::Word(word) if word == "root" => Ok(PeerMatch::Root),
            Self::Word(word) if word == "self" => Ok(PeerMatch::SelfService),
            Self::Word(_) => Err("peers are \"root\", \"self\" and uids of [[trusted_peer]]".into()),
        }
    }
}
