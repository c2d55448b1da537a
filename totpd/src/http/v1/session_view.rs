//! Sessions as the API's responses show them.

use crate::clock::rfc3339;
use serde::Serialize;
use serde_json::{Map, Value};
use totp_core::session::{self, FactorKind};
use utoipa::ToSchema;

/// The TOTP of a factor.
#[derive(Debug, Serialize, ToSchema)]
struct AuthenticatorAppFactor {
    /// The id of the TOTP.
    totp_id: String,
}

/// The recovery code of a factor.
#[derive(Debug, Serialize, ToSchema)]
struct RecoveryCodeFactor {
    /// Identifies the recovery code in this session.
    totp_recovery_code_id: String,
}

/// The kind of a factor.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FactorType {
    /// A code of an authenticator app.
    Totp,
    /// A recovery code.
    RecoveryCodes,
}

/// Where the code of a factor came from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeliveryMethod {
    /// An authenticator app.
    AuthenticatorApp,
    /// A recovery code.
    RecoveryCode,
}

/// A factor that was verified in a session.
#[derive(Debug, Serialize, ToSchema)]
struct AuthenticationFactor {
    #[serde(rename = "type")]
    kind: FactorType,
    delivery_method: DeliveryMethod,
    /// When it was last verified.
    #[schema(format = DateTime)]
    last_authenticated_at: String,
    /// When it was first verified in this session.
    #[schema(format = DateTime)]
    created_at: String,
    /// As `last_authenticated_at`.
    #[schema(format = DateTime)]
    updated_at: String,
    /// For a code of an authenticator app.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticator_app_factor: Option<AuthenticatorAppFactor>,
    /// For a recovery code.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_code_factor: Option<RecoveryCodeFactor>,
}

/// Where a session was used from, which is not stored.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Attributes {
    /// Always empty.
    ip_address: String,
    /// Always empty.
    user_agent: String,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// The id of the session.
    session_id: String,
    /// The id of its user.
    user_id: String,
    /// The factors that were verified in it.
    authentication_factors: Vec<AuthenticationFactor>,
    /// Always empty.
    roles: Vec<String>,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it was last used, to the minute.
    #[schema(format = DateTime)]
    last_accessed_at: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Always empty.
    attributes: Attributes,
    /// The claims that the application set.
    #[schema(value_type = Object)]
    custom_claims: Map<String, Value>,
}

impl From<&session::AuthenticatedFactor> for AuthenticationFactor {
    fn from(factor: &session::AuthenticatedFactor) -> Self {
        let (kind, delivery_method, app, recovery) = match &factor.kind {
            FactorKind::Totp => {
                let app = AuthenticatorAppFactor { totp_id: factor.totp_id.clone() };
                (FactorType::Totp, DeliveryMethod::AuthenticatorApp, Some(app), None)
            }
            FactorKind::Recovery(id) => {
                let code = RecoveryCodeFactor { totp_recovery_code_id: id.clone() };
                (FactorType::RecoveryCodes, DeliveryMethod::RecoveryCode, None, Some(code))
            }
        };
        Self {
            kind,
            delivery_method,
            last_authenticated_at: rfc3339(factor.last),
            created_at: rfc3339(factor.first),
            updated_at: rfc3339(factor.last),
            authenticator_app_factor: app,
            recovery_code_factor: recovery,
        }
    }
}

impl From<&session::Session> for Session {
    fn from(session: &session::Session) -> Self {
        Self {
            session_id: session.id().to_owned(),
            user_id: session.user().to_owned(),
            authentication_factors: session.factors().iter().map(Into::into).collect(),
            roles: Vec::new(),
            started_at: rfc3339(session.started()),
            last_accessed_at: rfc3339(session.accessed()),
            expires_at: rfc3339(session.expires()),
            attributes: Attributes::default(),
            custom_claims: session.claims().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_response_shows_a_session_as_the_claim_of_its_jwt_does() {
        let session: session::Session = serde_json::from_value(json!({
            "id": "session-a", "user": "user-a", "started": 1, "accessed": 70, "expires": 900,
            "shown": [
                { "means": "totp", "totp_id": "totp-a", "first": 1, "last": 5 },
                { "means": { "recovery": "code-a" }, "totp_id": "totp-a", "first": 6, "last": 7 },
            ],
        }))
        .unwrap();
        let mut view = serde_json::to_value(Session::from(&session)).unwrap();
        let fields = view.as_object_mut().unwrap();
        let id = fields.remove("session_id").unwrap();
        fields.insert("id".to_owned(), id);
        fields.remove("user_id").unwrap();
        fields.remove("custom_claims").unwrap();
        assert_eq!(view, crate::engine::api::session_claim(&session));
    }
}
