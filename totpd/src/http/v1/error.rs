//! The errors of the API: a status, a name for programs, and a sentence for people.
//! `error_types.rs` lists them.

use crate::http::v1::error_types::ERROR_TYPES;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    name: &'static str,
    message: String,
    /// Seconds after which the request may succeed, if waiting helps.
    retry_after: Option<u64>,
}

/// The body of an error response.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorAnswer {
    /// The HTTP status.
    status_code: u16,
    /// Identifies the request, here and in its audit event.
    request_id: String,
    /// The name of the error, for programs.
    error_type: &'static str,
    /// What is wrong, for people.
    error_message: String,
    /// Where this server documents the error.
    #[schema(format = "uri-reference")]
    error_url: String,
}

impl ApiError {
    /// An error with the name of one of [`ERROR_TYPES`].
    pub(crate) fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        let is_known = ERROR_TYPES.iter().any(|error| error.name == name);
        debug_assert!(is_known, "{name} is not in ERROR_TYPES");
        Self { status, name, message: message.into(), retry_after: None }
    }

    /// Adds a `Retry-After` of this many seconds.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Malformed JSON, a field of the wrong type, or a missing field.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A field with a value that is not allowed.
    pub(crate) fn invalid(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, name, message)
    }

    /// An argument of Stytch's API that this server does not support.
    pub(crate) fn unsupported(name: &str, instead: &str) -> Self {
        Self::invalid("unsupported_argument", format!("{name} is not supported. {instead}"))
    }

    /// The server cannot process the request now. A code in it may be used.
    pub(crate) fn unavailable() -> Self {
        let message = "The server cannot answer at the moment. Try again later.";
        // A daemon that refuses requests checks every five seconds whether it can serve again.
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_unavailable", message).retry_after(5)
    }

    /// A fault of the server. A code in the request may be used.
    pub(crate) fn internal() -> Self {
        let message = "The server failed, and its log says more. A code in the request may be used up.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", message)
    }

    /// Whether the credentials of the request were refused.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.name == "unauthorized_credentials"
    }

    /// The HTTP status.
    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of the response to the request with this id, to a client that knows the server by
    /// this URL; with an empty one `error_url` is relative.
    pub(crate) fn body(&self, request_id: &str, base_url: &str) -> String {
        let answer = ErrorAnswer {
            status_code: self.status.as_u16(),
            request_id: request_id.to_owned(),
            error_type: self.name,
            error_message: self.message.clone(),
            error_url: format!("{base_url}/errors/{}", self.name),
        };
        serde_json::to_string(&answer).unwrap_or_else(|error| {
            tracing::error!("the HTTP API cannot write the body of an error: {error}");
            String::new()
        })
    }

    /// The response to the request with this id, to a client that knows the server by this URL.
    pub(crate) fn into_response_to(self, request_id: &str, base_url: &str) -> Response {
        let mut response = (self.status, self.body(request_id, base_url)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The URL in it is made of this client's Host.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_unauthorized() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"totpd\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// A response without a body, which needs the request's id: `request_id_layer` adds it.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
