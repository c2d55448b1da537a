//! The id of a request, which stands in its response and in its audit event, and the layer that
//! assigns it.

use crate::http::v1::base_url;
use crate::http::v1::client_limits::{InFlight, hold_until_sent};
use crate::http::v1::error::ApiError;
use crate::http::v1::rate_limit::Quota;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use totp_core::random;

/// The id in an error response when the kernel has no random bytes for another one.
const NO_ID: &str = "request-id-live-none";

/// Identifies a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// A random id; `None` if the kernel has no random bytes.
    fn random() -> Option<Self> {
        let bytes = random::bytes::<16>(&mut crate::os_random::Kernel).ok()?;
        Some(Self(format!("request-id-live-{}", data_encoding::HEXLOWER.encode(&bytes))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::unavailable)
    }
}

/// The outermost layer: assigns the id, which is also a header field for the logs of proxies, gives
/// every error its body and the client its quota, and holds the request's permits until its
/// response is sent.
pub(crate) async fn request_id_layer(mut request: Request, next: Next) -> Response {
    let Some(id) = RequestId::random() else {
        return ApiError::unavailable().into_response_to(NO_ID, "");
    };
    let base_url = base_url::of(&request);
    request.extensions_mut().insert(id.clone());
    let RequestId(id) = id;
    let mut response = catch_panic(next.run(request)).await;
    let in_flight = response.extensions_mut().remove::<InFlight>();
    let quota = response.extensions_mut().remove::<Quota>();
    let mut response = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error.into_response_to(&id, &base_url),
        // An error of the router's own, for a path that is not UTF-8.
        None if response.status().is_client_error() => {
            let message = "The path of the request cannot be read. Percent-encode it as UTF-8.";
            ApiError::new(response.status(), "bad_request", message).into_response_to(&id, &base_url)
        }
        None if response.status().is_server_error() => ApiError::internal().into_response_to(&id, &base_url),
        None => response,
    };
    if let Some(quota) = quota {
        quota.add_to(&mut response);
    }
    if let Ok(id) = HeaderValue::try_from(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    let Some(in_flight) = in_flight else { return response };
    match hold_until_sent(response, in_flight).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!("the HTTP API cannot send a response: {error}");
            ApiError::unavailable().into_response_to(&id, &base_url)
        }
    }
}

/// Turns a panic into a response, which the client can tell from a lost connection. The panic hook
/// has logged it.
async fn catch_panic(response: impl Future<Output = Response>) -> Response {
    let mut response = std::pin::pin!(response);
    poll_fn(|cx| {
        // A handler shares nothing that a panic could leave half changed: every lock is taken
        // with `ignore_poison`, and a change of the store is one transaction.
        catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(ApiError::internal().into_response()))
    })
    .await
}

/// The body of the response to a request that cannot be read as HTTP.
pub(crate) fn malformed_request_body(status: StatusCode) -> String {
    let message = match status {
        StatusCode::URI_TOO_LONG => "The path of the request is too long.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is too large.",
        _ => "The request cannot be read as HTTP.",
    };
    let RequestId(request_id) = RequestId::random().unwrap_or_else(|| RequestId(NO_ID.to_owned()));
    ApiError::new(status, "bad_request", message).body(&request_id, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    async fn panics() -> &'static str {
        panic!("123456")
    }

    #[tokio::test]
    async fn a_failed_handler_gets_an_error_that_quotes_nothing() {
        let app = Router::new()
            .route("/panic", get(panics))
            .route("/status", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .layer(from_fn(request_id_layer));
        for path in ["/panic", "/status"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = axum::body::to_bytes(response.into_body(), 9_999).await.unwrap();
            let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(error["error_type"], "internal_server_error");
            assert!(!error.to_string().contains("123456"), "{error}");
        }
    }
}
