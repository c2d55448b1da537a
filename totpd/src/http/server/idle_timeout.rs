//! Whether anybody is being answered on a connection, so that one without a request can be closed.

use crate::sync::ignore_poison;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Requests that are being answered, and when that last changed.
#[derive(Clone, Debug)]
pub(crate) struct InFlightCounter(Arc<Mutex<(usize, Instant)>>);

impl Default for InFlightCounter {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((0, Instant::now()))))
    }
}

/// One request; over when dropped, also when it was given up.
struct Answering(InFlightCounter);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(|count| count.saturating_sub(1));
    }
}

impl InFlightCounter {
    /// The same application, watched.
    pub(crate) fn watching(&self, app: Router) -> Router {
        let watch = |State(busy): State<Self>, request: Request, next: Next| async move {
            busy.change(|count| count + 1);
            let answering = Answering(busy);
            let response: Response = next.run(request).await;
            drop(answering);
            response
        };
        app.layer(from_fn_with_state(self.clone(), watch))
    }

    /// Ends when nobody was answered for so long.
    pub(crate) async fn idle_for(&self, time: Duration) {
        loop {
            let (count, since) = *ignore_poison(self.0.lock());
            let until = if count == 0 { since + time } else { Instant::now() + time };
            if count == 0 && Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn change(&self, by: impl FnOnce(usize) -> usize) {
        let mut held = ignore_poison(self.0.lock());
        *held = (by(held.0), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_after_its_time_without_a_request() {
        let (busy, start) = (InFlightCounter::default(), Instant::now());
        let minute = Duration::from_mins(1);
        busy.change(|count| count + 1);
        assert!(tokio::time::timeout(10 * minute, busy.idle_for(minute)).await.is_err());
        drop(Answering(busy.clone()));
        busy.idle_for(minute).await;
        assert!(start.elapsed() >= 11 * minute && start.elapsed() < 13 * minute);
    }
}
