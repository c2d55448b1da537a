//! In which queue a line waits, so that no flood of one kind drops lines of another.

use crate::audit::{Event, EventKind, EventOutcome, Method};
use totp_core::Source;

/// A kind of lines, by who can cause them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Grants, acts of administrators and break-glass.
    Grants,
    /// Everything else about an attempt from another host: what fail2ban reads.
    Sources,
    /// What applications ask, granted or not.
    Applications,
    /// Attempts that started at this host and were granted no code.
    Local,
    /// What is no event: warnings and errors of the daemon.
    Daemon,
}

impl Lane {
    /// All of them.
    pub(super) const ALL: [Self; 5] =
        [Self::Grants, Self::Sources, Self::Applications, Self::Local, Self::Daemon];

    /// Lines that may wait in it.
    pub(super) const fn capacity(self) -> usize {
        match self {
            Self::Sources => 2_048,
            Self::Grants | Self::Applications | Self::Local => 1_024,
            Self::Daemon => 256,
        }
    }
}

/// The lane of an event.
pub(super) fn lane(event: &Event) -> Lane {
    let from = &event.from;
    let of_root = from.peer_uid.is_none_or(|uid| uid == 0);
    let refused = event.outcome == EventOutcome::Refused;
    let by_code = event.outcome == EventOutcome::Granted && event.method != Some(Method::Remembered);
    if from.peer_uid.is_none() && from.client.is_some() {
        Lane::Applications
    } else if by_code && event.event == EventKind::Login {
        Lane::Grants
    } else if from.rhost.is_some() || from.peer_address.is_some() {
        // A user who passes without a code has proved a first factor.
        if refused { Lane::Sources } else { Lane::Grants }
    } else if event.event == EventKind::Login || (refused && !of_root) {
        Lane::Local
    } else {
        Lane::Grants
    }
}

/// Whose line it is within its lane: nobody takes all of it.
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
        let (here, there) = (EventSource::default, || remote("192.0.2.1"));
        assert_eq!(lane(&login(Refused, here())), Lane::Local);
        assert_eq!(lane(&login(Exempt, here())), Lane::Local);
        assert_eq!(lane(&login(Granted, here())), Lane::Grants);
        let remembered = Event { method: Some(Method::Remembered), ..login(Granted, here()) };
        assert_eq!(lane(&remembered), Lane::Local);
        assert_eq!(lane(&login(Refused, there())), Lane::Sources);
        assert_eq!(lane(&login(Granted, there())), Lane::Grants);
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
        let asked = Event::new(EventKind::Authenticate, "alice", Time::default(), application);
        assert_eq!(lane(&asked), Lane::Applications);
        let unknown = EventSource { peer_address: Some("192.0.2.1".into()), ..EventSource::default() };
        let unknown =
            Event { outcome: Refused, ..Event::new(EventKind::Client, "", Time::default(), unknown) };
        assert_eq!(lane(&unknown), Lane::Sources);
    }

    #[test]
    fn neighbours_of_one_subscriber_are_one_source() {
        let of = |rhost| source(Lane::Sources, &login(Refused, remote(rhost)));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("home.example"), "home.example");
    }

    #[test]
    fn a_setuid_programs_lines_are_those_of_who_started_it() {
        // polkit's helper says that alice asks.
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
