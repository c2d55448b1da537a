//! The id of a request, which stands in its response and in its audit event, and the layer that
//! assigns it.

use crate::http::v1::client_limits::{InFlight, hold_until_sent};
use crate::http::v1::error::ApiError;
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
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

/// The outermost layer: assigns the id, gives every error its body, and holds the request's permits
/// until its response is sent.
pub(crate) async fn request_id_layer(mut request: Request, next: Next) -> Response {
    let Some(id) = RequestId::random() else {
        return ApiError::unavailable().into_response_to(NO_ID);
    };
    request.extensions_mut().insert(id.clone());
    let RequestId(id) = id;
    let mut response = next.run(request).await;
    let in_flight = response.extensions_mut().remove::<InFlight>();
    let response = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error.into_response_to(&id),
        // An error of the router's own, such as for a path that is not UTF-8.
        None if response.status().is_client_error() || response.status().is_server_error() => {
            let message = "The request cannot be understood.";
            ApiError::new(response.status(), "bad_request", message).into_response_to(&id)
        }
        None => response,
    };
    let Some(in_flight) = in_flight else { return response };
    match hold_until_sent(response, in_flight).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!("the HTTP API cannot send a response: {error}");
            ApiError::unavailable().into_response_to(&id)
        }
    }
}

/// The body of the response to a request that cannot be read as HTTP.
pub(crate) fn malformed_request_body(status: StatusCode) -> String {
    let message = match status {
        StatusCode::URI_TOO_LONG => "The path of the request is too long.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is too large.",
        _ => "The request cannot be read as HTTP.",
    };
    let RequestId(request_id) = RequestId::random().unwrap_or_else(|| RequestId(NO_ID.to_owned()));
    ApiError::new(status, "bad_request", message).body(&request_id)
}
