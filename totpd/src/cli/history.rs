//! `totpd history`: the latest events.

use super::Context;
use crate::cli::output::CommandError;
use crate::cli::rpc::admin_call;
use crate::cli::subject::{Subject, self_service_call};
use crate::cli::table::{Layout, Table, Tone};
use crate::clock::{self, from_rfc3339};
use crate::config::Config;
use crate::local_time::local_second;
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
    let (mut pages, of) = if user.is_none() && nix::unistd::geteuid().is_root() {
        (Pages::of_all(&config), String::new())
    } else {
        let subject = Subject::of(user)?;
        let of = format!(" of {}", subject.name());
        (Pages::of(&config, subject), of)
    };
    pages.since = since.map(start_of);
    let (mut events, mut count) = (Vec::new(), 0);
    let mut names = HashMap::new();
    let layout = Layout::of_stdout();
    let mut table = Table::new(layout, ["TIME", "USER", "EVENT"]);
    while count < limit {
        let Some(mut page) = pages.next(limit - count)? else { break };
        count += page.len();
        if context.out.json {
            events.append(&mut page);
            continue;
        }
        let row = |event: &Value| {
            let name = |uid| names.entry(uid).or_insert_with(|| name_of(uid)).clone();
            [time(event), user_of(event), sentence(event, layout, name)]
        };
        for line in table.lines(&page.iter().map(row).collect::<Vec<_>>()) {
            context.out.line(line)?;
        }
    }
    if count == 0 {
        let during = if since.is_some() { " during this time" } else { "" };
        context.out.empty(format!("The history has no event{of}{during}."));
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

/// When it happened.
fn time(event: &Value) -> String {
    let text = event["time"].as_str().unwrap_or_default();
    from_rfc3339(text).map_or_else(|| printable(text, 32), local_second)
}

/// Whose factor it is about.
fn user_of(event: &Value) -> String {
    match event["user"].as_str() {
        _ if event["unknown"] == true => "(unknown)".to_owned(),
        Some("") | None => "-".to_owned(),
        Some(user) => printable(user, 256),
    }
}

/// What an outcome means to an administrator.
fn tone(outcome: &str) -> Option<Tone> {
    match outcome {
        "refused" => Some(Tone::Bad),
        "granted" => Some(Tone::Good),
        "exempt" | "undelivered" | "staged" => Some(Tone::Warning),
        _ => None,
    }
}

/// What happened: event, outcome, reason and source.
fn sentence(event: &Value, layout: Layout, mut name_of: impl FnMut(u64) -> String) -> String {
    // Someone who can write the store without its key must not control an administrator's terminal.
    let text = |key: &str| printable(event.get(key).and_then(Value::as_str).unwrap_or_default(), 256);
    let outcome = text("outcome");
    let outcome = if outcome == "offered" { "offered an enrollment".to_owned() } else { outcome };
    let outcome = tone(&outcome).map_or_else(|| outcome.clone(), |tone| layout.paint(tone, &outcome));
    let mut line = format!("{} {outcome}", text("event"));
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
        ("peer_user", ", by ", ""),
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
    if event["enrolled"] == true {
        line.push_str(" (enrolled)");
    } else if event["confirmed"] == true && event["event"] != "confirm" {
        line.push_str(" (its first code)");
    }
    // The one who acted: an administrator, or the user.
    let is_act = event["event"] != "login" && event["client"].is_null() && event["peer_user"].is_null();
    if let Some(peer) = event["peer_uid"].as_u64().filter(|_| is_act) {
        line.push_str(&format!(", by {}", name_of(peer)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let said = |event: &Value| {
            sentence(event, Layout { columns: None, color: false }, |uid| format!("name of {uid}"))
        };
        let event = json!({
            "event": "login", "time": "2026-11-25T10:00:00Z", "user": "alice", "outcome": "refused",
            "reason": "wrong", "service": "sshd", "rhost": "192.0.2.1"
        });
        assert_eq!(said(&event), "login refused: wrong, sshd from 192.0.2.1");
        assert_eq!(user_of(&event), "alice");
        let event = json!({
            "event": "authenticate", "time": "2026-11-25T10:00:00Z", "user": "alice", "outcome": "granted",
            "method": "totp", "client": "shop", "peer_address": "192.0.2.7"
        });
        assert_eq!(said(&event), "authenticate granted by totp, application shop at 192.0.2.7");
        let helped =
            json!({ "event": "passcode", "outcome": "done", "peer_uid": 1003, "peer_user": "heidi" });
        assert_eq!(said(&helped), "passcode done, by heidi");
        let unknown = json!({ "user": "", "unknown": true, "time": "\u{1b}[2J" });
        assert_eq!((user_of(&unknown).as_str(), user_of(&json!({})).as_str()), ("(unknown)", "-"));
        assert!(!time(&unknown).contains('\u{1b}'));
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
