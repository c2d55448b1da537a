//! Sessions in the API's words, in answers as in tokens.

use crate::clock::rfc3339;
use serde::Serialize;
use serde_json::{Map, Value};
use totp_core::session::{self, FactorKind};
use utoipa::ToSchema;

/// By which enrollment a factor was shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthenticatorAppFactor {
    /// What it is.
    pub totp_id: String,
}

/// By which recovery code.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecoveryCodeFactor {
    /// What it is.
    pub totp_recovery_code_id: String,
}

/// A factor that was shown in a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthenticationFactor {
    /// `totp` or `recovery_codes`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `authenticator_app` or `recovery_code`.
    pub delivery_method: &'static str,
    /// When it was shown last.
    pub last_authenticated_at: String,
    /// When it was shown first in this session.
    pub created_at: String,
    /// As `last_authenticated_at`.
    pub updated_at: String,
    /// Of a code of the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticator_app_factor: Option<AuthenticatorAppFactor>,
    /// Of a recovery code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_code_factor: Option<RecoveryCodeFactor>,
}

/// Where a session was used from; not kept.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Attributes {
    /// What it is.
    pub ip_address: String,
    /// What it is.
    pub user_agent: String,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// Names it.
    pub session_id: String,
    /// Whose it is.
    pub user_id: String,
    /// What was shown.
    pub authentication_factors: Vec<AuthenticationFactor>,
    /// None are kept.
    pub roles: Vec<String>,
    /// When it began.
    pub started_at: String,
    /// Kept to the minute.
    pub last_accessed_at: String,
    /// The first moment at which it is over.
    pub expires_at: String,
    /// Where from; not kept.
    pub attributes: Attributes,
    /// The application's own.
    #[schema(value_type = Object)]
    pub custom_claims: Map<String, Value>,
}

impl From<&session::AuthenticatedFactor> for AuthenticationFactor {
    fn from(shown: &session::AuthenticatedFactor) -> Self {
        let (kind, delivery_method, app, recovery) = match &shown.means {
            FactorKind::Totp => {
                let app = AuthenticatorAppFactor { totp_id: shown.totp_id.clone() };
                ("totp", "authenticator_app", Some(app), None)
            }
            FactorKind::Recovery(id) => {
                let code = RecoveryCodeFactor { totp_recovery_code_id: id.clone() };
                ("recovery_codes", "recovery_code", None, Some(code))
            }
        };
        Self {
            kind,
            delivery_method,
            last_authenticated_at: rfc3339(shown.last),
            created_at: rfc3339(shown.first),
            updated_at: rfc3339(shown.last),
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
            authentication_factors: session.shown().iter().map(Into::into).collect(),
            roles: Vec::new(),
            started_at: rfc3339(session.started()),
            last_accessed_at: rfc3339(session.accessed()),
            expires_at: rfc3339(session.expires()),
            attributes: Attributes::default(),
            custom_claims: session.claims().clone(),
        }
    }
}
