//! A user's enrollment as text and as JSON.

use super::{authenticators, staged};
use crate::cli::table::{Layout, Tone};
use crate::clock::{now, rfc3339};
use crate::local_time::{local, local_day};
use serde_json::{Value, json};
use std::time::Duration;
use totp_core::Time;
use totp_wire::admin::{HostUser, Lock, State, User};

/// A time for programs.
fn time(t: u64) -> String {
    rfc3339(Time::from_unix(t))
}

/// A time for people.
fn shown(t: u64) -> String {
    local(Time::from_unix(t))
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
        "passcode_expires_at": user.passcode_expires_at.map(time),
        "last_login": user.last_login.map(time),
        "damaged": user.damaged.unwrap_or(false),
        "clock_behind": clock_behind.map(time),
    })
}

/// The state of a user in one word of `totpd list`. The first ones need the administrator most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Every login is refused, because of the record or the uid.
    Refused,
    /// Logins from some sources are refused.
    Locked,
    /// The user of this name was deleted.
    Gone,
    /// The user has staged a change of the factor in use.
    Staged,
    /// The factor waits for its first code.
    Pending,
    /// There is no factor.
    None,
    /// The factor is in use.
    Active,
}

impl Standing {
    /// The standing of a user.
    pub(super) fn of(user: &User) -> Self {
        match (user.state, user.host_user) {
            _ if user.damaged.is_some() => Self::Refused,
            (_, Some(HostUser::Changed)) => Self::Refused,
            _ if !user.locks.is_empty() => Self::Locked,
            (_, Some(HostUser::Gone)) => Self::Gone,
            _ if user.staged.is_some() => Self::Staged,
            (State::Pending, _) => Self::Pending,
            (State::None, _) => Self::None,
            (State::Active, _) => Self::Active,
        }
    }

    /// The word for people.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "REFUSED",
            Self::Locked => "LOCKED",
            Self::Gone => "GONE",
            Self::Staged => "staged",
            Self::Pending => "pending",
            Self::None => "none",
            Self::Active => "active",
        }
    }

    /// Whether `totpd list` shows the user before all others.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(self, Self::Refused | Self::Locked | Self::Gone | Self::Staged)
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Refused | Self::Locked => Tone::Bad,
            Self::Gone | Self::Staged | Self::Pending | Self::None => Tone::Warning,
            Self::Active => Tone::Good,
        }
    }
}

/// The headings of `totpd list`.
pub(super) const HEADINGS: [&str; 5] = ["USER", "STATE", "RECOVERY", "LAST LOGIN", "DETAILS"];
/// At so few recovery codes the user needs new ones.
const FEW_RECOVERY_CODES: u64 = 2;

/// The row of `totpd list`.
pub(super) fn row(user: &User, layout: Layout) -> [String; 5] {
    let standing = Standing::of(user);
    let codes = match (user.state, user.recovery_codes_left) {
        (State::Active, few @ 0..=FEW_RECOVERY_CODES) => layout.paint(Tone::Warning, &few.to_string()),
        (State::Active, left) => left.to_string(),
        (State::Pending | State::None, _) => "-".to_owned(),
    };
    let login = user.last_login.map_or_else(|| "-".to_owned(), |at| local_day(Time::from_unix(at)));
    let mut details = Vec::new();
    if user.damaged.is_some() {
        details.push("the record is damaged".to_owned());
    } else if user.state == State::Pending {
        details.push(waits(user));
    }
    match (user.host_user, user.uid, user.uid_now) {
        (Some(HostUser::Gone), ..) => details.push("no such user on this host".to_owned()),
        (Some(HostUser::Changed), Some(then), Some(now)) => details.push(other_uid(then, now)),
        _ => {}
    }
    details.extend(locked(user).map(|lock| format!("locked {lock}")));
    details.extend(phrases(user));
    details.extend(authenticators::several(user));
    [user.user.clone(), layout.paint(standing.tone(), standing.word()), codes, login, details.join(", ")]
}

/// The first line of `totpd status USER`.
pub(super) fn sentence(user: &User) -> String {
    let mut parts = vec![match user.state {
        _ if user.damaged.is_some() => "REFUSED: the record is damaged".to_owned(),
        State::None => "not enrolled".to_owned(),
        State::Pending => waits(user),
        State::Active => format!("active, {} left", counted(user.recovery_codes_left, "recovery code")),
    }];
    match (user.host_user, user.uid, user.uid_now) {
        (Some(HostUser::Gone), ..) => parts.push("NO SUCH USER on this host".to_owned()),
        (Some(HostUser::Changed), Some(then), Some(now)) => {
            parts.push(format!("REFUSED: {}", other_uid(then, now)));
        }
        _ => {}
    }
    parts.extend(phrases(user));
    parts.extend(locked(user).map(|lock| format!("LOCKED {lock}")));
    if user.state == State::Active && user.last_login.is_none() {
        parts.push("no login in the history".to_owned());
    }
    parts.join(", ")
}

fn waits(user: &User) -> String {
    format!("waits for its first code until {}", user.expires_at.map(shown).unwrap_or_default())
}

fn other_uid(then: u32, now: u32) -> String {
    format!("enrolled as uid {then}, and the name now has uid {now}")
}

/// Which logins are locked, and until when.
fn locked(user: &User) -> Option<String> {
    let until = user.locks.iter().map(|lock| lock.until).max()?;
    let more = if user.locks.len() > 1 { " and others" } else { "" };
    Some(format!("for {}{more} until {}", applies_to(user.locks.first()?), shown(until)))
}

/// What else `totpd list` and `totpd status USER` say of a user.
fn phrases(user: &User) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(staged) = &user.staged {
        let (what, ripe) = (staged::what(staged), shown(staged.ripens_at));
        let notice = if staged.notice_shown { "notice seen" } else { "notice not seen yet" };
        parts.push(format!("{what} is staged and can be done from {ripe} on ({notice})"));
    } else if user.replacement_pending {
        let expires = user.expires_at.map(shown).unwrap_or_default();
        let waits = authenticators::waiting(user);
        parts.push(format!("{waits} waits for its first code until {expires}"));
    } else if user.replacement_expired.is_some() {
        parts.push("a replacement was never confirmed".to_owned());
    }
    parts.extend(user.ticket_expires_at.map(|expires| format!("an open ticket until {}", shown(expires))));
    parts.extend(user.passcode_expires_at.map(|end| format!("an unused passcode until {}", shown(end))));
    if user.remembered > 0 {
        parts.push(format!("{} remembered", counted(user.remembered, "login")));
    }
    if user.failures > 0 {
        parts.push(counted(user.failures, "failure"));
    }
    parts
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
    lines.extend(user.last_login.map(|at| format!("last login that passed: {}", shown(at))));
    for lock in &user.locks {
        let (left, until) = (now().unix(), shown(lock.until));
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
    if user.staged.is_none() && user.replacement_pending && authenticators::adds(user) {
        return Some(format!(
            "a code of the further app confirms it, at a login or by `totpd confirm {}`; the others go on working",
            user.user
        ));
    }
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
            shown(made),
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
        shown(granted)
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
