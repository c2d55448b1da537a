//! The second half of `totpd report`: whom enforcement would refuse today, also those who never logged in.

use crate::cli::output::CommandError;
use crate::cli::rpc::admin_call;
use crate::config::Config;
use crate::pam_config::{ConfigDirs, Facility};
use nix::unistd::Group;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use totp_wire::admin::{self, ExpectedOutcome, ExplainReply};
use totp_wire::text::printable;

/// Attempts that are tried at most, so that a large directory makes no report of an hour.
const MOST_ATTEMPTS: usize = 5_000;
/// Names in a line at most.
const FIRST_NAMES: usize = 20;
/// An address that is nobody's (RFC 5737): no rule about networks means it.
const SOMEWHERE: &str = "192.0.2.1";
/// Uids of people by default (login.defs(5)): others are services.
const PEOPLE: std::ops::Range<u32> = 1_000..60_000;

/// Who would be refused today, by service and reason.
#[derive(Debug, Default)]
pub(super) struct Now {
    refused: BTreeMap<(String, String), BTreeSet<String>>,
    /// Not everybody was tried.
    cut: bool,
}

/// Asks the daemon about everybody whom a rule names, who is in a group that a rule names, or has a login shell here.
pub(super) fn now(config: &Config) -> Result<Now, CommandError> {
    let (users, services) = (users(config), services(config));
    let mut now = Now { cut: users.len().saturating_mul(services.len()) > MOST_ATTEMPTS, ..Now::default() };
    let attempts = users.iter().flat_map(|user| services.iter().map(move |service| (user, service)));
    for (user, service) in attempts.take(MOST_ATTEMPTS) {
        let ssh = service == "sshd";
        let call = admin::Explain {
            user: user.clone(),
            service: service.clone(),
            rhost: ssh.then(|| SOMEWHERE.to_owned()),
            ssh_auth: ssh.then(|| vec!["publickey".to_owned()]),
            first_factor: (!ssh).then_some(true),
            ..admin::Explain::default()
        };
        if let Some(why) = refusal(&admin_call(config, &call)?) {
            now.refused.entry((service.clone(), why)).or_default().insert(user.clone());
        }
    }
    Ok(now)
}

/// Why enforcement would refuse, if it would.
fn refusal(reply: &ExplainReply) -> Option<String> {
    let would = reply.would.as_deref().and_then(|would| would.strip_prefix("refused"));
    let why = match (reply.outcome, would) {
        (ExpectedOutcome::Refused, _) => reply.reason.clone().unwrap_or_default(),
        (_, Some(why)) => why.trim_start_matches(": ").to_owned(),
        _ => return None,
    };
    Some(why.replace('-', " "))
}

/// The services that ask us; where none does yet, those that the rules name, and sshd.
fn services(config: &Config) -> BTreeSet<String> {
    let dirs = ConfigDirs::of(Path::new("/"));
    let asks = |service: &String| {
        dirs.stack(service, Facility::Auth).is_ok_and(|stack| stack.ours().next().is_some())
    };
    let asking: BTreeSet<String> = dirs.services().into_iter().filter(asks).collect();
    if !asking.is_empty() {
        return asking;
    }
    let named = config.policy.rules.iter().flat_map(|rule| rule.services.iter().flatten());
    named.cloned().chain(["sshd".to_owned()]).collect()
}

fn users(config: &Config) -> BTreeSet<String> {
    let rules = &config.policy.rules;
    let mut users: BTreeSet<String> =
        rules.iter().flat_map(|rule| rule.users.iter().flatten()).cloned().collect();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let accounts: Vec<Account<'_>> = passwd.lines().filter_map(Account::parse).collect();
    users
        .extend(accounts.iter().filter(|account| account.is_person()).map(|account| account.name.to_owned()));
    for name in rules.iter().flat_map(|rule| rule.groups.iter().flatten()) {
        let Ok(Some(group)) = Group::from_name(name) else { continue };
        users.extend(group.mem);
        let first = accounts.iter().filter(|account| account.gid == group.gid.as_raw());
        users.extend(first.map(|account| account.name.to_owned()));
    }
    users
}

/// A line of passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    shell: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { name, uid, gid, shell: fields.nth(2).unwrap_or_default() })
    }

    fn is_person(&self) -> bool {
        let shell = !self.shell.ends_with("/nologin") && !self.shell.ends_with("/false");
        shell && (self.uid == 0 || PEOPLE.contains(&self.uid))
    }
}

impl Now {
    /// For people; `seen` are the users of the report's own rows.
    pub(super) fn lines(&self, seen: &BTreeSet<&str>) -> Vec<String> {
        let list = |names: &[&String]| {
            let more = if names.len() > FIRST_NAMES { ", …" } else { "" };
            let names: Vec<String> = names.iter().take(FIRST_NAMES).map(|name| printable(name, 64)).collect();
            format!("{}{more}", names.join(", "))
        };
        let mut lines: Vec<String> = self
            .refused
            .iter()
            .map(|((service, why), users)| {
                let (count, noun) = (users.len(), if users.len() == 1 { "user" } else { "users" });
                let unseen: Vec<&String> =
                    users.iter().filter(|user| !seen.contains(user.as_str())).collect();
                let unseen = match unseen.len() {
                    0 => String::new(),
                    all if all == count => "; no login of them in this time".to_owned(),
                    _ => format!("; no login in this time: {}", list(&unseen)),
                };
                let names = list(&users.iter().collect::<Vec<_>>());
                format!("today {service} would refuse {count} {noun}: {why}: {names}{unseen}")
            })
            .collect();
        if self.cut {
            lines.push(format!("not everybody was tried: the first {MOST_ATTEMPTS} attempts are shown"));
        }
        lines
    }

    /// For programs.
    pub(super) fn document(&self, seen: &BTreeSet<&str>) -> Value {
        let rows = self.refused.iter().map(|((service, why), users)| {
            let unseen: Vec<&String> = users.iter().filter(|user| !seen.contains(user.as_str())).collect();
            json!({ "service": service, "reason": why, "users": users, "without_login": unseen })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_who_can_log_in() {
        for (line, person) in [
            ("root:x:0:0:root:/root:/bin/bash", true),
            ("alice:x:1000:1000::/home/alice:/bin/sh", true),
            ("bob:x:1001:1001::/home/bob:/usr/sbin/nologin", false),
            ("www-data:x:33:33::/var/www:/bin/sh", false),
            ("nobody:x:65534:65534::/:/bin/sh", false),
        ] {
            assert_eq!(Account::parse(line).unwrap().is_person(), person, "{line}");
        }
        for line in ["", "+::::::", "#x", "x:x:y:0:::"] {
            assert!(Account::parse(line).is_none(), "{line}");
        }
    }
}
