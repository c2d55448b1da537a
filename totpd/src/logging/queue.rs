//! The queue of lines that wait to be written. It is bounded by lane and, when a lane is half full,
//! also by source.

use super::lane::{Lane, lane, source};
use crate::audit::{Dropped, Event};
use std::collections::{HashMap, VecDeque};
use tracing::Level;

/// How many lines of one source can wait in a lane that is at least half full.
const PER_SOURCE_HALF_FULL: usize = 16;
/// How many lines of one source can wait in a lane that is at least three quarters full. fail2ban
/// needs five lines of an address (config/fail2ban/jail.d).
const PER_SOURCE_NEARLY_FULL: usize = 5;

/// A line of the log.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// An audit event.
    Event(Box<Event>),
    /// A message of the daemon or of a library.
    Message(Level, String),
}

impl Line {
    /// Returns the line of an audit event.
    pub(super) fn event(event: Event) -> Self {
        Self::Event(Box::new(event))
    }

    /// Returns the line of a message.
    pub(super) const fn message(level: Level, text: String) -> Self {
        Self::Message(level, text)
    }

    /// Returns the lane and the source of the line.
    fn lane_and_source(&self) -> (Lane, String) {
        match self {
            Self::Event(event) => {
                let lane = lane(event);
                (lane, source(lane, event))
            }
            Self::Message(_, text) => (Lane::Daemon, text.clone()),
        }
    }

    /// Returns whether `other` repeats this line: the same event by the same user and source, or
    /// the same message.
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

/// A line that waits to be written.
#[derive(Debug)]
struct QueuedLine {
    lane: Lane,
    source: String,
    line: Line,
    /// How many repetitions of the line were left out.
    repeated: u64,
}

/// The waiting lines of one source.
#[derive(Debug, Default)]
struct SourceLines {
    /// How many lines wait.
    count: usize,
    /// The number of the latest one.
    latest: u64,
}

/// Returns the counter of a lane.
const fn count_of(dropped: &mut Dropped, lane: Lane) -> &mut u64 {
    match lane {
        Lane::Grants => &mut dropped.grants,
        Lane::Sources => &mut dropped.sources,
        Lane::Applications => &mut dropped.applications,
        Lane::Local => &mut dropped.local,
        Lane::Daemon => &mut dropped.daemon,
    }
}

/// The lines that wait, in the order in which they will be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<QueuedLine>,
    /// The number of the first line that waits. The lines are numbered consecutively.
    first: u64,
    /// How many lines wait in each lane.
    lanes: HashMap<Lane, usize>,
    sources: HashMap<(Lane, String), SourceLines>,
    /// How many lines were dropped since [`Queue::take_dropped`].
    dropped: Dropped,
}

impl Queue {
    /// Returns whether no line waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns how many lines wait.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }

    /// Adds a line. If its lane or source has no room, the line is counted as a repetition of the
    /// source's latest line, or else as dropped.
    pub(super) fn push(&mut self, line: Line) {
        let (lane, source) = line.lane_and_source();
        let number = self.first + self.len();
        let in_lane = self.lanes.entry(lane).or_default();
        let key = (lane, source);
        let of_source = self.sources.entry(key.clone()).or_default();
        let limit = match *in_lane {
            used if used < lane.capacity() / 2 => lane.capacity(),
            // Nobody can flood the log with grants: each takes a code, or an administrator.
            used if used < lane.capacity() && lane == Lane::Grants => lane.capacity(),
            used if used < lane.capacity() / 4 * 3 => PER_SOURCE_HALF_FULL,
            used if used < lane.capacity() => PER_SOURCE_NEARLY_FULL,
            _ => 0,
        };
        if of_source.count < limit {
            *in_lane += 1;
            *of_source = SourceLines { count: of_source.count + 1, latest: number };
            self.lines.push_back(QueuedLine { lane, source: key.1, line, repeated: 0 });
            return;
        }
        let index = of_source.latest.checked_sub(self.first).filter(|_| of_source.count > 0);
        if of_source.count == 0 {
            self.sources.remove(&key);
        }
        let latest = index.and_then(|index| self.lines.get_mut(usize::try_from(index).ok()?));
        match latest {
            Some(latest) if latest.line.repeats(&line) => latest.repeated += 1,
            _ => self.count_dropped(lane, 1, &line),
        }
    }

    /// Removes the next line to write, and returns it with the number of its repetitions that were
    /// left out.
    pub(super) fn pop(&mut self) -> Option<(Line, u64)> {
        let QueuedLine { lane, source, line, repeated } = self.lines.pop_front()?;
        self.first += 1;
        if let Some(count) = self.lanes.get_mut(&lane) {
            *count -= 1;
        }
        let key = (lane, source);
        if let Some(of_source) = self.sources.get_mut(&key) {
            of_source.count -= 1;
            if of_source.count == 0 {
                self.sources.remove(&key);
            }
        }
        Some((line, repeated))
    }

    /// Counts a line that could not be written as dropped, with its repetitions.
    pub(super) fn not_written(&mut self, line: &Line, repeated: u64) {
        self.count_dropped(line.lane_and_source().0, 1 + repeated, line);
    }

    /// Drops every line that waits.
    pub(super) fn drop_all(&mut self) {
        while let Some((line, repeated)) = self.pop() {
            self.not_written(&line, repeated);
        }
    }

    const fn count_dropped(&mut self, lane: Lane, lines: u64, line: &Line) {
        // A report of dropped lines is not counted: its row in the history has the numbers.
        if let Line::Event(event) = line
            && event.dropped.is_some()
        {
            return;
        }
        *count_of(&mut self.dropped, lane) += lines;
    }

    /// Returns how many lines were dropped since [`Self::take_dropped`].
    pub(super) const fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// Returns how many lines were dropped, and resets the counters.
    pub(super) fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Adds counts that could not be reported to the counters.
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

    /// Returns the user of each line, in their order, and how many repetitions it stands for.
    fn drain(queue: &mut Queue) -> Vec<(String, u64)> {
        std::iter::from_fn(|| queue.pop())
            .map(|(line, repeated)| match line {
                Line::Event(event) => (event.user, repeated),
                Line::Message(_, text) => (text, repeated),
            })
            .collect()
    }

    #[test]
    fn lines_are_written_in_order_and_none_is_lost() {
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
        assert!(of_alice > 60 * PER_SOURCE_NEARLY_FULL, "{of_alice}");
        assert_eq!(lines.last().map(|(user, _)| user.as_str()), Some("alice"));
        let stands_for = |lines: &[(String, u64)]| lines.iter().map(|(_, r)| 1 + r).sum::<u64>();
        let dropped = queue.take_dropped();
        assert_eq!(stands_for(&lines) + dropped.total(), 10_601);
        assert_eq!((dropped.sources, dropped.grants), (dropped.total(), 0));
    }

    #[test]
    fn a_local_user_can_displace_only_their_own_lines() {
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
    fn repeated_lines_become_one_line_with_a_count() {
        let mut queue = Queue::default();
        for _ in 0..5_000 {
            queue.push(refused("alice", Some("192.0.2.1"), None));
        }
        let lines = drain(&mut queue);
        assert_eq!(lines.iter().map(|(_, repeated)| 1 + repeated).sum::<u64>(), 5_000);
        assert_eq!(queue.take_dropped(), Dropped::default());
    }

    #[test]
    fn a_report_of_dropped_lines_is_not_counted_as_dropped() {
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
