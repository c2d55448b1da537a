//! The number of requests in flight on a connection, so that an idle HTTP/2 connection can be
//! closed.

use crate::sync::ignore_poison;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Counts the requests in flight on one connection, and remembers when the count last changed.
#[derive(Clone, Debug)]
pub(crate) struct InFlightCounter(Arc<Mutex<(usize, Instant)>>);

impl Default for InFlightCounter {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((0, Instant::now()))))
    }
}

/// One counted request. It ends on drop, so also when the client cancels it.
struct CountedRequest(InFlightCounter);

impl Drop for CountedRequest {
    fn drop(&mut self) {
        self.0.update(|count| count.saturating_sub(1));
    }
}

impl InFlightCounter {
    /// Wraps the application so that its requests are counted.
    pub(crate) fn count_requests(&self, app: Router) -> Router {
        let count = |State(counter): State<Self>, request: Request, next: Next| async move {
            counter.update(|count| count + 1);
            let counted = CountedRequest(counter);
            let response: Response = next.run(request).await;
            drop(counted);
            response
        };
        app.layer(from_fn_with_state(self.clone(), count))
    }

    /// Waits until no request has been in flight for `time`.
    pub(crate) async fn idle_for(&self, time: Duration) {
        loop {
            let (count, since) = *self.lock();
            let until = if count == 0 { since + time } else { Instant::now() + time };
            if count == 0 && Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn update(&self, update: impl FnOnce(usize) -> usize) {
        let mut state = self.lock();
        *state = (update(state.0), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, (usize, Instant)> {
        ignore_poison(self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_after_its_time_without_a_request() {
        let (counter, start) = (InFlightCounter::default(), Instant::now());
        let minute = Duration::from_mins(1);
        counter.update(|count| count + 1);
        assert!(tokio::time::timeout(10 * minute, counter.idle_for(minute)).await.is_err());
        drop(CountedRequest(counter.clone()));
        counter.idle_for(minute).await;
        assert!(start.elapsed() >= 11 * minute && start.elapsed() < 13 * minute);
    }
}
