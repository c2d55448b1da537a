//! Runs the threads around a commit guard in every order, with every value that the memory model
//! allows them to see.

/// Stands in for the daemon's module `atomic`, which the module under test uses.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering};
}
#[expect(unreachable_pub, dead_code, reason = "the daemon has more uses for it")]
#[path = "../src/store/commit_guard.rs"]
mod commit_guard;

use commit_guard::CommitGuard;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::time::{Duration, Instant};

/// A commit guard, and a record that only its holder may touch. loom fails if two threads touch it
/// without an order between them.
struct Work {
    guard: CommitGuard,
    record: UnsafeCell<u32>,
}

impl Work {
    fn new() -> Arc<Self> {
        let deadline = Instant::now() + Duration::from_hours(1);
        Arc::new(Self { guard: CommitGuard::new(deadline), record: UnsafeCell::new(0) })
    }

    /// Touches the record.
    fn act(&self) {
        self.record.with_mut(|_| ());
    }

    fn claim(&self) -> bool {
        let claimed = self.guard.claim();
        if claimed {
            self.act();
        }
        claimed
    }

    fn give_up(&self) -> bool {
        let dropped = self.guard.cancel();
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
                    work.guard.release();
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
