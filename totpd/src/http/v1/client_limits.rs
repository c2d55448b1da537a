//! How much one client may ask for: so many requests in each minute, counted from its first; so many at once; and few
//! large answers at once. A request is over when its answer has left.

use crate::http::server::connection_limits::RequestGuard;
use crate::http::v1::error::ApiError;
use crate::sync::ignore_poison;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const WINDOW: Duration = Duration::from_mins(1);
/// Refused credentials that are logged in a minute; more is noise.
const LOGGED: u32 = 60;
/// Requests of one client at once.
const AT_ONCE: usize = 256;
/// Those of them whose answers may be large.
const LARGE: usize = 4;
/// Seconds after which a client that has too many requests at once may try again: one of them may be over by then.
const SOON: u64 = 1;
/// How long a request for a large answer waits for those before it.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// What each client has asked for.
#[derive(Debug, Default)]
pub(crate) struct ClientLimits {
    /// As many as clients were ever named.
    clients: Mutex<HashMap<String, ClientLimit>>,
}

#[derive(Debug)]
struct ClientLimit {
    /// When its minute began.
    since: Option<Instant>,
    requests: u32,
    at_once: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for ClientLimit {
    fn default() -> Self {
        let (at_once, large) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(LARGE)));
        Self { since: None, requests: 0, at_once, large }
    }
}

/// One request among those at once.
pub(crate) type RequestPermit = OwnedSemaphorePermit;

impl ClientLimits {
    /// One more of `most` requests a minute, unless there are too many.
    pub(crate) fn allow(&self, client: &str, most: u32) -> Result<RequestPermit, ApiError> {
        self.allows_at(client, most, Instant::now()).map_err(|left| too_many().after(seconds(left)))?;
        let turn = self.of(client, |share| Arc::clone(&share.at_once)).try_acquire_owned();
        turn.map_err(|_| too_many().after(SOON))
    }

    /// Waits until the client may have one more large answer.
    pub(crate) async fn large(&self, client: &str) -> Result<LargeResponsePermit, ApiError> {
        let turn = self.of(client, |share| Arc::clone(&share.large)).acquire_owned();
        let turn = tokio::time::timeout(PERMIT_TIMEOUT, turn).await;
        turn.ok()
            .and_then(Result::ok)
            .map(|turn| LargeResponsePermit(Arc::new(turn)))
            .ok_or_else(|| too_many().after(SOON))
    }

    /// Whether one more refusal of credentials is worth a line.
    pub(crate) fn may_log(&self) -> bool {
        // No client's name is empty.
        self.allows_at("", LOGGED, Instant::now()).is_ok()
    }

    /// Counts one more request, or says how long its minute still takes.
    fn allows_at(&self, client: &str, most: u32, now: Instant) -> Result<(), Duration> {
        self.of(client, |share| {
            if share.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
                (share.since, share.requests) = (Some(now), 0);
            }
            share.requests = share.requests.saturating_add(1);
            let elapsed = share.since.map_or(WINDOW, |since| now.saturating_duration_since(since));
            if share.requests <= most { Ok(()) } else { Err(WINDOW.saturating_sub(elapsed)) }
        })
    }

    fn of<T>(&self, client: &str, look: impl FnOnce(&mut ClientLimit) -> T) -> T {
        // Nothing panics while it is held.
        let mut clients = ignore_poison(self.clients.lock());
        look(clients.entry(client.to_owned()).or_default())
    }
}

/// Whole seconds, so that the time is over after them.
fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

fn too_many() -> ApiError {
    let message = "Too many requests have been made, or are being made at once.";
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
}

/// What a request holds until its answer has left; it goes with the answer, as an extension.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    #[expect(dead_code, reason = "held for its end")]
    turn: Arc<RequestPermit>,
    visit: Option<Arc<RequestGuard>>,
}

/// The turn of a large answer; it goes the same way.
#[derive(Clone, Debug)]
pub(crate) struct LargeResponsePermit(#[expect(dead_code, reason = "held for its end")] Arc<RequestPermit>);

impl InFlight {
    pub(crate) fn new(turn: RequestPermit, visit: Option<RequestGuard>) -> Self {
        Self { turn: Arc::new(turn), visit: visit.map(Arc::new) }
    }
}

/// Bytes of an answer, and what is held until they are gone.
#[expect(dead_code, reason = "held for its end")]
struct BodyWithPermits(Bytes, InFlight, Option<LargeResponsePermit>);

impl AsRef<[u8]> for BodyWithPermits {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The answer as it leaves: it holds what came with it until its bytes are gone.
pub(crate) async fn holding(mut answer: Response, underway: InFlight) -> Response {
    let large = answer.extensions_mut().remove::<LargeResponsePermit>();
    let (parts, body) = answer.into_parts();
    // Answers are whole in memory: there is nothing to wait for, and nothing that fails.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    if let Some(visit) = &underway.visit {
        visit.response_started(bytes.len());
    }
    Response::from_parts(parts, Body::from(Bytes::from_owner(BodyWithPermits(bytes, underway, large))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_minute() {
        let (shares, start) = (ClientLimits::default(), Instant::now());
        assert_eq!((0..10).filter(|_| shares.allows_at("a", 3, start).is_ok()).count(), 3);
        assert!(shares.allows_at("b", 3, start).is_ok());
        let late = shares.allows_at("a", 3, start + Duration::from_millis(58_500)).unwrap_err();
        assert_eq!(seconds(late), 2);
        assert_eq!((0..10).filter(|_| shares.allows_at("a", 3, start + WINDOW).is_ok()).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_its_place_until_its_bytes_are_gone() {
        let shares = ClientLimits::default();
        let mut answers = Vec::new();
        for _ in 0..AT_ONCE {
            let turn = shares.allow("a", u32::MAX).unwrap();
            answers.push(holding(Response::new(Body::from("{}")), InFlight::new(turn, None)).await);
        }
        assert_eq!(shares.allow("a", u32::MAX).unwrap_err(), too_many().after(SOON));
        assert!(shares.allow("b", u32::MAX).is_ok());
        let bytes = axum::body::to_bytes(answers.pop().unwrap().into_body(), 9).await.unwrap();
        assert!(shares.allow("a", u32::MAX).is_err());
        drop(bytes);
        assert!(shares.allow("a", u32::MAX).is_ok());
        answers.clear();

        let mut large = Vec::new();
        for _ in 0..LARGE {
            let mut answer = Response::new(Body::from("{}"));
            answer.extensions_mut().insert(shares.large("a").await.unwrap());
            large.push(holding(answer, InFlight::new(shares.allow("a", u32::MAX).unwrap(), None)).await);
        }
        assert_eq!(shares.large("a").await.unwrap_err(), too_many().after(SOON));
        large.pop();
        assert!(shares.large("a").await.is_ok());
    }
}
