//! `totpd report`: counts the logins of the history, and what enforcement would have done with
//! them.

use super::history::{Pages, start_of};
use super::{Context, report_now};
use crate::cli::output::CommandError;
use crate::cli::table::{Layout, Table, Tone};
use crate::clock::{self, rfc3339};
use crate::config::Ending;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use totp_wire::text::printable;

/// After this time, a terminal shows the progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// What a login came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct LoginResult {
    /// What enforcement would have done, if the login was monitored, and why.
    would: Option<Forecast>,
    outcome: String,
    reason: Option<String>,
    /// The login was remembered.
    remembered: bool,
}

/// What enforcement would do: words of the audit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Forecast {
    would: String,
    reason: Option<String>,
}

/// The logins of one user by one service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    /// How many logins came to what.
    counts: BTreeMap<LoginResult, u64>,
    /// What enforcement would have done with the latest monitored login.
    forecast: Option<Forecast>,
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
    let seen: BTreeSet<&str> = rows.keys().map(|(user, _)| user.as_str()).collect();
    let now = report_now::refused_now(&config)?;
    let (summary, ending) = (summary(&rows), config.ending_exemptions(clock::now()));
    if context.out.json {
        return context.out.json(&json!({
            "rows": rows.iter().map(|((user, service), row)| row.document(user, service)).collect::<Vec<_>>(),
            "summary": summary
                .iter()
                .map(|(what, users)| json!({ "would": what.would, "reason": what.reason, "users": users }))
                .collect::<Vec<_>>(),
            "now": now.document(&seen),
            "exemptions": ending.iter().map(exemption).collect::<Vec<_>>(),
        }));
    }
    // The most important first: who is about to be refused, and only then what has happened.
    let out = context.out;
    for line in now.lines(&seen).into_iter().chain(summary_lines(&summary)) {
        out.paragraph(0, line)?;
    }
    for ending in &ending {
        out.paragraph(0, ending)?;
    }
    if rows.is_empty() {
        return out.line("there were no logins during this time");
    }
    out.line("")?;
    let layout = Layout::of_stdout();
    let cells: Vec<_> = rows.iter().map(|((user, service), row)| row.cells(user, service, layout)).collect();
    for line in Table::new(layout, ["USER", "SERVICE", "LOGINS", "RESULTS"]).lines(&cells) {
        out.line(line)?;
    }
    Ok(())
}

/// The document of an exemption that has ended or ends within a week.
fn exemption(ending: &Ending) -> Value {
    json!({ "rule": ending.rule, "until": rfc3339(ending.until), "ended": ending.has_ended,
            "approved_by": ending.approved_by })
}

/// Lines such as `2 users would be refused: not enrolled: alice, bob`.
fn summary_lines(summary: &BTreeMap<Forecast, BTreeSet<String>>) -> Vec<String> {
    let line = |(what, users): (&Forecast, &BTreeSet<String>)| {
        let noun = if users.len() == 1 { "user" } else { "users" };
        let names: Vec<&str> = users.iter().map(|user| shown_user(user)).collect();
        format!("{} {noun} would be {}: {}", users.len(), what.text(), report_now::listed(&names))
    };
    summary.iter().map(line).collect()
}

/// The name for people of a user, or of all users whom no system knows.
fn shown_user(user: &str) -> &str {
    if user.is_empty() { "(unknown)" } else { user }
}

impl Forecast {
    /// `refused: not enrolled`
    fn text(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {}", self.would, reason.replace('-', " ")),
            None => self.would.clone(),
        }
    }
}

impl LoginResult {
    /// What it is to people, and what it means.
    fn text(&self) -> (String, Option<Tone>) {
        let refused = |is: bool| if is { Tone::Bad } else { Tone::Warning };
        match (&self.would, self.outcome.as_str(), &self.reason) {
            (Some(what), ..) => (format!("would be {}", what.text()), Some(refused(what.would == "refused"))),
            (None, "refused", Some(reason)) => {
                (format!("refused: {}", reason.replace('-', " ")), Some(Tone::Bad))
            }
            (None, "granted", _) if self.remembered => ("granted: remembered".to_owned(), None),
            (None, outcome, _) => (outcome.to_owned(), None),
        }
    }
}

impl Row {
    fn document(&self, user: &str, service: &str) -> Value {
        let outcome = |(result, count): (&LoginResult, &u64)| {
            let (would, would_reason) = match &result.would {
                Some(what) => (Some(&what.would), what.reason.as_ref()),
                None => (None, None),
            };
            json!({ "outcome": result.outcome, "reason": result.reason, "remembered": result.remembered,
                    "would": would, "would_reason": would_reason, "count": count })
        };
        let forecast = self.forecast.as_ref();
        json!({
            "user": user, "unknown": user.is_empty(), "service": service,
            "outcomes": self.counts.iter().map(outcome).collect::<Vec<_>>(),
            "would": forecast.map(|what| &what.would), "would_reason": forecast.map(|what| &what.reason),
        })
    }

    fn cells(&self, user: &str, service: &str, layout: Layout) -> [String; 4] {
        let result = |(result, count): (&LoginResult, &u64)| {
            let (text, tone) = result.text();
            let text = format!("{count} {text}");
            tone.map_or_else(|| text.clone(), |tone| layout.paint(tone, &text))
        };
        let results: Vec<String> = self.counts.iter().map(result).collect();
        let logins: u64 = self.counts.values().sum();
        [shown_user(user).to_owned(), service.to_owned(), logins.to_string(), results.join(", ")]
    }
}

fn add(rows: &mut BTreeMap<(String, String), Row>, event: &Value) {
    // Someone who can write the store without its key must not control an administrator's terminal.
    let text = |key: &str| event.get(key).and_then(Value::as_str).map(|text| printable(text, 256));
    if event["event"] != "login" {
        return;
    }
    // Events do not keep names that no user has: these are one row for each service.
    let (user, service) = (text("user").unwrap_or_default(), text("service"));
    let row = rows.entry((user, service.unwrap_or_else(|| "-".to_owned()))).or_default();
    let would = text("would").map(|would| Forecast { would, reason: text("would_reason") });
    let result = LoginResult {
        would: would.clone(),
        outcome: text("outcome").unwrap_or_default(),
        reason: text("reason"),
        remembered: event["method"] == "remembered",
    };
    *row.counts.entry(result).or_default() += 1;
    // The latest comes first.
    if row.forecast.is_none() {
        row.forecast = would;
    }
}

/// The users who would be refused, asked or enrolled, by their latest login.
fn summary(rows: &BTreeMap<(String, String), Row>) -> BTreeMap<Forecast, BTreeSet<String>> {
    let mut sums: BTreeMap<Forecast, BTreeSet<String>> = BTreeMap::new();
    for ((user, _), row) in rows {
        if let Some(forecast) = &row.forecast {
            sums.entry(forecast.clone()).or_default().insert(user.clone());
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
        let forecast = |would: &str, reason: Option<&str>| Forecast {
            would: would.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let refused = forecast("refused", Some("not-enrolled"));
        assert_eq!(sums[&refused], BTreeSet::from(["bob".to_owned()]));
        assert_eq!(sums[&forecast("asked", None)], BTreeSet::from(["alice".to_owned()]));
        assert!(summary_lines(&sums).contains(&"1 user would be refused: not enrolled: bob".to_owned()));
        let row =
            |user: &str, service: &str| rows[&(user.to_owned(), service.to_owned())].document(user, service);
        let bob = row("bob", "sshd");
        assert_eq!(
            bob["outcomes"],
            json!([{ "outcome": "exempt", "reason": null, "remembered": false, "would": "refused",
                     "would_reason": "not-enrolled", "count": 2 }])
        );
        assert_eq!((&bob["would"], &bob["would_reason"]), (&"refused".into(), &"not-enrolled".into()));
        let carol = &row("carol", "sudo")["outcomes"][0];
        assert_eq!((&carol["reason"], &carol["count"]), (&"wrong".into(), &1.into()));
        let plain = Layout { columns: None, color: false };
        let cells = rows[&("alice".to_owned(), "sshd".to_owned())].cells("alice", "sshd", plain);
        assert_eq!(cells, ["alice", "sshd", "2", "1 would be asked, 1 would be refused: not enrolled"]);
        assert_eq!(rows.len(), 3);
    }
}
