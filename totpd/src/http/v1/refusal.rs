//! The API's error for each refusal of the engine.

use crate::engine::api::{ApiRefusal, ContactKind, UniqueField};
use crate::http::v1::error::ApiError;
use axum::http::StatusCode;
use totp_core::Reason;

impl From<ApiRefusal> for ApiError {
    fn from(refusal: ApiRefusal) -> Self {
        let bad = |name, message: &str| Self::new(StatusCode::BAD_REQUEST, name, message);
        let not_found = |name, message: &str| Self::new(StatusCode::NOT_FOUND, name, message);
        match refusal {
            ApiRefusal::InvalidUserId => bad(
                "invalid_user_id",
                "user_id format is invalid: it is a user_id of this server, or an external_id.",
            ),
            ApiRefusal::UserNotFound => not_found("user_not_found", "User could not be found."),
            ApiRefusal::InvalidTotpId => bad("invalid_totp_id", "totp_id format is invalid."),
            ApiRefusal::TotpNotFound => not_found("totp_not_found", "TOTP could not be found."),
            ApiRefusal::NoTotp => not_found("totps_not_found_for_user", "The user has no TOTP."),
            ApiRefusal::ActiveTotp => bad(
                "active_totp_exists",
                "Cannot create a new TOTP for the specified user since the user already has an active TOTP. \
                 Users may only have one active TOTP at a time.",
            ),
            ApiRefusal::CodesHashed => not_found(
                "recovery_codes_not_found",
                "The recovery codes of this user are kept as hashes and cannot be shown. Create the TOTP while the server \
                 has recovery_codes = \"sealed\" to show its codes later.",
            ),
            ApiRefusal::InvalidCode(digits) => {
                let digits: Vec<String> = digits.iter().map(u8::to_string).collect();
                bad("invalid_totp_code", &format!("totp_code must have {} digits.", digits.join(" or ")))
            }
            ApiRefusal::NotConfirmed => Self::new(
                StatusCode::UNAUTHORIZED,
                "unable_to_authenticate_recovery_code",
                "The user's TOTP is not confirmed yet, and its recovery codes work only then. Confirm it by a first \
                 code with totps.authenticate. No recovery code was used up.",
            ),
            ApiRefusal::Code(reason) => {
                judged(reason, "unable_to_authenticate_totp", "The TOTP code is wrong.")
            }
            ApiRefusal::RecoveryCode(reason) => judged(
                reason,
                "unable_to_authenticate_recovery_code",
                "The recovery code is wrong or was used before.",
            ),
            ApiRefusal::Locked(seconds) => locked().retry_after(seconds),
            ApiRefusal::SessionNotFound => not_found("session_not_found", "Session could not be found."),
            ApiRefusal::InvalidJwt => {
                bad("unable_to_parse_session_jwt", "session_jwt was not signed by this server.")
            }
            ApiRefusal::InvalidSessionId => bad("invalid_session_id", "session_id format is invalid."),
            ApiRefusal::OtherUsersSession => bad("user_id_mismatch", "The session belongs to another user."),
            ApiRefusal::ClaimsTooLarge => {
                bad("custom_claims_too_large", "The session's custom claims are larger than 4 kB together.")
            }
            ApiRefusal::ProfileTooLarge => {
                bad("bad_request", "Name, metadata and roles are larger than 16 kB together.")
            }
            ApiRefusal::InvalidContactId(kind) => match kind {
                ContactKind::Email => bad("invalid_email_id", "email_id format is invalid."),
                ContactKind::Phone => bad("invalid_id", "phone_id format is invalid."),
            },
            ApiRefusal::ContactNotFound(kind) => match kind {
                ContactKind::Email => not_found("email_not_found", "Email could not be found."),
                ContactKind::Phone => not_found("phone_number_not_found", "Phone number could not be found."),
            },
            ApiRefusal::LastContact => bad(
                "cannot_delete_last_primary_factor",
                "The user has no other email, phone number or external_id. Exchange it with \
                 users.exchangePrimaryFactor, or delete the user.",
            ),
            ApiRefusal::NotOneContact => bad(
                "invalid_exchange_primary_factor_user",
                "The user must have exactly one email or phone number. Remove one with users.deleteEmail or \
                 users.deletePhoneNumber.",
            ),
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
                "These credentials lack the scope for this. An administrator adds others with: totpd client add",
            ),
            ApiRefusal::UidChanged => bad(
                "invalid_external_id",
                "The external_id belongs to another user of the host than when it was set. Set it again with \
                 users.update, or remove it with users.deleteExternalId.",
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

/// The error for a judged code. `wrong` and `message` are for a wrong code.
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
        // No code can be checked under a wrong clock. Recovery codes still work.
        Reason::Clock => {
            tracing::error!("an application was refused: the clock of this host is wrong");
            ApiError::unavailable()
        }
        _ => ApiError::new(StatusCode::UNAUTHORIZED, wrong, message),
    }
}
