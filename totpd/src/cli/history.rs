//! `totpd history`: the latest events.

use super::Context;
use crate::cli::output::CommandError;
use crate::cli::rpc::admin_call;
use crate::cli::subject::{Subject, self_service_call};
use crate::clock;
use crate::config::Config;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use totp_wire::text::printable;
use totp_wire::{admin, self_service};

/// The Unix second that lies `since` before now.
pub(super) fn start_of(since: Duration) -> u64 {
    clock::now().unix().saturating_sub(since.as_secs())
}

/// `totpd history [USER]`
pub(super) fn history(
    context: &Context,
    user: Option<String>,
    limit: usize,
    since: Option<Duration>,
) -> Result<(), CommandError> {
    let config = context.config()?;
    let mut pages = if user.is_none() && nix::unistd::geteuid().is_root() {
        Pages::of_all(&config)
    } else {
        Pages::of(&config, Subject::of(user)?)
    };
    pages.since = since.map(start_of);
    let mut events: Vec<Value> = Vec::new();
    let mut names = HashMap::new();
    while events.len() < limit {
        let Some(page) = pages.next(limit - events.len())? else { break };
        for event in page {
            context
                .out
                .line(sentence(&event, |uid| names.entry(uid).or_insert_with(|| name_of(uid)).clone()))?;
            events.push(event);
        }
    }
    context.out.json(&json!({ "events": events }))
}

/// Reads the history page by page, the latest event first.
pub(super) struct Pages<'a> {
    config: &'a Config,
    user: Option<String>,
    oneself: bool,
    /// The Unix second of the earliest event to read.
    pub(super) since: Option<u64>,
    before: Option<i64>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// The events of every user.
    pub(super) const fn of_all(config: &'a Config) -> Self {
        Self { config, user: None, oneself: false, since: None, before: None, ended: false }
    }

    /// The events of one user.
    fn of(config: &'a Config, subject: Subject) -> Self {
        let all = Self::of_all(config);
        match subject {
            Subject::User(user) => Self { user: Some(user), ..all },
            Subject::Oneself(user) => Self { user: Some(user), oneself: true, ..all },
        }
    }

    /// The next page of at most `limit` events, or `None` after the last one.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Vec<Value>>, CommandError> {
        if self.ended {
            return Ok(None);
        }
        let (before, since, limit) = (self.before, self.since, u64::try_from(limit).ok());
        let page = if self.oneself {
            self_service_call(self.config, &self_service::History { before, since, limit })?
        } else {
            let user = self.user.clone();
            admin_call(self.config, &admin::History { user, before, since, limit })?
        };
        self.before = page.next;
        self.ended = page.next.is_none();
        Ok(Some(page.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok()).collect()))
    }
}

/// The login name of a uid, or `uid N`.
fn name_of(uid: u64) -> String {
    let name = u32::try_from(uid).ok().and_then(|uid| nix::unistd::User::from_uid(uid.into()).ok().flatten());
    name.map_or_else(|| format!("uid {uid}"), |user| printable(&user.name, 64))
}

/// Which user asked for the login. The kernel's word counts before a program's: polkit's helper
/// takes `PAM_RUSER` from its arguments.
fn asked_by(event: &Value, name_of: impl FnOnce(u64) -> String) -> Option<String> {
    if let Some(uid) = event["caller_uid"].as_u64() {
        return Some(format!("asked by {}", name_of(uid)));
    }
    let claimed = printable(event["ruser"].as_str().filter(|ruser| !ruser.is_empty())?, 256);
    let by = if event["peer_uid"] == 0 { "said to be asked by" } else { "asked by" };
    Some(format!("{by} {claimed}"))
}

/// An event as one line: time, user, event, outcome, reason and source.
fn sentence(event: &Value, mut name_of: impl FnMut(u64) -> String) -> String {
    // Someone who can write the store without its key must not control an administrator's terminal.
    let text = |key: &str| printable(event.get(key).and_then(Value::as_str).unwrap_or_default(), 256);
    let user = match (text("user"), event["unknown"] == true) {
        (_, true) => "(unknown)".to_owned(),
        (user, false) => user,
    };
    let mut line = format!("{}  {user:<12} {} {}", text("time"), text("event"), text("outcome"));
    if let Some(dropped) = event["dropped"].as_object() {
        let kinds = dropped.iter().map(|(kind, lines)| format!("{} {lines}", printable(kind, 32)));
        line.push_str(&format!(": {}", kinds.collect::<Vec<_>>().join(", ")));
    }
    for (key, before, after) in [
        ("reason", ": ", ""),
        ("would", " (would be ", ")"),
        ("would_reason", " because of: ", ""),
        ("method", " by ", ""),
        ("service", ", ", ""),
        ("client", ", application ", ""),
        ("rhost", " from ", ""),
        ("peer_address", " at ", ""),
        ("target", " as ", ""),
        ("rule", ", ", ""),
    ] {
        if !text(key).is_empty() {
            line.push_str(&format!("{before}{}{after}", text(key)));
        }
        if key == "peer_address"
            && let Some(asked) = asked_by(event, &mut name_of)
        {
            line.push_str(&format!(", {asked}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let name = |uid| format!("name of {uid}");
        let event = json!({
            "event": "login", "time": "2026-11-25T10:00:00Z", "user": "alice", "outcome": "refused",
            "reason": "wrong", "service": "sshd", "rhost": "192.0.2.1"
        });
        assert_eq!(
            sentence(&event, name),
            "2026-11-25T10:00:00Z  alice        login refused: wrong, sshd from 192.0.2.1"
        );
        let event = json!({
            "event": "authenticate", "time": "2026-11-25T10:00:00Z", "user": "alice", "outcome": "granted",
            "method": "totp", "client": "shop", "peer_address": "192.0.2.7"
        });
        assert_eq!(
            sentence(&event, name),
            "2026-11-25T10:00:00Z  alice        authenticate granted by totp, application shop at 192.0.2.7"
        );
    }

    #[test]
    fn the_asking_user_is_the_one_that_the_kernel_names() {
        let by = |event: Value| asked_by(&event, |uid| format!("name of {uid}"));
        let helper = json!({ "caller_uid": 1002, "ruser": "alice", "peer_uid": 0 });
        assert_eq!(by(helper).unwrap(), "asked by name of 1002");
        assert_eq!(by(json!({ "ruser": "alice", "peer_uid": 0 })).unwrap(), "said to be asked by alice");
        assert_eq!(by(json!({ "ruser": "alice", "peer_uid": 1000 })).unwrap(), "asked by alice");
        assert_eq!(by(json!({ "ruser": "", "peer_uid": 0 })), None);
    }
}
