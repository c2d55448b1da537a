//! The queue that a log line waits in. Lines are separated by who can cause them, so that a flood
//! of one kind cannot displace lines of another.

use crate::audit::{Event, EventKind, EventOutcome, Method};
use totp_core::Source;

/// A kind of log lines, by who can cause them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Grants, actions of administrators, and break-glass.
    Grants,
    /// All other attempts from remote hosts, which fail2ban reads.
    Sources,
    /// Requests of applications, granted or not.
    Applications,
    /// Attempts from this host in which no code was granted.
    Local,
    /// Messages of the daemon that are not audit events: warnings and errors.
    Daemon,
}

impl Lane {
    /// Every lane.
    pub(super) const ALL: [Self; 5] =
        [Self::Grants, Self::Sources, Self::Applications, Self::Local, Self::Daemon];

    /// Returns how many lines can wait in the lane.
    pub(super) const fn capacity(self) -> usize {
        match self {
            Self::Sources => 2_048,
            Self::Grants | Self::Applications | Self::Local => 1_024,
            Self::Daemon => 256,
        }
    }
}

/// Returns the lane of an event.
pub(super) fn lane(event: &Event) -> Lane {
    let from = &event.from;
    let by_root = from.peer_uid.is_none_or(|uid| uid == 0);
    let refused = event.outcome == EventOutcome::Refused;
    let by_code = event.outcome == EventOutcome::Granted && event.method != Some(Method::Remembered);
    if from.peer_uid.is_none() && from.client.is_some() {
        Lane::Applications
    } else if by_code && event.event == EventKind::Login {
        Lane::Grants
    } else if from.rhost.is_some() || from.peer_address.is_some() {
        // A user who passes without a code has proved a first factor, so strangers cannot cause
        // these lines.
        if refused { Lane::Sources } else { Lane::Grants }
    } else if event.event == EventKind::Login || (refused && !by_root) {
        Lane::Local
    } else {
        Lane::Grants
    }
}

/// Returns the source of an event within its lane. The queue limits how much of a lane one source
/// can fill.
pub(super) fn source(lane: Lane, event: &Event) -> String {
    let from = &event.from;
    match (lane, &from.peer_address) {
        (Lane::Grants | Lane::Daemon, _) => String::new(),
        (Lane::Sources, Some(address)) if from.rhost.is_none() => {
            let source = address.parse().map(Source::of);
            source.map_or_else(|_| address.clone(), |source| source.to_string())
        }
        _ => from.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::EventOutcome::{Done, Exempt, Granted, Refused};
    use crate::audit::EventSource;
    use totp_core::Time;

    fn login(outcome: EventOutcome, from: EventSource) -> Event {
        Event {
            outcome,
            ..Event::new(
                EventKind::Login,
                "alice",
                Time::default(),
                EventSource { peer_uid: Some(0), ..from },
            )
        }
    }

    fn remote(rhost: &str) -> EventSource {
        EventSource { rhost: Some(rhost.into()), ..EventSource::default() }
    }

    #[test]
    fn each_kind_of_line_has_its_lane() {
        let (local, from_afar) = (EventSource::default, || remote("192.0.2.1"));
        assert_eq!(lane(&login(Refused, local())), Lane::Local);
        assert_eq!(lane(&login(Exempt, local())), Lane::Local);
        assert_eq!(lane(&login(Granted, local())), Lane::Grants);
        let remembered = Event { method: Some(Method::Remembered), ..login(Granted, local()) };
        assert_eq!(lane(&remembered), Lane::Local);
        assert_eq!(lane(&login(Refused, from_afar())), Lane::Sources);
        assert_eq!(lane(&login(Granted, from_afar())), Lane::Grants);
        let by = |uid, outcome| Event {
            outcome,
            ..Event::new(
                EventKind::Enroll,
                "alice",
                Time::default(),
                EventSource { peer_uid: Some(uid), ..EventSource::default() },
            )
        };
        assert_eq!(lane(&by(0, Done)), Lane::Grants);
        assert_eq!(lane(&by(5001, Done)), Lane::Grants);
        assert_eq!(lane(&by(5001, Refused)), Lane::Local);
        let application = EventSource { client: Some("shop".into()), ..EventSource::default() };
        let request = Event::new(EventKind::Authenticate, "alice", Time::default(), application);
        assert_eq!(lane(&request), Lane::Applications);
        let unknown = EventSource { peer_address: Some("192.0.2.1".into()), ..EventSource::default() };
        let unknown =
            Event { outcome: Refused, ..Event::new(EventKind::Client, "", Time::default(), unknown) };
        assert_eq!(lane(&unknown), Lane::Sources);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let of = |rhost| source(Lane::Sources, &login(Refused, remote(rhost)));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("home.example"), "home.example");
    }

    #[test]
    fn the_source_of_a_setuid_program_is_the_user_who_started_it() {
        // polkit's helper sets PAM_RUSER to alice.
        let started_by = |uid| EventSource {
            ruser: Some("alice".into()),
            caller_uid: Some(uid),
            ..EventSource::default()
        };
        let of = |uid| source(Lane::Local, &login(Refused, started_by(uid)));
        assert_eq!(of(7102), of(7102));
        assert_ne!(of(7102), of(7103));
    }
}
