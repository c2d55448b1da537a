//! Whether a code could be verified now, at a cost that does not grow with the number of strangers
//! who ask.

use crate::engine::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long one check of the store answers all requests, however many strangers ask.
const FRESH: Duration = Duration::from_secs(1);
/// How long the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of the last check. One check runs at a time, and requests that come meanwhile wait
/// for its result.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Arc<Mutex<Option<(Instant, bool)>>>);

impl Readiness {
    /// Whether the engine could verify a code within the last second. `None`: the daemon refuses
    /// everybody.
    pub(crate) async fn check(&self, engine: Option<Arc<Engine>>) -> bool {
        let Some(engine) = engine else { return false };
        self.fresh_or(async move { engine.is_ready().await }).await
    }

    async fn fresh_or(&self, check: impl Future<Output = bool> + Send + 'static) -> bool {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some((at, is_ready)) = *last
            && at.elapsed() < FRESH
        {
            return is_ready;
        }
        // A task, since a client that hangs up must not end it: the next one would check again.
        let task = tokio::spawn(async move {
            let is_ready = tokio::time::timeout(STORE_TIMEOUT, check).await.unwrap_or(false);
            *last = Some((Instant::now(), is_ready));
            is_ready
        });
        task.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn many_requests_cost_one_check_a_second() {
        let (readiness, checks) = (Readiness::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let checks = Arc::clone(&checks);
            readiness.fresh_or(async move {
                checks.fetch_add(1, Ordering::SeqCst);
                true
            })
        };
        for _ in 0..1_000 {
            assert!(ask().await);
        }
        assert_eq!(checks.load(Ordering::SeqCst), 1);
        tokio::time::advance(FRESH).await;
        assert!(ask().await);
        assert_eq!(checks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_not_ready_and_is_asked_once() {
        let (readiness, checks) = (Readiness::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let checks = Arc::clone(&checks);
            readiness.fresh_or(async move {
                checks.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            })
        };
        let start = Instant::now();
        // Clients that hang up.
        for _ in 0..100 {
            assert!(tokio::time::timeout(Duration::from_millis(1), ask()).await.is_err());
        }
        let answers = tokio::join!(ask(), ask(), ask(), ask());
        assert_eq!(answers, (false, false, false, false));
        assert_eq!(checks.load(Ordering::SeqCst), 1);
        assert!(start.elapsed() <= STORE_TIMEOUT + Duration::from_millis(2), "{:?}", start.elapsed());
    }
}
