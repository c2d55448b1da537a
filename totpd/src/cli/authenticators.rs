//! A user's authenticators as text and as JSON.

use crate::clock::rfc3339;
use crate::local_time::local;
use serde_json::{Value, json};
use totp_core::Time;
use totp_core::authenticator::UNNAMED;
use totp_wire::admin::{State, User};

/// The authenticators as JSON.
pub(super) fn document(user: &User) -> Vec<Value> {
    let authenticators = user.authenticators.iter().flatten();
    let since = |since: u64| rfc3339(Time::from_unix(since));
    authenticators
        .map(|one| json!({ "totp_id": one.totp_id, "name": one.name, "since": one.since.map(since) }))
        .collect()
}

/// The lines of `totpd status`, if there is more to say than that there is one.
pub(super) fn lines(user: &User) -> Vec<String> {
    let all: Vec<_> = user.authenticators.iter().flatten().collect();
    let is_plain = all.len() <= 1 && all.iter().all(|one| one.name == UNNAMED);
    if is_plain {
        return Vec::new();
    }
    let line = |name: &str, since: Option<u64>| match since {
        Some(since) => format!("authenticator \"{name}\", in use since {}", local(Time::from_unix(since))),
        None => format!("authenticator \"{name}\""),
    };
    all.iter().map(|one| line(&one.name, one.since)).collect()
}

/// Whether what waits for its first code becomes a further authenticator.
pub(super) fn adds(user: &User) -> bool {
    let mut names = user.authenticators.iter().flatten().map(|one| one.name.as_str());
    let is_new = |name: &String| !names.any(|known| known == name);
    user.state == State::Active && user.pending_name.as_ref().is_some_and(is_new)
}

/// What `totpd list` says of a user who has more than one.
pub(super) fn several(user: &User) -> Option<String> {
    let names: Vec<&str> = user.authenticators.iter().flatten().map(|one| one.name.as_str()).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    (names.len() > 1).then(|| format!("{} authenticators: {}", names.len(), quoted.join(", ")))
}

/// What waits for its first code beside the active factors.
pub(super) fn waiting(user: &User) -> String {
    match &user.pending_name {
        Some(name) if adds(user) => {
            format!("a further authenticator \"{name}\"")
        }
        Some(name) => format!("a replacement of \"{name}\""),
        None => "a replacement".to_owned(),
    }
}

/// Why a factor finds no place among the authenticators of these names, and what to do. Users are
/// told about themselves: `user` is theirs, and the commands take it from the uid.
pub(super) fn no_place(user: &str, why: &str, names: &[&str]) -> String {
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    match why {
        "which-one" => format!("{user} has several authenticators: {list}. Say which one with --name NAME"),
        "no-such-name" => format!(
            "{user} has no authenticator of this name, but: {list}. To make a further one: totpd enroll {user} --add \
             --name NAME"
        ),
        "name-taken" => format!(
            "{user} has an authenticator of this name already. Choose another name, or leave --add out to replace it"
        ),
        "too-many" => format!(
            "{user} has as many authenticators as are possible: {list}. To delete one, run: totpd revoke {user} --name \
             NAME"
        ),
        "other-digits" => format!(
            "the codes of {user}'s other authenticators ({list}) have another number of digits, and the prompt asks for \
             one length. Say --digits with that number, or choose a token with as many"
        ),
        other => format!("{user}'s authenticators ({list}) do not allow this: {other}"),
    }
}
