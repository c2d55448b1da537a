//! The second half of `totpd report`: the users whom enforcement would refuse today, whether or not
//! they ever logged in.

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

/// The most attempts to try, so that a report about a large directory does not take an hour.
const MAX_ATTEMPTS: usize = 5_000;
/// The most names in a line.
const MAX_NAMES: usize = 20;
/// An address for documentation (RFC 5737), which no rule about networks should match.
const REMOTE_ADDRESS: &str = "192.0.2.1";
/// The default uids of people (login.defs(5)). Others belong to services.
const USER_UIDS: std::ops::Range<u32> = 1_000..60_000;

/// Names in a line: at most [`MAX_NAMES`], and how many more there are. Names are never cut.
pub(super) fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let names: Vec<String> = names.iter().take(MAX_NAMES).map(|name| printable(name, 64)).collect();
    let more = if more > 0 { format!(", and {more} more (--json has all)") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// The users who would be refused today, by service and reason.
#[derive(Debug, Default)]
pub(super) struct RefusedNow {
    refused: BTreeMap<(String, String), BTreeSet<String>>,
    /// Some attempts were not tried.
    truncated: bool,
}

/// Asks the daemon about every user whom a rule names, who is in a group that a rule names, or who
/// has a login shell here.
pub(super) fn refused_now(config: &Config) -> Result<RefusedNow, CommandError> {
    let (users, services) = (users(config), services(config));
    let truncated = users.len().saturating_mul(services.len()) > MAX_ATTEMPTS;
    let mut now = RefusedNow { truncated, ..RefusedNow::default() };
    let attempts = users.iter().flat_map(|user| services.iter().map(move |service| (user, service)));
    for (user, service) in attempts.take(MAX_ATTEMPTS) {
        let ssh = service == "sshd";
        let call = admin::Explain {
            user: user.clone(),
            service: service.clone(),
            rhost: ssh.then(|| REMOTE_ADDRESS.to_owned()),
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

/// Why enforcement would refuse the attempt; `None` if it would not.
fn refusal(reply: &ExplainReply) -> Option<String> {
    let would = reply.would.as_deref().and_then(|would| would.strip_prefix("refused"));
    let why = match (reply.outcome, would) {
        (ExpectedOutcome::Refused, _) => reply.reason.clone().unwrap_or_default(),
        (_, Some(why)) => why.trim_start_matches(": ").to_owned(),
        _ => return None,
    };
    Some(why)
}

/// The services that ask totpd; if none does yet, those that the rules name, and sshd.
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
        shell && (self.uid == 0 || USER_UIDS.contains(&self.uid))
    }
}

impl RefusedNow {
    /// The lines for people. `seen`: the users who have a row in the report.
    pub(super) fn lines(&self, seen: &BTreeSet<&str>) -> Vec<String> {
        let mut lines: Vec<String> = self
            .refused
            .iter()
            .map(|((service, why), users)| {
                let (count, noun) = (users.len(), if users.len() == 1 { "user" } else { "users" });
                let names: Vec<&str> = users.iter().map(String::as_str).collect();
                let unseen: Vec<&str> = names.iter().copied().filter(|user| !seen.contains(user)).collect();
                let why = why.replace('-', " ");
                let unseen = match unseen.len() {
                    0 => String::new(),
                    all if all == count => "; none of them logged in during this time".to_owned(),
                    _ => format!("; no login during this time: {}", listed(&unseen)),
                };
                let names = listed(&names);
                format!("today {service} would refuse {count} {noun}: {why}: {names}{unseen}")
            })
            .collect();
        if self.truncated {
            lines.push(format!("not every user was tried: only the first {MAX_ATTEMPTS} attempts are shown"));
        }
        lines
    }

    /// The rows for programs. `seen`: the users who have a row in the report.
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
    fn a_long_list_of_names_says_how_many_more_there_are() {
        let names = ["a"; MAX_NAMES + 280];
        assert!(listed(&names).ends_with("a, a, and 280 more (--json has all)"));
        assert_eq!(listed(&["alice", "bob"]), "alice, bob");
    }

    #[test]
    fn a_person_can_log_in() {
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
