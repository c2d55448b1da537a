//! The limits of one client: requests a minute, concurrent requests, and concurrent large
//! responses. A request ends when its response is sent.

use crate::http::server::connection_limits::RequestGuard;
use crate::http::v1::error::ApiError;
use crate::http::v1::rate_limit::Quota;
use crate::sync::ignore_poison;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const WINDOW: Duration = Duration::from_mins(1);
/// Refused credentials that are logged a minute.
const MAX_LOGGED_REFUSALS: u32 = 60;
/// Concurrent requests of one client.
const MAX_CONCURRENT: usize = 256;
/// Those of them whose responses may be large.
const MAX_CONCURRENT_LARGE: usize = 4;
/// Seconds after which a client with too many concurrent requests may try again: one of them may
/// have ended by then.
const RETRY_AFTER_SECONDS: u64 = 1;
/// How long a request waits for a permit for a large response.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The limits of every client.
#[derive(Debug, Default)]
pub(crate) struct ClientLimits {
    /// Grows with the number of clients that an administrator has ever added.
    clients: Mutex<HashMap<String, ClientLimit>>,
}

#[derive(Debug)]
struct ClientLimit {
    /// When the current minute began.
    since: Option<Instant>,
    /// Requests in that minute.
    requests: u32,
    concurrent: Arc<Semaphore>,
    concurrent_large: Arc<Semaphore>,
}

impl Default for ClientLimit {
    fn default() -> Self {
        Self {
            since: None,
            requests: 0,
            concurrent: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            concurrent_large: Arc::new(Semaphore::new(MAX_CONCURRENT_LARGE)),
        }
    }
}

/// The permit of one of the concurrent requests.
pub(crate) type RequestPermit = OwnedSemaphorePermit;

impl ClientLimits {
    /// Counts a request, and refuses it over `per_minute` requests a minute or [`MAX_CONCURRENT`]
    /// at once.
    /// The quota says what is left after it.
    pub(crate) fn permit_request(
        &self,
        client: &str,
        per_minute: u32,
    ) -> (Result<RequestPermit, ApiError>, Quota) {
        let counted = self.count(client, per_minute, Instant::now());
        let concurrent = self.with(client, |limit| Arc::clone(&limit.concurrent));
        let permit = if counted.is_within {
            let permit = Arc::clone(&concurrent).try_acquire_owned();
            permit.map_err(|_| too_many_requests().retry_after(RETRY_AFTER_SECONDS))
        } else {
            Err(too_many_requests().retry_after(counted.reset_seconds()))
        };
        let quota = Quota {
            per_minute,
            remaining: counted.remaining,
            reset_seconds: counted.reset_seconds(),
            max_concurrent: MAX_CONCURRENT,
            concurrent_remaining: concurrent.available_permits(),
        };
        (permit, quota)
    }

    /// Waits for a permit for a large response, at most [`PERMIT_TIMEOUT`].
    pub(crate) async fn permit_large_response(&self, client: &str) -> Result<LargeResponsePermit, ApiError> {
        let permit = self.with(client, |limit| Arc::clone(&limit.concurrent_large)).acquire_owned();
        match tokio::time::timeout(PERMIT_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(LargeResponsePermit(Arc::new(permit))),
            // Too late; the semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(too_many_requests().retry_after(RETRY_AFTER_SECONDS)),
        }
    }

    /// Whether one more refusal of credentials may be logged this minute.
    pub(crate) fn may_log_refusal(&self) -> bool {
        // The empty name belongs to no client.
        self.count("", MAX_LOGGED_REFUSALS, Instant::now()).is_within
    }

    /// Counts a request.
    fn count(&self, client: &str, per_minute: u32, now: Instant) -> Counted {
        self.with(client, |limit| {
            let since = match limit.since {
                Some(since) if now.saturating_duration_since(since) < WINDOW => since,
                _ => {
                    (limit.since, limit.requests) = (Some(now), 0);
                    now
                }
            };
            limit.requests = limit.requests.saturating_add(1);
            Counted {
                is_within: limit.requests <= per_minute,
                remaining: per_minute.saturating_sub(limit.requests),
                reset: WINDOW.saturating_sub(now.saturating_duration_since(since)),
            }
        })
    }

    fn with<T>(&self, client: &str, f: impl FnOnce(&mut ClientLimit) -> T) -> T {
        // No code panics while it holds this lock.
        let mut clients = ignore_poison(self.clients.lock());
        f(clients.entry(client.to_owned()).or_default())
    }
}

/// A counted request.
struct Counted {
    /// Whether it is within the limit.
    is_within: bool,
    /// The requests left in this minute.
    remaining: u32,
    /// The time until the client's next minute.
    reset: Duration,
}

impl Counted {
    /// Rounds up, so that the time has passed after as many seconds.
    fn reset_seconds(&self) -> u64 {
        self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0)
    }
}

fn too_many_requests() -> ApiError {
    let message = "Too many requests have been made, or are being made at once.";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
}

/// What a request holds until its response is sent. It is an extension of the response.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    #[expect(dead_code, reason = "released on drop")]
    permit: Arc<RequestPermit>,
    guard: Option<Arc<RequestGuard>>,
}

/// The permit of one of the concurrent large responses. It is an extension of the response.
#[derive(Clone, Debug)]
pub(crate) struct LargeResponsePermit(#[expect(dead_code, reason = "released on drop")] Arc<RequestPermit>);

impl InFlight {
    /// What an authenticated request holds.
    pub(crate) fn new(permit: RequestPermit, guard: Option<RequestGuard>) -> Self {
        Self { permit: Arc::new(permit), guard: guard.map(Arc::new) }
    }
}

/// The bytes of a response, and what is released when they are sent.
#[expect(dead_code, reason = "released on drop")]
struct BodyWithPermits(Bytes, InFlight, Option<LargeResponsePermit>);

impl AsRef<[u8]> for BodyWithPermits {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Moves what the request holds into the body of its response, which is dropped when its bytes are
/// sent.
pub(crate) async fn hold_until_sent(
    mut response: Response,
    in_flight: InFlight,
) -> Result<Response, axum::Error> {
    let large = response.extensions_mut().remove::<LargeResponsePermit>();
    let (parts, body) = response.into_parts();
    // Every response is in memory: this does not wait.
    let bytes = axum::body::to_bytes(body, usize::MAX).await?;
    if let Some(guard) = &in_flight.guard {
        guard.response_started(bytes.len());
    }
    let body = BodyWithPermits(bytes, in_flight, large);
    Ok(Response::from_parts(parts, Body::from(Bytes::from_owner(body))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_minute() {
        let (limits, start) = (ClientLimits::default(), Instant::now());
        assert_eq!((0..10).filter(|_| limits.count("a", 3, start).is_within).count(), 3);
        let other = limits.count("b", 3, start);
        assert_eq!((other.is_within, other.remaining, other.reset_seconds()), (true, 2, 60));
        let late = limits.count("a", 3, start + Duration::from_millis(58_500));
        assert_eq!((late.is_within, late.remaining, late.reset_seconds()), (false, 0, 2));
        assert_eq!((0..10).filter(|_| limits.count("a", 3, start + WINDOW).is_within).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_holds_its_permits_until_it_is_sent() {
        let limits = ClientLimits::default();
        let response = || Response::new(Body::from("{}"));
        let permit = |client: &str| limits.permit_request(client, u32::MAX).0;
        let in_flight = || InFlight::new(permit("a").unwrap(), None);
        let mut responses = Vec::new();
        for _ in 0..MAX_CONCURRENT {
            responses.push(hold_until_sent(response(), in_flight()).await.unwrap());
        }
        let refused = too_many_requests().retry_after(RETRY_AFTER_SECONDS);
        assert_eq!(permit("a").unwrap_err(), refused);
        assert!(permit("b").is_ok());
        let bytes = axum::body::to_bytes(responses.pop().unwrap().into_body(), 9).await.unwrap();
        assert!(permit("a").is_err());
        drop(bytes);
        assert!(permit("a").is_ok());
        responses.clear();

        let mut large = Vec::new();
        for _ in 0..MAX_CONCURRENT_LARGE {
            let mut response = response();
            response.extensions_mut().insert(limits.permit_large_response("a").await.unwrap());
            large.push(hold_until_sent(response, in_flight()).await.unwrap());
        }
        assert_eq!(limits.permit_large_response("a").await.unwrap_err(), refused);
        large.pop();
        assert!(limits.permit_large_response("a").await.is_ok());
    }
}
