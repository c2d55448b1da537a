//! What there is to know of a user, in words and as a document.

use super::staged;
use crate::clock::{now, rfc3339};
use serde_json::{Value, json};
use std::time::Duration;
use totp_core::Time;
use totp_wire::admin::{HostUser, Lock, State, User};

fn time(t: u64) -> String {
    rfc3339(Time::from_unix(t))
}

/// The document for programs.
pub(super) fn document(user: &User, clock_behind: Option<u64>) -> Value {
    let locks: Vec<Value> = user
        .locks
        .iter()
        .map(|lock| {
            json!({ "class": lock.class, "client": lock.client, "source": lock.source, "uid": lock.uid,
                    "until": time(lock.until) })
        })
        .collect();
    json!({
        "user": user.user,
        "state": user.state,
        "totp_id": user.totp_id,
        "replacement_pending": user.replacement_pending,
        "expires_at": user.expires_at.map(time),
        "recovery_codes_left": user.recovery_codes_left,
        "remembered": user.remembered,
        "staged": user.staged.as_ref().map(staged::document),
        "failures": user.failures,
        "locked": !user.locks.is_empty(),
        "locked_until": user.locks.iter().map(|lock| lock.until).max().map(time),
        "locks": locks,
        "uid": user.uid,
        "host_user": user.host_user,
        "uid_now": user.uid_now,
        "ticket_expires_at": user.ticket_expires_at.map(time),
        "last_login": user.last_login.map(time),
        "damaged": user.damaged.unwrap_or(false),
        "clock_behind": clock_behind.map(time),
    })
}

/// The line of `totpd list`, and the first one of `totpd status USER`.
pub(super) fn sentence(user: &User) -> String {
    let expires = user.expires_at.map(time).unwrap_or_default();
    let mut text = match user.state {
        _ if user.damaged.is_some() => "REFUSED: the record is damaged".to_owned(),
        State::None => "not enrolled".to_owned(),
        State::Pending => format!("waits for its first code until {expires}"),
        State::Active => format!("active, {} recovery codes left", user.recovery_codes_left),
    };
    match (user.host_user, user.uid, user.uid_now) {
        (Some(HostUser::Gone), ..) => text.push_str(", NO SUCH USER on this host any more"),
        (Some(HostUser::Changed), Some(then), Some(now)) => {
            text.push_str(&format!(", REFUSED: enrolled as uid {then}, and the name has uid {now} now"));
        }
        _ => {}
    }
    if let Some(staged) = &user.staged {
        let (what, ripe) = (staged::what(staged), time(staged.ripens_at));
        let told = if staged.notice_shown { "told at a login" } else { "not told at a login yet" };
        text.push_str(&format!(", {what} is staged and can be done from {ripe} on ({told})"));
    } else if user.replacement_pending {
        text.push_str(&format!(", a replacement waits for its first code until {expires}"));
    }
    if let Some(expires) = user.ticket_expires_at {
        text.push_str(&format!(", an open ticket until {}", time(expires)));
    }
    if user.remembered > 0 {
        text.push_str(&format!(", {} logins remembered", user.remembered));
    }
    if user.failures > 0 {
        text.push_str(&format!(", {} failures", user.failures));
    }
    if let Some(until) = user.locks.iter().map(|lock| lock.until).max() {
        let (class, more) = (place(&user.locks[0]), if user.locks.len() > 1 { " and others" } else { "" });
        text.push_str(&format!(", LOCKED for {class}{more} until {}", time(until)));
    }
    if user.state == State::Active && user.last_login.is_none() {
        text.push_str(", no login in the history");
    }
    text
}

/// The further lines of `totpd status USER`: what an administrator may want to end.
pub(super) fn details(user: &User, clock_behind: Option<u64>) -> Vec<String> {
    let name = &user.user;
    let mut lines: Vec<String> = clock_behind.map(clock_sentence).into_iter().collect();
    if user.damaged.is_some() {
        lines.push(format!("restore the store, or run: totpd revoke {name}, and enroll the user again"));
    }
    match user.host_user {
        Some(HostUser::Gone) => lines.push(format!("if the user is gone for good, run: totpd revoke {name}")),
        Some(HostUser::Changed) => lines.push(format!(
            "if it is another person now, run: totpd revoke {name}; the factor belongs to who had the name before"
        )),
        Some(HostUser::Same) | None => {}
    }
    lines.extend(user.last_login.map(|at| format!("last login that passed: {}", time(at))));
    for lock in &user.locks {
        let (left, until) = (now().unix(), time(lock.until));
        let left = humantime::format_duration(Duration::from_secs(lock.until.saturating_sub(left) / 60 * 60));
        lines.push(format!(
            "locked for {} until {until} (in {left}); `totpd unlock {name}` ends it",
            place(lock)
        ));
    }
    lines
}

/// Why codes are refused from everybody.
pub(super) fn clock_sentence(granted: u64) -> String {
    format!(
        "EVERY CODE IS REFUSED: the clock lies before {}, when one was accepted. Set the clock, or if it is right now, \
         run: totpd trust-clock",
        time(granted)
    )
}

/// Whom a lock is about.
fn place(lock: &Lock) -> String {
    match (lock.class.as_str(), &lock.source, &lock.client, lock.uid) {
        ("known", Some(source), ..) => format!("logins from {source}"),
        ("client", _, Some(client), _) => format!("the application {client}"),
        ("local-stranger", _, _, Some(uid)) => format!("uid {uid} of this host"),
        ("local", ..) => "the user's own sudo and other programs of this host (local)".to_owned(),
        ("own", ..) => "the user's own processes (own)".to_owned(),
        ("console", ..) => "the console".to_owned(),
        ("others", ..) => "everybody else (others)".to_owned(),
        (class, ..) => class.to_owned(),
    }
}
