//! Waits that end at their time to the fraction of a millisecond.
//!
//! tokio sleeps for whole milliseconds, counted from the moment at which its thread fell asleep. A
//! refusal that slept by it told by the fraction of a millisecond how long its commit had taken,
//! and so its cause (docs/explanation/benchmarks.md, "Does the time tell why"). A thread that waits
//! on a condition variable sleeps by a timer of the kernel, without rounding.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;
use tokio::sync::oneshot;

/// The queue of the thread; `None` if the thread could not be started.
static SLEEPER: OnceLock<Option<Sender<Sleep>>> = OnceLock::new();

/// Somebody who is woken at a time. The earliest is the greatest, for the heap.
#[derive(Debug)]
struct Sleep {
    until: Instant,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleep {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Sleep {}

impl PartialOrd for Sleep {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleep {
    fn cmp(&self, other: &Self) -> Ordering {
        other.until.cmp(&self.until)
    }
}

/// Returns at `until`; by tokio's clock where the system has no thread left.
pub(crate) async fn sleep_until(until: Instant) {
    let (wake, woken) = oneshot::channel();
    let sent = sleeper().is_some_and(|sleeper| sleeper.send(Sleep { until, wake }).is_ok());
    if !sent || woken.await.is_err() {
        tokio::time::sleep_until(until.into()).await;
    }
}

fn sleeper() -> Option<&'static Sender<Sleep>> {
    let start = || {
        let (sender, sleeps) = channel();
        let thread = std::thread::Builder::new().name("refusals".into()).spawn(move || run(&sleeps));
        thread.is_ok().then_some(sender)
    };
    SLEEPER.get_or_init(start).as_ref()
}

fn run(sleeps: &Receiver<Sleep>) {
    let mut waiting: BinaryHeap<Sleep> = BinaryHeap::new();
    loop {
        let next = match waiting.peek() {
            None => sleeps.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(first) => sleeps.recv_timeout(first.until.saturating_duration_since(Instant::now())),
        };
        match next {
            Ok(sleep) => waiting.push(sleep),
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                while waiting.peek().is_some_and(|first| first.until <= now) {
                    // It may have been given up meanwhile.
                    let _ = waiting.pop().map(|due| due.wake.send(()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn each_sleeper_wakes_and_never_early() {
        let start = Instant::now();
        let asleep = [30, 5, 20, 0].map(|ms| async move {
            let until = start + Duration::from_millis(ms);
            sleep_until(until).await;
            assert!(Instant::now() >= until, "{ms}");
        });
        assert_eq!(futures_util::future::join_all(asleep).await.len(), 4);
    }

    #[tokio::test]
    async fn a_sleep_that_is_given_up_wakes_nobody_else() {
        let until = Instant::now() + Duration::from_millis(5);
        drop(tokio::time::timeout(Duration::ZERO, sleep_until(until)).await);
        sleep_until(until + Duration::from_millis(1)).await;
        assert!(Instant::now() > until);
    }
}
