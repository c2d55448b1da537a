//! Finds out from the daemon's history which services a login has confirmed.

use crate::cli::history::Pages;
use crate::cli::output::CommandError;
use crate::config::Config;
use crate::pam_config::Mode;
use crate::pam_config::locker::is_locker;
use crate::pam_config::undo::{Pending, PendingService};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use totp_wire::text::printable;

/// How many events a page has.
const PAGE_EVENTS: usize = 100;

/// The groups of services that a login has confirmed since the files were written, each with the
/// user who logged in.
///
/// # Errors
/// When the daemon does not answer.
pub(super) fn confirmed(
    config: &Config,
    pending: &Pending,
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut groups = BTreeMap::new();
    for service in &pending.services {
        if let Some(user) = &service.confirmed {
            groups.insert(service.group.clone(), user.clone());
        }
    }
    // Earlier logins used the old stacks.
    let Some(edited) = pending.edited else { return Ok(groups) };
    let mut pages = Pages::of_all(config);
    pages.since = Some(edited);
    let mut events = Vec::new();
    while let Some(page) = pages.next(PAGE_EVENTS)? {
        events.extend(page);
    }
    events.retain(|event| !pending.seen.iter().any(|id| event["id"] == id.as_str()));
    for event in delivered(&events) {
        for service in pending.services.iter().filter(|service| confirms(event, service, pending)) {
            let user = printable(event["user"].as_str().unwrap_or_default(), 64);
            groups.insert(service.group.clone(), user);
        }
    }
    Ok(groups)
}

/// The ids of the events since this Unix second. The caller stores those that came before its
/// change was complete.
///
/// # Errors
/// When the daemon does not answer.
pub(super) fn events_since(config: &Config, since: u64) -> Result<Vec<String>, CommandError> {
    let mut pages = Pages::of_all(config);
    pages.since = Some(since);
    let mut ids = Vec::new();
    while let Some(page) = pages.next(PAGE_EVENTS)? {
        ids.extend(page.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)));
    }
    Ok(ids)
}

/// The events without those of logins whose grant never reached their program.
fn delivered(events: &[Value]) -> impl Iterator<Item = &Value> {
    let id = |event: &Value| event["id"].as_str().map(str::to_owned);
    let lost = events.iter().filter(|event| event["outcome"] == "undelivered").filter_map(id);
    let lost: BTreeSet<String> = lost.collect();
    events.iter().filter(move |event| !event["id"].as_str().is_some_and(|id| lost.contains(id)))
}

/// Whether an event shows that the service asks as its mode intends.
///
/// Only programs of root count, because a user's own process may claim to be any service; except
/// for a locker. Only an administrator's login counts, because any user can type their own code at
/// sudo, and only an administrator can undo the change.
fn confirms(event: &Value, service: &PendingService, pending: &Pending) -> bool {
    if event["event"] != "login" {
        return false;
    }
    let of_group =
        |name: &str| pending.services.iter().any(|one| one.group == service.group && one.name == name);
    let of_service = if is_locker(&service.name) {
        // The daemon believes a user's own process only its uid, so no event names a locker.
        event["class"] == "own"
    } else {
        event["peer_uid"] == 0 && event["service"].as_str().is_some_and(of_group)
    };
    let outcome = match service.mode {
        Mode::Require | Mode::Rules => {
            event["outcome"] == "granted"
                && pending.administrators.iter().any(|name| event["user"] == name.as_str())
        }
        Mode::Monitor => true,
    };
    of_service && outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pending(mode: Mode) -> Pending {
        let service = |name: &str, group: &str| PendingService {
            name: name.into(),
            group: group.into(),
            mode,
            confirmed: None,
        };
        Pending {
            id: "1".into(),
            until: 0,
            edited: Some(1),
            seen: vec![],
            administrators: vec!["alice".into()],
            timer: None,
            services: vec![service("sudo", "sudo"), service("sudo-i", "sudo"), service("sshd", "sshd")],
            files: vec![],
        }
    }

    #[test]
    fn only_a_grant_by_roots_program_of_the_group_confirms() {
        let event = json!({ "event": "login", "outcome": "granted", "service": "sudo-i", "peer_uid": 0, "user": "alice" });
        let require = pending(Mode::Require);
        let (sudo, sshd) = (&require.services[0], &require.services[2]);
        assert!(confirms(&event, sudo, &require));
        assert!(!confirms(&event, sshd, &require));
        for (key, value) in [
            ("outcome", json!("refused")),
            ("outcome", json!("exempt")),
            ("peer_uid", json!(1000)),
            ("event", json!("confirm")),
            ("service", json!("su")),
            ("user", json!("eve")),
        ] {
            let mut other = event.clone();
            other[key] = value;
            assert!(!confirms(&other, sudo, &require), "{key}");
        }
    }

    #[test]
    fn a_grant_that_reached_nobody_confirms_nothing() {
        let event = |id: &str, outcome: &str| json!({ "id": id, "outcome": outcome });
        let events = [event("2", "undelivered"), event("2", "granted"), event("1", "granted")];
        assert_eq!(delivered(&events).collect::<Vec<_>>(), [&events[2]]);
    }

    #[test]
    fn an_administrators_own_process_confirms_a_locker() {
        let mut require = pending(Mode::Require);
        require.services[0] = PendingService { name: "i3lock".into(), ..require.services[2].clone() };
        require.services[0].group = "i3lock".into();
        let event = json!({ "event": "login", "outcome": "granted", "class": "own", "peer_uid": 1000, "user": "alice" });
        assert!(confirms(&event, &require.services[0], &require));
        for (key, value) in [
            ("user", json!("eve")),
            ("outcome", json!("refused")),
            ("class", json!("local")),
            ("event", json!("confirm")),
        ] {
            let mut other = event.clone();
            other[key] = value;
            assert!(!confirms(&other, &require.services[0], &require), "{key}");
        }
        assert!(!confirms(&event, &require.services[2], &require));
    }

    #[test]
    fn under_monitor_a_refusal_confirms_too() {
        let monitor = pending(Mode::Monitor);
        let event = json!({ "event": "login", "outcome": "refused", "service": "sudo", "peer_uid": 0 });
        assert!(confirms(&event, &monitor.services[0], &monitor));
        assert!(!confirms(&event, &monitor.services[2], &monitor));
    }
}
