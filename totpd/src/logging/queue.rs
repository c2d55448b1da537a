//! The lines that wait for the log: bounded by lane and, once a lane is half full, by source.

use super::lane::{Lane, lane, source};
use crate::audit::{Dropped, Event};
use std::collections::{HashMap, VecDeque};
use tracing::Level;

/// Lines of one source that find room in a lane that is half full, and in one that is nearly full.
/// fail2ban needs five of an address (config/fail2ban/jail.d).
const FEW: usize = 16;
const FEWEST: usize = 5;

/// What is written.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// An audit event.
    Event(Box<Event>),
    /// Anything else.
    Message(Level, String),
}

impl Line {
    /// The line of an event.
    pub(super) fn event(event: Event) -> Self {
        Self::Event(Box::new(event))
    }

    /// A line of the daemon's own.
    pub(super) const fn message(level: Level, text: String) -> Self {
        Self::Message(level, text)
    }

    fn place(&self) -> (Lane, String) {
        match self {
            Self::Event(event) => {
                let lane = lane(event);
                (lane, source(lane, event))
            }
            Self::Message(_, text) => (Lane::Daemon, text.clone()),
        }
    }

    /// Whether `other` says the same of the same people again.
    fn repeats(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message(level, text), Self::Message(other_level, other)) => {
                (level, text) == (other_level, other)
            }
            (Self::Event(one), Self::Event(other)) => {
                let key = |event: &Event| {
                    let from = &event.from;
                    let origin = (
                        &from.service,
                        &from.ruser,
                        &from.rhost,
                        &from.client,
                        from.caller_uid,
                        from.peer_uid,
                    );
                    let origin = format!("{origin:?}");
                    (event.event, event.user.clone(), event.outcome, event.reason, event.locks, origin)
                };
                key(one) == key(other)
            }
            _ => false,
        }
    }
}

/// A line in its place.
#[derive(Debug)]
struct Waiting {
    lane: Lane,
    source: String,
    line: Line,
    repeated: u64,
}

/// The lines of one source: how many wait, and the number of the last.
#[derive(Debug, Default)]
struct OfSource {
    lines: usize,
    last: u64,
}

/// The count of a lane.
const fn count_of(dropped: &mut Dropped, lane: Lane) -> &mut u64 {
    match lane {
        Lane::Grants => &mut dropped.grants,
        Lane::Sources => &mut dropped.sources,
        Lane::Applications => &mut dropped.applications,
        Lane::Local => &mut dropped.local,
        Lane::Daemon => &mut dropped.daemon,
    }
}

/// All lines that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// The number of the first line that waits; the others follow.
    first: u64,
    lanes: HashMap<Lane, usize>,
    sources: HashMap<(Lane, String), OfSource>,
    dropped: Dropped,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Takes a line in, or adds it to one that says the same, or drops it.
    pub(super) fn push(&mut self, line: Line) {
        let (lane, source) = line.place();
        let in_lane = self.lanes.entry(lane).or_default();
        let number = self.first + u64::try_from(self.waiting.len()).unwrap_or(0);
        let key = (lane, source);
        let of_source = self.sources.entry(key.clone()).or_default();
        let room = match *in_lane {
            used if used < lane.capacity() / 2 => lane.capacity(),
            // Grants are nobody's flood: each took a code, or an administrator.
            used if used < lane.capacity() && lane == Lane::Grants => lane.capacity(),
            used if used < lane.capacity() / 4 * 3 => FEW,
            used if used < lane.capacity() => FEWEST,
            _ => 0,
        };
        if of_source.lines < room {
            *in_lane += 1;
            *of_source = OfSource { lines: of_source.lines + 1, last: number };
            self.waiting.push_back(Waiting { lane, source: key.1, line, repeated: 0 });
            return;
        }
        let last = of_source.last.checked_sub(self.first).filter(|_| of_source.lines > 0);
        if of_source.lines == 0 {
            self.sources.remove(&key);
        }
        let last = last.and_then(|at| self.waiting.get_mut(usize::try_from(at).ok()?));
        match last {
            Some(last) if last.line.repeats(&line) => last.repeated += 1,
            _ => self.count_dropped(lane, 1, &line),
        }
    }

    /// The next line to be written, and how many like it were left out.
    pub(super) fn pop(&mut self) -> Option<(Line, u64)> {
        let Waiting { lane, source, line, repeated } = self.waiting.pop_front()?;
        self.first += 1;
        if let Some(count) = self.lanes.get_mut(&lane) {
            *count -= 1;
        }
        let key = (lane, source);
        if let Some(of_source) = self.sources.get_mut(&key) {
            of_source.lines -= 1;
            if of_source.lines == 0 {
                self.sources.remove(&key);
            }
        }
        Some((line, repeated))
    }

    /// Counts a line that could not be written, with those that it stands for.
    pub(super) fn not_written(&mut self, line: &Line, repeated: u64) {
        self.count_dropped(line.place().0, 1 + repeated, line);
    }

    /// Drops what waits.
    pub(super) fn drop_all(&mut self) {
        while let Some((line, repeated)) = self.pop() {
            self.not_written(&line, repeated);
        }
    }

    const fn count_dropped(&mut self, lane: Lane, lines: u64, line: &Line) {
        // The line that reports dropped ones is reported by the next report.
        if let Line::Event(event) = line
            && event.dropped.is_some()
        {
            return;
        }
        *count_of(&mut self.dropped, lane) += lines;
    }

    /// What was dropped since the last report.
    pub(super) const fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The same, which is reported now.
    pub(super) fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Adds what could not be reported.
    pub(super) fn add_dropped(&mut self, dropped: &Dropped) {
        let mut dropped = *dropped;
        for lane in Lane::ALL {
            *count_of(&mut self.dropped, lane) += *count_of(&mut dropped, lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{EventKind, EventOutcome, EventSource};
    use totp_core::Time;

    fn refused(user: &str, rhost: Option<&str>, caller_uid: Option<u32>) -> Line {
        let from = EventSource {
            rhost: rhost.map(str::to_owned),
            caller_uid,
            peer_uid: Some(0),
            ..EventSource::default()
        };
        let event = Event {
            outcome: EventOutcome::Refused,
            ..Event::new(EventKind::Login, user, Time::default(), from)
        };
        Line::event(event)
    }

    fn granted(user: &str) -> Line {
        let Line::Event(event) = refused(user, None, None) else { unreachable!("it is an event") };
        Line::Event(Box::new(Event { outcome: EventOutcome::Granted, ..*event }))
    }

    /// Users of the lines, in their order, and how many each line stands for.
    fn drain(queue: &mut Queue) -> Vec<(String, u64)> {
        std::iter::from_fn(|| queue.pop())
            .map(|(line, repeated)| match line {
                Line::Event(event) => (event.user, repeated),
                Line::Message(_, text) => (text, repeated),
            })
            .collect()
    }

    #[test]
    fn lines_come_out_in_their_order_and_whole() {
        let mut queue = Queue::default();
        for number in 0..500 {
            queue.push(refused(&format!("u{number}"), Some("192.0.2.1"), None));
            queue.push(granted("alice"));
        }
        let lines = drain(&mut queue);
        assert_eq!(lines.len(), 1_000);
        assert_eq!((lines[0].0.as_str(), lines[998].0.as_str()), ("u0", "u499"));
        assert!(lines.iter().all(|(_, repeated)| *repeated == 0));
        assert_eq!(queue.take_dropped(), Dropped::default());
        assert!(queue.sources.is_empty());
    }

    #[test]
    fn a_flood_from_one_address_leaves_room_for_others() {
        let mut queue = Queue::default();
        for number in 0..10_000 {
            queue.push(refused(&format!("u{number}"), Some("192.0.2.1"), None));
        }
        for host in 0..60 {
            for _ in 0..10 {
                queue.push(refused("alice", Some(&format!("198.51.100.{host}")), None));
            }
        }
        queue.push(granted("alice"));
        let lines = drain(&mut queue);
        let of_alice = lines.iter().filter(|(user, _)| user == "alice").count();
        assert!(of_alice > 60 * FEWEST, "{of_alice}");
        assert_eq!(lines.last().map(|(user, _)| user.as_str()), Some("alice"));
        let stands_for = |lines: &[(String, u64)]| lines.iter().map(|(_, r)| 1 + r).sum::<u64>();
        let dropped = queue.take_dropped();
        assert_eq!(stands_for(&lines) + dropped.total(), 10_601);
        assert_eq!((dropped.sources, dropped.grants), (dropped.total(), 0));
    }

    #[test]
    fn local_users_drop_no_lines_but_their_own() {
        let mut queue = Queue::default();
        for number in 0..10_000 {
            queue.push(refused(&format!("u{number}"), None, Some(7102)));
        }
        queue.push(refused("bob", Some("192.0.2.1"), None));
        queue.push(refused("carol", None, Some(7101)));
        queue.push(granted("alice"));
        let lines = drain(&mut queue);
        let last: Vec<&str> = lines.iter().rev().take(3).map(|(user, _)| user.as_str()).collect();
        assert_eq!(last, ["alice", "carol", "bob"]);
        assert_eq!(queue.take_dropped().local, 10_003 - u64::try_from(lines.len()).unwrap());
    }

    #[test]
    fn what_repeats_itself_is_one_line_that_says_how_often() {
        let mut queue = Queue::default();
        for _ in 0..5_000 {
            queue.push(refused("alice", Some("192.0.2.1"), None));
        }
        let lines = drain(&mut queue);
        assert_eq!(lines.iter().map(|(_, repeated)| 1 + repeated).sum::<u64>(), 5_000);
        assert_eq!(queue.take_dropped(), Dropped::default());
    }

    #[test]
    fn the_report_of_dropped_lines_is_not_reported_itself() {
        let mut queue = Queue::default();
        let report = Event {
            dropped: Some(Dropped::one_of_each()),
            ..Event::new(EventKind::LogDropped, "", Time::default(), EventSource::default())
        };
        queue.push(Line::event(report));
        queue.push(granted("alice"));
        queue.drop_all();
        assert_eq!(queue.take_dropped(), Dropped { grants: 1, ..Dropped::default() });
        assert!(queue.is_empty());
    }
}
