//! A user's enrollment as text and as JSON.

use super::{authenticators, staged};
use crate::clock::{now, rfc3339};
use serde_json::{Value, json};
use std::time::Duration;
use totp_core::Time;
use totp_wire::admin::{HostUser, Lock, State, User};

fn time(t: u64) -> String {
    rfc3339(Time::from_unix(t))
}

/// A user's enrollment as JSON. `clock_behind`: the Unix second of the last accepted code, if the
/// clock now lies before it.
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
        "authenticators": authenticators::document(user),
        "pending_name": user.pending_name,
        "replacement_pending": user.replacement_pending,
        "replacement_expired": user.replacement_expired.map(time),
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
        State::Active => format!("active, {} left", counted(user.recovery_codes_left, "recovery code")),
    };
    match (user.host_user, user.uid, user.uid_now) {
        (Some(HostUser::Gone), ..) => text.push_str(", NO SUCH USER on this host"),
        (Some(HostUser::Changed), Some(then), Some(now)) => {
            text.push_str(&format!(", REFUSED: enrolled as uid {then}, and the name now has uid {now}"));
        }
        _ => {}
    }
    if let Some(staged) = &user.staged {
        let (what, ripe) = (staged::what(staged), time(staged.ripens_at));
        let notice = if staged.notice_shown { "notice seen" } else { "notice not seen yet" };
        text.push_str(&format!(", {what} is staged and can be done from {ripe} on ({notice})"));
    } else if user.replacement_pending {
        let waits = authenticators::waiting(user);
        text.push_str(&format!(", {waits} waits for its first code until {expires}"));
    } else if user.replacement_expired.is_some() {
        text.push_str(", a replacement was never confirmed");
    }
    if let Some(expires) = user.ticket_expires_at {
        text.push_str(&format!(", an open ticket until {}", time(expires)));
    }
    if user.remembered > 0 {
        text.push_str(&format!(", {} remembered", counted(user.remembered, "login")));
    }
    if user.failures > 0 {
        text.push_str(&format!(", {}", counted(user.failures, "failure")));
    }
    if let Some(until) = user.locks.iter().map(|lock| lock.until).max() {
        let (class, more) =
            (applies_to(&user.locks[0]), if user.locks.len() > 1 { " and others" } else { "" });
        text.push_str(&format!(", LOCKED for {class}{more} until {}", time(until)));
    }
    if user.state == State::Active && user.last_login.is_none() {
        text.push_str(", no login in the history");
    }
    text
}

/// The further lines of `totpd status USER`: problems and locks, each with the command that ends
/// it.
pub(super) fn details(user: &User, clock_behind: Option<u64>) -> Vec<String> {
    let name = &user.user;
    let mut lines: Vec<String> = clock_behind.map(clock_sentence).into_iter().collect();
    if user.damaged.is_some() {
        lines.push(format!("restore the store, or run: totpd revoke {name}, and enroll the user again"));
    }
    match user.host_user {
        Some(HostUser::Gone) => lines.push(format!("if the user is gone for good, run: totpd revoke {name}")),
        Some(HostUser::Changed) => lines.push(format!(
            "the factor belongs to the user who had this name before: if that is another person, run: totpd revoke {name}"
        )),
        Some(HostUser::Same) | None => {}
    }
    lines.extend(replacement_line(user));
    lines.extend(user.last_login.map(|at| format!("last login that passed: {}", time(at))));
    for lock in &user.locks {
        let (left, until) = (now().unix(), time(lock.until));
        let left = humantime::format_duration(Duration::from_secs(lock.until.saturating_sub(left) / 60 * 60));
        lines.push(format!(
            "locked for {} until {until} (in {left}); `totpd unlock {name}` ends it",
            applies_to(lock)
        ));
    }
    lines
}

/// What to do about a replacement that no code has confirmed.
fn replacement_line(user: &User) -> Option<String> {
    if user.staged.is_none() && user.replacement_pending {
        return Some(format!(
            "a code of the new app confirms it, at a login or by `totpd confirm {}`; the old app works until then",
            user.user
        ));
    }
    user.replacement_expired.map(|made| {
        format!(
            "the replacement of {} expired before its first code: the old app works, and the entry of the new one can be \
             deleted in the app. `totpd enroll {}` makes another",
            time(made),
            user.user
        )
    })
}

/// The message for a clock that lies before the last accepted code, which is of the Unix second
/// `granted`.
pub(super) fn clock_sentence(granted: u64) -> String {
    format!(
        "EVERY CODE IS REFUSED: a code was accepted at {}, and the clock now lies before that. Set the clock; if it is \
         right, run: totpd trust-clock",
        time(granted)
    )
}

/// `1 failure`, `2 failures`
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The attempts that a lock refuses.
fn applies_to(lock: &Lock) -> String {
    match (lock.class.as_str(), &lock.source, &lock.client, lock.uid) {
        ("known", Some(source), ..) => format!("logins from {source}"),
        ("client", _, Some(client), _) => format!("the application {client}"),
        ("local-stranger", _, _, Some(uid)) => format!("uid {uid} of this host"),
        ("local", ..) => "the user's own sudo and other programs of this host (local)".to_owned(),
        ("own", ..) => "the user's own processes (own)".to_owned(),
        ("console", ..) => "the console".to_owned(),
        ("others", ..) => "all other sources (others)".to_owned(),
        (class, ..) => class.to_owned(),
    }
}
