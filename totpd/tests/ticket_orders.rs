//! Every order in which the threads around a ticket can run, with every value that the memory model allows them to see.

/// What the module under test finds beside itself in the daemon.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering};
}
#[expect(unreachable_pub, dead_code, reason = "the daemon has more uses for it")]
#[path = "../src/store/commit_guard.rs"]
mod ticket;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::time::{Duration, Instant};
use ticket::CommitGuard;

/// A ticket, and what belongs to whoever may act on it. loom fails when two touch it without an order between them.
struct Work {
    ticket: CommitGuard,
    record: UnsafeCell<u32>,
}

impl Work {
    fn new() -> Arc<Self> {
        let deadline = Instant::now() + Duration::from_hours(1);
        Arc::new(Self { ticket: CommitGuard::new(deadline), record: UnsafeCell::new(0) })
    }

    /// Touches the record.
    fn act(&self) {
        self.record.with_mut(|_| ());
    }

    fn claim(&self) -> bool {
        let claimed = self.ticket.claim();
        if claimed {
            self.act();
        }
        claimed
    }

    fn give_up(&self) -> bool {
        let dropped = self.ticket.cancel();
        if dropped {
            self.act();
        }
        dropped
    }
}

#[test]
fn in_every_order_work_is_begun_or_dropped_and_never_both() {
    loom::model(|| {
        let work = Work::new();
        let writer = {
            let work = Arc::clone(&work);
            thread::spawn(move || work.claim())
        };
        let dropped = work.give_up();
        let begun = writer.join().unwrap();
        assert!(begun != dropped, "begun: {begun}, dropped: {dropped}");
    });
}

#[test]
fn in_every_order_released_work_can_be_dropped_or_begun_again() {
    loom::model(|| {
        let work = Work::new();
        let writer = {
            let work = Arc::clone(&work);
            thread::spawn(move || {
                // It begins, has to take everything back, and begins again.
                let first = work.claim();
                if first {
                    work.ticket.release();
                }
                (first, work.claim())
            })
        };
        let dropped = work.give_up();
        let (_, begun) = writer.join().unwrap();
        assert!(begun != dropped, "begun: {begun}, dropped: {dropped}");
    });
}

#[test]
fn in_every_order_a_second_claim_of_the_writer_is_the_first() {
    loom::model(|| {
        let work = Work::new();
        let client = {
            let work = Arc::clone(&work);
            thread::spawn(move || work.give_up())
        };
        let (first, second) = (work.claim(), work.claim());
        let dropped = client.join().unwrap();
        assert!(first == second && first != dropped, "{first} {second} {dropped}");
    });
}
