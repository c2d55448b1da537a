//! The arguments by which a request names a session, extends it and merges claims into it.

use crate::engine::api::{SessionCredential, SessionOptions};
use crate::http::v1::error::ApiError;
use serde_json::{Map, Value};
use totp_core::session::Minutes;
use zeroize::Zeroizing;

/// Defines the body of a request that has the session arguments beside its own fields, and its
/// method `session_args`.
///
/// A macro and not `#[serde(flatten)]`, which would buffer the body, lose the path of a field with
/// a wrong type, and refuse numbers in unknown fields that are ignored otherwise.
macro_rules! body_with_session_args {
    (
        $(#[$meta:meta])*
        struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        struct $name {
            $($(#[$field_meta])* $field: $type,)*
            /// A new session of this many minutes, 5 to 527040; for a session that is named below,
            /// the minutes from now until its end. Without it no session begins, and the end of a
            /// session stays.
            #[schema(minimum = 5, maximum = 527_040)]
            session_duration_minutes: Option<i64>,
            /// The token of an existing session.
            #[schema(value_type = Option<String>)]
            session_token: Option<::zeroize::Zeroizing<String>>,
            /// A JWT of an existing session. An expired JWT is accepted as long as its session is
            /// open.
            #[schema(value_type = Option<String>)]
            session_jwt: Option<::zeroize::Zeroizing<String>>,
            /// Merged into the claims of the session: null removes a claim; 4 kB together.
            #[schema(value_type = Option<Object>)]
            session_custom_claims: Option<::serde_json::Map<String, ::serde_json::Value>>,
        }

        impl $name {
            /// Takes the session arguments out of the body.
            fn session_args(&mut self) -> $crate::http::v1::session_args::SessionArgs {
                $crate::http::v1::session_args::SessionArgs {
                    minutes: self.session_duration_minutes.take(),
                    token: self.session_token.take(),
                    jwt: self.session_jwt.take(),
                    claims: self.session_custom_claims.take(),
                }
            }
        }
    };
}
pub(super) use body_with_session_args;

/// The session arguments as they were sent.
#[derive(Debug)]
pub(crate) struct SessionArgs {
    pub(crate) minutes: Option<i64>,
    pub(crate) token: Option<Zeroizing<String>>,
    pub(crate) jwt: Option<Zeroizing<String>>,
    pub(crate) claims: Option<Map<String, Value>>,
}

impl SessionArgs {
    /// Checks the arguments of a request that may have no session. Claims without a session would
    /// be lost.
    pub(crate) fn check_optional(self) -> Result<SessionOptions, ApiError> {
        let options = self.check()?;
        if options.length.is_none() && options.session.is_none() && !options.claims.is_empty() {
            let message = "session_custom_claims needs a session: session_duration_minutes, session_token or \
                           session_jwt is missing.";
            return Err(ApiError::invalid("no_session_arguments", message));
        }
        Ok(options)
    }

    /// Checks the arguments. The error names the first one that is wrong.
    pub(crate) fn check(self) -> Result<SessionOptions, ApiError> {
        let length = self.minutes.map(length).transpose()?;
        let session = one_of(self.token, self.jwt, None, "too_many_session_arguments")?;
        Ok(SessionOptions { length, session, claims: self.claims.unwrap_or_default() })
    }
}

/// The length of a session.
fn length(minutes: i64) -> Result<Minutes, ApiError> {
    Minutes::new(minutes).ok_or_else(|| {
        let message = "session_duration_minutes is invalid, should be between 5 to 527040 minutes.";
        ApiError::invalid("invalid_session_duration_minutes", message)
    })
}

/// The one credential of a session that a request names. An empty text counts as absent: clients
/// without a session send it. `too_many` is the name of the error for more than one.
pub(crate) fn one_of(
    token: Option<Zeroizing<String>>,
    jwt: Option<Zeroizing<String>>,
    id: Option<String>,
    too_many: &'static str,
) -> Result<Option<SessionCredential>, ApiError> {
    let named = [
        token.filter(|text| !text.is_empty()).map(SessionCredential::Token),
        jwt.filter(|text| !text.is_empty()).map(SessionCredential::Jwt),
        id.filter(|text| !text.is_empty()).map(SessionCredential::Id),
    ];
    let mut named = named.into_iter().flatten();
    let first = named.next();
    if named.next().is_some() {
        return Err(ApiError::invalid(too_many, "Name the session in one way only."));
    }
    Ok(first)
}
