//! `totpd report`: counts the logins of the history, and what enforcement would have done with
//! them.

use super::history::{Pages, start_of};
use super::{Context, report_now};
use crate::cli::output::CommandError;
use crate::clock::{self, rfc3339};
use crate::config::Ending;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use totp_wire::text::printable;

/// After this time, a terminal shows the progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// The logins of one user by one service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    /// How many logins had each outcome.
    counts: BTreeMap<String, u64>,
    /// What enforcement would have done with the latest monitored login.
    would: Option<String>,
}

/// `totpd report`
pub(super) fn report(context: &Context, since: Duration) -> Result<(), CommandError> {
    let config = context.config()?;
    let mut pages = Pages::of_all(&config);
    pages.since = Some(start_of(since));
    let mut rows = BTreeMap::new();
    let (mut seen, start) = (0_usize, Instant::now());
    let mut shown = false;
    while let Some(page) = pages.next(usize::MAX)? {
        seen += page.len();
        for event in &page {
            add(&mut rows, event);
        }
        if start.elapsed() > PROGRESS_AFTER && std::io::stderr().is_terminal() && !context.out.quiet {
            write!(std::io::stderr(), "\r{seen} events read")?;
            shown = true;
        }
    }
    if shown {
        writeln!(std::io::stderr(), "\r{seen} events read.")?;
    }
    let summary = summary(&rows);
    let documents: Vec<Value> = rows
        .iter()
        .map(|((user, service), row)| {
            json!({ "user": user, "service": service, "outcomes": row.counts, "would": row.would })
        })
        .collect();
    let sums: Vec<Value> =
        summary.iter().map(|(what, users)| json!({ "would": what, "users": users })).collect();
    let seen: BTreeSet<&str> = rows.keys().map(|(user, _)| user.as_str()).collect();
    let now = report_now::refused_now(&config)?;
    let ending = config.ending_exemptions(clock::now());
    let exemptions: Vec<Value> = ending.iter().map(exemption).collect();
    context.out.json(&json!({ "rows": documents, "summary": sums, "now": now.document(&seen),
                          "exemptions": exemptions }))?;
    for ((user, service), row) in &rows {
        let counts: Vec<String> = row.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        context.out.line(format!("{user:<16} {service:<12} {}", counts.join(", ")))?;
    }
    if rows.is_empty() {
        context.out.line("there were no logins during this time")?;
    }
    for (what, users) in &summary {
        let (count, names) = (users.len(), users.iter().take(20).cloned().collect::<Vec<_>>().join(", "));
        let (noun, more) = (if count == 1 { "user" } else { "users" }, if count > 20 { ", …" } else { "" });
        context.out.line(format!("{count} {noun} would be {what}: {names}{more}"))?;
    }
    for line in now.lines(&seen) {
        context.out.line(line)?;
    }
    for ending in &ending {
        context.out.line(ending)?;
    }
    Ok(())
}

/// The document of an exemption that has ended or ends within a week.
fn exemption(ending: &Ending) -> Value {
    json!({ "rule": ending.rule, "until": rfc3339(ending.until), "ended": ending.has_ended,
            "approved_by": ending.approved_by })
}

fn add(rows: &mut BTreeMap<(String, String), Row>, event: &Value) {
    // Someone who can write the store without its key must not control an administrator's terminal.
    let fields = ["event", "user", "service", "would", "would_reason", "outcome", "reason", "method"]
        .map(|key| (key, event.get(key).and_then(Value::as_str).map(|text| printable(text, 256))));
    let text = |key: &str| fields.iter().find(|(k, _)| *k == key).and_then(|(_, text)| text.as_deref());
    if text("event") != Some("login") {
        return;
    }
    let key = |name: &str, none: &str| text(name).unwrap_or(none).to_owned();
    // Events do not keep names that no user has: these are one row for each service.
    let user =
        Some(key("user", "")).filter(|user| !user.is_empty()).unwrap_or_else(|| "(unknown)".to_owned());
    let row = rows.entry((user, key("service", "-"))).or_default();
    let would = text("would").map(|would| match text("would_reason") {
        Some(reason) => format!("{would}: {}", reason.replace('-', " ")),
        None => would.to_owned(),
    });
    let what = match (&would, text("outcome"), text("reason"), text("method")) {
        (Some(would), ..) => format!("would be {would}"),
        (None, Some("refused"), Some(reason), _) => format!("refused: {}", reason.replace('-', " ")),
        (None, Some("granted"), _, Some("remembered")) => "granted: remembered".to_owned(),
        (None, outcome, ..) => outcome.unwrap_or_default().to_owned(),
    };
    *row.counts.entry(what).or_default() += 1;
    // The latest comes first.
    if row.would.is_none() {
        row.would = would;
    }
}

/// The users who would be refused, asked or enrolled, by their latest login.
fn summary(rows: &BTreeMap<(String, String), Row>) -> BTreeMap<String, BTreeSet<String>> {
    let mut sums: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((user, _), row) in rows {
        if let Some(would) = &row.would {
            sums.entry(would.clone()).or_default().insert(user.clone());
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_forecast_of_each_user_counts_once() {
        let mut rows = BTreeMap::new();
        let login = |user: &str, would: &str, reason: Option<&str>| {
            json!({ "event": "login", "user": user, "service": "sshd", "outcome": "exempt", "would": would,
                    "would_reason": reason })
        };
        // The latest first: alice has enrolled meanwhile.
        for event in [
            login("alice", "asked", None),
            login("alice", "refused", Some("not-enrolled")),
            login("bob", "refused", Some("not-enrolled")),
            login("bob", "refused", Some("not-enrolled")),
            json!({ "event": "login", "user": "carol", "service": "sudo", "outcome": "refused", "reason": "wrong" }),
            json!({ "event": "enroll", "user": "carol", "outcome": "done" }),
        ] {
            add(&mut rows, &event);
        }
        let sums = summary(&rows);
        assert_eq!(sums["refused: not enrolled"], BTreeSet::from(["bob".to_owned()]));
        assert_eq!(sums["asked"], BTreeSet::from(["alice".to_owned()]));
        let bob = &rows[&("bob".to_owned(), "sshd".to_owned())];
        assert_eq!(bob.counts["would be refused: not enrolled"], 2);
        assert_eq!(rows[&("carol".to_owned(), "sudo".to_owned())].counts["refused: wrong"], 1);
        assert_eq!(rows.len(), 3);
    }
}
