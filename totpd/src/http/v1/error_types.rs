//! Every error of the API: its name, its status, and when it happens. Equal to the table of
//! docs/reference/api.md.

/// One kind of error.
#[derive(Debug)]
pub(super) struct ErrorType {
    /// The name, for programs.
    pub(super) name: &'static str,
    /// The usual status.
    pub(super) status: u16,
    /// When it happens.
    pub(super) when: &'static str,
}

/// Every error, by its name.
pub(super) const ERROR_TYPES: &[ErrorType] = &[
    ErrorType {
        name: "active_totp_exists",
        status: 400,
        when: "`totps.create` for a user who has a confirmed TOTP",
    },
    ErrorType {
        name: "bad_request",
        status: 400,
        when: "not a JSON object, a field that is missing, stands there twice or has the wrong type (the message names the expected one), metadata too large; 408 if the body arrives too slowly, 413 if it is too large, 414 and 431 if path or head are too large",
    },
    ErrorType {
        name: "cannot_delete_last_primary_factor",
        status: 400,
        when: "the user has no other email, phone number or external id",
    },
    ErrorType { name: "custom_claims_too_large", status: 400, when: "more than 4 kB together" },
    ErrorType { name: "duplicate_email", status: 400, when: "another user has the address" },
    ErrorType { name: "duplicate_phone_number", status: 400, when: "another user has the number" },
    ErrorType { name: "duplicate_user_external_id", status: 400, when: "another user has the login name" },
    ErrorType { name: "email_not_found", status: 404, when: "no such email" },
    ErrorType {
        name: "expired_totp",
        status: 401,
        when: "the TOTP was not confirmed in time; create a new one",
    },
    ErrorType {
        name: "internal_server_error",
        status: 500,
        when: "a fault of the server, which its log describes; a code in the request may be used up",
    },
    ErrorType { name: "invalid_email", status: 400, when: "not `name@domain` in ASCII" },
    ErrorType { name: "invalid_email_id", status: 400, when: "not an email id" },
    ErrorType {
        name: "invalid_exchange_primary_factor_fields",
        status: 400,
        when: "exactly one of `email_address` and `phone_number` is needed",
    },
    ErrorType {
        name: "invalid_exchange_primary_factor_user",
        status: 400,
        when: "the user has not exactly one email or phone number",
    },
    ErrorType { name: "invalid_expiration", status: 400, when: "`expiration_minutes` is 5 to 1440" },
    ErrorType {
        name: "invalid_external_id",
        status: 400,
        when: "characters that are not allowed, a spelling that is not the only correct one, or `.` and `..`, which no URL can carry; or the name has another uid than when it was set",
    },
    ErrorType { name: "invalid_id", status: 400, when: "not a phone id" },
    ErrorType { name: "invalid_phone_number", status: 400, when: "not E.164" },
    ErrorType { name: "invalid_recovery_code", status: 400, when: "not a recovery code" },
    ErrorType { name: "invalid_session_duration_minutes", status: 400, when: "5 to 527040" },
    ErrorType { name: "invalid_session_id", status: 400, when: "not a session id" },
    ErrorType {
        name: "invalid_totp_code",
        status: 400,
        when: "not a code, or not with the number of digits of the user's codes, which the message names",
    },
    ErrorType { name: "invalid_totp_id", status: 400, when: "not a TOTP id" },
    ErrorType { name: "invalid_user_id", status: 400, when: "neither a user id nor an external id" },
    ErrorType { name: "method_not_allowed", status: 405, when: "the route does not have this method" },
    ErrorType {
        name: "no_session_arguments",
        status: 400,
        when: "`session_token` or `session_jwt` is needed; or `session_custom_claims` without a session to keep them",
    },
    ErrorType {
        name: "no_session_revoke_arguments",
        status: 400,
        when: "`session_id`, `session_token` or `session_jwt` is needed",
    },
    ErrorType { name: "phone_number_not_found", status: 404, when: "no such phone number" },
    ErrorType { name: "project_not_found", status: 404, when: "the JWKS of another project" },
    ErrorType {
        name: "recovery_code_used_as_totp_code",
        status: 400,
        when: "a recovery code as `totp_code`; it is not used up",
    },
    ErrorType {
        name: "recovery_codes_not_found",
        status: 404,
        when: "the user's recovery codes are kept as hashes",
    },
    ErrorType { name: "route_not_found", status: 404, when: "no such route" },
    ErrorType {
        name: "server_unavailable",
        status: 503,
        when: "the store refuses, a directory hangs, the clock is wrong, or the server is busy; no code was checked. `Retry-After`",
    },
    ErrorType { name: "session_not_found", status: 404, when: "unknown, revoked or expired" },
    ErrorType {
        name: "too_many_requests",
        status: 429,
        when: "the client has used up its requests of this minute, or has too many at once. `Retry-After` says when to try again",
    },
    ErrorType {
        name: "too_many_session_arguments",
        status: 400,
        when: "`session_token` and `session_jwt` together",
    },
    ErrorType { name: "too_many_session_revoke_arguments", status: 400, when: "more than one of the three" },
    ErrorType {
        name: "totp_code_already_authenticated",
        status: 401,
        when: "the code is right and was used, by an application or a login",
    },
    ErrorType {
        name: "totp_code_used_as_recovery_code",
        status: 400,
        when: "a code of the phone as `recovery_code`",
    },
    ErrorType { name: "totp_not_found", status: 404, when: "no such TOTP" },
    ErrorType { name: "totps_not_found_for_user", status: 404, when: "the user has no TOTP" },
    ErrorType {
        name: "unable_to_authenticate_recovery_code",
        status: 401,
        when: "wrong, or used; counts towards the lock. Or of a TOTP that is not confirmed yet (the message says so), which counts nothing",
    },
    ErrorType { name: "unable_to_authenticate_totp", status: 401, when: "wrong; counts towards the lock" },
    ErrorType {
        name: "unable_to_parse_session_jwt",
        status: 400,
        when: "not a token that this server signed",
    },
    ErrorType { name: "unauthorized_action", status: 403, when: "the credentials do not have the scope" },
    ErrorType {
        name: "unauthorized_credentials",
        status: 401,
        when: "no credentials, or wrong or revoked ones",
    },
    ErrorType {
        name: "unsupported_argument",
        status: 400,
        when: "an argument that a caller relies on and this server does not support: `authorization_check`, addresses in `users.update`, the header `X-Stytch-Member-Session` or `X-Stytch-Member-SessionJWT`; nothing was checked",
    },
    ErrorType { name: "user_id_mismatch", status: 400, when: "the session is another user's" },
    ErrorType {
        name: "user_lock_limit_reached",
        status: 429,
        when: "the user is locked for this client, for as many seconds as `Retry-After` says",
    },
    ErrorType { name: "user_not_found", status: 404, when: "no such user" },
    ErrorType {
        name: "user_search_filter_name_not_recognized",
        status: 400,
        when: "a filter that this server does not support",
    },
    ErrorType {
        name: "user_search_invalid_cursor",
        status: 400,
        when: "not a `next_cursor` of an earlier answer",
    },
    ErrorType {
        name: "user_search_invalid_filter_value",
        status: 400,
        when: "a value that the filter does not accept",
    },
    ErrorType { name: "user_search_invalid_limit", status: 400, when: "1 to 1000" },
    ErrorType {
        name: "user_search_invalid_operator",
        status: 400,
        when: "`AND` or `OR`; `created_at_between` goes with `AND` alone",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_documented_and_every_documented_exists() {
        let document = include_str!("../../../../docs/reference/api.md");
        let documented: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with("| <a name=\"") && line.contains("</a>`"))
            .collect();
        let row = |ErrorType { name, status, when }: &ErrorType| {
            format!("| <a name=\"{name}\"></a>`{name}` | {status} | {when} |")
        };
        assert_eq!(documented, ERROR_TYPES.iter().map(row).collect::<Vec<_>>());
        assert!(ERROR_TYPES.is_sorted_by_key(|error| error.name));
    }
}
