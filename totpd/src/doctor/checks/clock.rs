//! The clock of this host, from which codes are made.

use crate::clock::{RELEASED, rfc3339};
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::system::Host;
use std::collections::BTreeSet;
use totp_core::Time;

/// The fewest grants in a day whose steps show a drift.
const MIN_GRANTS: usize = 10;
/// The fewest users whose wrong codes show a wrong clock of this host.
const MIN_USERS: usize = 5;

/// Row "clock ahead, behind, not synchronised".
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let Some(daemon) = &host.daemon else { return Vec::new() };
    if host.now < RELEASED {
        let what = format!("the clock shows {}, which is before this release", rfc3339(host.now));
        let finding = Finding::new(&kinds::CLOCK_WRONG, "clock", what);
        return vec![finding.cure("Run: timedatectl set-ntp true; timedatectl timesync-status")];
    }
    let behind = daemon.reply.as_ref().ok().and_then(|reply| reply.clock_behind);
    if let Some(granted) = behind {
        let what = format!(
            "a code was accepted at {}, but the clock shows {}",
            rfc3339(Time::from_unix(granted)),
            rfc3339(host.now)
        );
        let finding = Finding::new(&kinds::CLOCK_WRONG, "clock", what);
        return vec![finding.cure("Set the clock. If it is right, run: totpd trust-clock")];
    }
    let mut found: Vec<Finding> = synchronised(host).into_iter().collect();
    found.extend(drift(&daemon.events));
    found
}

fn synchronised(host: &Host) -> Option<Finding> {
    let text = host.output(&["timedatectl", "show", "--property=NTP,NTPSynchronized,CanNTP"])?;
    let is = |line: &str| text.lines().any(|l| l == line);
    // The host of a container sets its clock.
    let container = host.output(&["systemd-detect-virt", "--container"]).is_some();
    if container || is("NTPSynchronized=yes") || !is("NTPSynchronized=no") {
        return None;
    }
    let (what, cure) = if is("NTP=yes") {
        (
            "the clock is not synchronised, although a time service runs",
            "Run: timedatectl timesync-status; or, with chrony: chronyc tracking",
        )
    } else if is("CanNTP=yes") {
        ("the clock is not synchronised, and no time service runs", "Run: timedatectl set-ntp true")
    } else {
        (
            "the clock is not synchronised, and no time service is installed",
            "Install chrony or systemd-timesyncd",
        )
    };
    Some(Finding::new(&kinds::CLOCK_NOT_SYNCHRONISED, "clock", what).cure(cure))
}

/// Row "right codes are `wrong` and count; many `wrong` at one offset".
fn drift(events: &[serde_json::Value]) -> Vec<Finding> {
    let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    let offsets = events.iter().filter(|event| event["outcome"] == "granted" && event["method"] == "totp");
    let offsets: Vec<i64> = offsets.filter_map(|event| event["step_offset"].as_i64()).collect();
    for (sign, direction) in [(1, "behind"), (-1, "ahead")] {
        let at_edge = offsets.iter().filter(|offset| offset.signum() == sign).count();
        if offsets.len() >= MIN_GRANTS && at_edge * 10 >= offsets.len() * 8 {
            let what = format!(
                "{at_edge} of {} codes of phones in a day show that this clock is {direction}",
                offsets.len()
            );
            let cure = "Compare with another clock: timedatectl; then timedatectl set-ntp true";
            found.push(Finding::new(&kinds::CLOCK_DRIFTS, "clock", what).cure(cure));
        }
    }
    let wrong = events.iter().filter(|event| event["outcome"] == "refused" && event["reason"] == "wrong");
    let wrong: Vec<String> = wrong.map(|event| text(event, "user")).filter(|user| !user.is_empty()).collect();
    let users: BTreeSet<&String> = wrong.iter().collect();
    if users.len() >= MIN_USERS && wrong.len() > offsets.len() {
        let what = format!(
            "{} users typed {} wrong codes in a day, and only {} codes were right",
            users.len(),
            wrong.len(),
            offsets.len()
        );
        let cure =
            "Compare this clock with a phone's. For a new phone, totpd confirm says by how much they differ";
        found.push(Finding::new(&kinds::MANY_WRONG_CODES, "clock", what).cure(cure));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn codes_at_one_edge_of_the_window_show_a_drift() {
        let grant = |offset: i64| json!({"outcome": "granted", "method": "totp", "step_offset": offset});
        let ids = |events: &[serde_json::Value]| drift(events).iter().map(|f| f.kind.id).collect::<Vec<_>>();
        assert!(ids(&vec![grant(1); 9]).is_empty(), "too few");
        assert_eq!(ids(&vec![grant(1); 10]), ["clock-drifts"]);
        assert_eq!(ids(&vec![grant(-1); 10]), ["clock-drifts"]);
        let mixed: Vec<_> = (0..12).map(|n| grant(n % 3 - 1)).collect();
        assert!(ids(&mixed).is_empty());
    }

    #[test]
    fn wrong_codes_of_many_users_show_a_wrong_clock() {
        let wrong = |user: &str| json!({"outcome": "refused", "reason": "wrong", "user": user});
        let one = vec![wrong("alice"); 40];
        assert!(drift(&one).is_empty());
        let many: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(wrong).collect();
        assert_eq!(drift(&many)[0].kind.id, "many-wrong-codes");
    }
}
