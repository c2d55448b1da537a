//! Errors in the API's form: a status, a name that programs go by, a sentence for people. docs/reference/api.md lists them.

use crate::engine::api::ApiRefusal;
use crate::store::UniqueField;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use totp_core::Reason;
use utoipa::ToSchema;

/// Where the names are explained.
const DOCUMENT: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/reference/api.md");

/// Every name there is; docs/reference/api.md explains each.
const NAMES: [&str; 47] = [
    "active_totp_exists",
    "bad_request",
    "custom_claims_too_large",
    "duplicate_email",
    "duplicate_phone_number",
    "duplicate_user_external_id",
    "expired_totp",
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

/// Why an application is not given what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    name: &'static str,
    message: String,
    /// Seconds until the request can succeed, where waiting helps.
    retry_after: Option<u64>,
}

/// The same as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorAnswer {
    /// The HTTP status.
    status_code: u16,
    /// Names the request, here and in the audit.
    request_id: String,
    /// The name that programs go by.
    error_type: &'static str,
    /// A sentence for people.
    error_message: String,
    /// Where it is explained.
    error_url: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(NAMES.contains(&name), "{name} is not in NAMES");
        Self { status, name, message: message.into(), retry_after: None }
    }

    /// The same error, which is over after so many seconds.
    pub(crate) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Malformed JSON, a wrong type, a missing field.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A field of the right type with a value that it cannot have.
    pub(crate) fn invalid(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, name, message)
    }

    /// An argument of Stytch's API that a caller relies on and that this server does not support.
    pub(crate) fn unsupported(name: &str, instead: &str) -> Self {
        Self::invalid("unsupported_argument", format!("{name} is not supported. {instead}"))
    }

    pub(crate) fn unavailable() -> Self {
        let message = "The server cannot answer at the moment, and nothing was changed. Try again later.";
        // How often a daemon that refuses looks whether it can serve.
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_unavailable", message).after(5)
    }

    /// Whether the credentials of the request were refused.
    pub(crate) fn is_unauthorised(&self) -> bool {
        self.name == "unauthorized_credentials"
    }

    /// Which status it is sent with.
    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of the answer to the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> String {
        let answer = ErrorAnswer {
            status_code: self.status.as_u16(),
            request_id: request_id.to_owned(),
            error_type: self.name,
            error_message: self.message.clone(),
            error_url: format!("{DOCUMENT}#{}", self.name),
        };
        serde_json::to_string(&answer).unwrap_or_default()
    }

    /// The answer to the request of this id.
    pub(crate) fn answer(self, request_id: &str) -> Response {
        let mut response = (self.status, self.body(request_id)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.is_unauthorised() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"totpd\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Without its body: that names the request, which the outermost layer knows.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ApiRefusal> for ApiError {
    fn from(refusal: ApiRefusal) -> Self {
        let bad = |name, message: &str| Self::new(StatusCode::BAD_REQUEST, name, message);
        let missing = |name, message: &str| Self::new(StatusCode::NOT_FOUND, name, message);
        match refusal {
            ApiRefusal::InvalidUserId => bad("invalid_user_id", "user_id format is invalid."),
            ApiRefusal::UserNotFound => missing("user_not_found", "User could not be found."),
            ApiRefusal::InvalidTotpId => bad("invalid_totp_id", "totp_id format is invalid."),
            ApiRefusal::TotpNotFound => missing("totp_not_found", "TOTP could not be found."),
            ApiRefusal::NoTotp => missing("totps_not_found_for_user", "The user has no TOTP."),
            ApiRefusal::ActiveTotp => bad(
                "active_totp_exists",
                "Cannot create a new TOTP for the specified user since the user already has an active TOTP. \
                 Users may only have one active TOTP at a time.",
            ),
            ApiRefusal::CodesHashed => missing(
                "recovery_codes_not_found",
                "The recovery codes of this user are kept as hashes and cannot be shown. Those of TOTPs that are \
                 created while the server has recovery_codes = \"sealed\" can.",
            ),
            ApiRefusal::InvalidCode => bad("invalid_totp_code", "totp_code is no code of this user's TOTP."),
            ApiRefusal::Code(reason) => {
                judged(reason, "unable_to_authenticate_totp", "The TOTP code is wrong.")
            }
            ApiRefusal::RecoveryCode(reason) => judged(
                reason,
                "unable_to_authenticate_recovery_code",
                "The recovery code is wrong, or used already.",
            ),
            ApiRefusal::Locked(seconds) => locked().after(seconds),
            ApiRefusal::SessionNotFound => missing("session_not_found", "Session could not be found."),
            ApiRefusal::InvalidJwt => {
                bad("unable_to_parse_session_jwt", "session_jwt is no token that this server signed.")
            }
            ApiRefusal::InvalidSessionId => bad("invalid_session_id", "session_id format is invalid."),
            ApiRefusal::OtherUsersSession => bad("user_id_mismatch", "The session belongs to another user."),
            ApiRefusal::ClaimsTooLarge => {
                bad("custom_claims_too_large", "The session's custom claims are larger than 4 kB together.")
            }
            ApiRefusal::ProfileTooLarge => {
                bad("bad_request", "Name, metadata and roles are larger than 16 kB together.")
            }
            ApiRefusal::Taken(UniqueField::Email) => {
                bad("duplicate_email", "A user with the specified email already exists for this project.")
            }
            ApiRefusal::Taken(UniqueField::Phone) => bad(
                "duplicate_phone_number",
                "A user with the specified phone number already exists for this project.",
            ),
            ApiRefusal::Taken(UniqueField::Name) => bad(
                "duplicate_user_external_id",
                "A user with the specified external_id already exists for this project.",
            ),
            ApiRefusal::Revoked => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized_credentials", "Unauthorized credentials.")
            }
            ApiRefusal::Scope => Self::new(
                StatusCode::FORBIDDEN,
                "unauthorized_action",
                "These credentials have not the scope for this; `totpd client add` makes others.",
            ),
            ApiRefusal::UidChanged => bad(
                "invalid_external_id",
                "The external_id belongs to another user of the host than when it was set. Set it anew, or remove \
                 it, with users.update or users.deleteExternalId.",
            ),
            ApiRefusal::Busy => Self::unavailable(),
            ApiRefusal::Unavailable(why) => {
                tracing::warn!("an application was refused: {why}");
                Self::unavailable()
            }
        }
    }
}

fn locked() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "user_lock_limit_reached",
        "The user has been locked out due to too many failed authentication attempts. Please try again later.",
    )
}

fn judged(reason: Reason, wrong: &'static str, message: &str) -> ApiError {
    match reason {
        Reason::Locked => locked(),
        Reason::Replayed => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "totp_code_already_authenticated",
            "This TOTP code has already been authenticated. Please attempt with the next generated code.",
        ),
        Reason::Expired => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "expired_totp",
            "The TOTP was not authenticated in time. Create a new one.",
        ),
        Reason::NotEnrolled => ApiRefusal::NoTotp.into(),
        // Nobody's mistake but this host's; recovery codes work.
        Reason::Clock => {
            tracing::error!("an application was refused: the clock of this host is wrong");
            ApiError::unavailable()
        }
        _ => ApiError::new(StatusCode::UNAUTHORIZED, wrong, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_explained_where_the_errors_say_and_every_explained_one_exists() {
        let document = include_str!("../../../../docs/reference/api.md");
        let explained: Vec<&str> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| <a name=\"")?.split('"').next())
            .collect();
        assert_eq!(explained, NAMES);
    }
}
