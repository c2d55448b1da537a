//! The errors of the API: a status, a name for programs, and a sentence for people.
//! docs/reference/api.md lists them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The page that documents the names.
const DOCUMENT: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/reference/api.md");

/// Every name. docs/reference/api.md documents each.
pub(super) const NAMES: &[&str] = &[
    "active_totp_exists",
    "bad_request",
    "custom_claims_too_large",
    "duplicate_email",
    "duplicate_phone_number",
    "duplicate_user_external_id",
    "expired_totp",
    "internal_server_error",
    "invalid_email",
    "invalid_expiration",
    "invalid_external_id",
    "invalid_phone_number",
    "invalid_recovery_code",
    "invalid_session_duration_minutes",
    "invalid_session_id",
    "invalid_totp_code",
    "invalid_totp_id",
    "invalid_user_id",
    "method_not_allowed",
    "no_session_arguments",
    "no_session_revoke_arguments",
    "project_not_found",
    "recovery_code_used_as_totp_code",
    "recovery_codes_not_found",
    "route_not_found",
    "server_unavailable",
    "session_not_found",
    "too_many_requests",
    "too_many_session_arguments",
    "too_many_session_revoke_arguments",
    "totp_code_already_authenticated",
    "totp_code_used_as_recovery_code",
    "totp_not_found",
    "totps_not_found_for_user",
    "unable_to_authenticate_recovery_code",
    "unable_to_authenticate_totp",
    "unable_to_parse_session_jwt",
    "unauthorized_action",
    "unauthorized_credentials",
    "unsupported_argument",
    "user_id_mismatch",
    "user_lock_limit_reached",
    "user_not_found",
    "user_search_filter_name_not_recognized",
    "user_search_invalid_cursor",
    "user_search_invalid_filter_value",
    "user_search_invalid_limit",
    "user_search_invalid_operator",
];

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
    /// Where the error is documented.
    #[schema(format = "uri")]
    error_url: String,
}

impl ApiError {
    /// An error with one of [`NAMES`].
    pub(crate) fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(NAMES.contains(&name), "{name} is not in NAMES");
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

    /// The body of the response to the request with this id.
    pub(crate) fn body(&self, request_id: &str) -> String {
        let answer = ErrorAnswer {
            status_code: self.status.as_u16(),
            request_id: request_id.to_owned(),
            error_type: self.name,
            error_message: self.message.clone(),
            error_url: format!("{DOCUMENT}#{}", self.name),
        };
        serde_json::to_string(&answer).unwrap_or_else(|error| {
            tracing::error!("the HTTP API cannot write the body of an error: {error}");
            String::new()
        })
    }

    /// The response to the request with this id.
    pub(crate) fn into_response_to(self, request_id: &str) -> Response {
        let mut response = (self.status, self.body(request_id)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_name_is_documented_and_every_documented_exists() {
        let document = include_str!("../../../../docs/reference/api.md");
        let documented: Vec<&str> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| <a name=\"")?.split('"').next())
            .collect();
        assert_eq!(documented, NAMES);
    }
}
