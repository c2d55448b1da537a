//! What users read in `totpd status` about their own locks: for which logins, until when in local
//! time, and what they can do.

use crate::local_time::local_from;
use totp_core::Time;
use totp_wire::admin::Lock;

/// Returns the lines for `user`: each lock, and what to do. There are none without a lock.
pub(super) fn lines(locks: &[Lock], user: &str, now: Time) -> Vec<String> {
    let mut lines: Vec<String> = locks.iter().map(|lock| line(lock, now)).collect();
    if !lines.is_empty() {
        lines.push(format!(
            "Every code is refused there until then, a right one and a recovery code too. Wait, log in another way, or \
             ask your administrators to run: totpd unlock {user}"
        ));
    }
    lines
}

fn line(lock: &Lock, now: Time) -> String {
    let until = Time::from_unix(lock.until);
    let minutes = until.since(now).div_ceil(60);
    let left = match minutes {
        0 | 1 => "in a minute".to_owned(),
        2..120 => format!("in {minutes} minutes"),
        _ => format!("in {} hours", minutes.div_ceil(60)),
    };
    let until = local_from(until, now);
    format!("LOCKED after too many wrong codes: {}, until {until} ({left})", applies_to(lock))
}

/// The user's logins that a lock refuses.
fn applies_to(lock: &Lock) -> String {
    match (lock.class.as_str(), &lock.source, &lock.client) {
        ("known", Some(source), _) => format!("logins from {source}"),
        ("client", _, Some(client)) if !client.starts_with('(') => format!("the application {client}"),
        ("client", ..) => "codes that are typed at totpd".to_owned(),
        ("local", ..) => "sudo, su and other programs that you start on this machine".to_owned(),
        ("own", ..) => "screen lockers and other programs that run as you".to_owned(),
        ("console", ..) => "logins at the screen and keyboard of this machine".to_owned(),
        ("local-stranger", ..) => "another user of this machine who tries your name".to_owned(),
        _ => "logins from addresses that you have not logged in from lately".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RELEASED;

    #[test]
    fn a_locked_user_reads_where_until_when_and_what_to_do() {
        let lock = |class: &str, minutes: u64| Lock {
            class: class.into(),
            client: None,
            source: (class == "known").then(|| "192.0.2.7".into()),
            uid: None,
            until: RELEASED.unix() + 60 * minutes,
        };
        let lines = lines(&[lock("known", 52), lock("others", 600), lock("local", 1)], "alice", RELEASED);
        assert!(lines[0].contains("logins from 192.0.2.7, until ") && lines[0].ends_with("(in 52 minutes)"));
        assert!(lines[1].contains("not logged in from lately") && lines[1].ends_with("(in 10 hours)"));
        assert!(lines[2].contains("sudo") && lines[2].ends_with("(in a minute)"));
        assert!(lines[3].ends_with("totpd unlock alice"), "{lines:?}");
        assert_eq!(super::lines(&[], "alice", RELEASED), [""; 0]);
    }
}
