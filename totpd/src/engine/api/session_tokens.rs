//! The tokens of a session: issues them, and finds the session of a JWT.

use super::{ApiRefusal, Caller, Engine, JWT_SECONDS, Keyring};
use crate::clock::rfc3339;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use totp_core::Time;
use totp_core::session::{AuthenticatedFactor, FactorKind, Session};
use zeroize::Zeroizing;

/// The claim of a JWT that holds the session.
const CLAIM: &str = "https://stytch.com/session";

/// An open session and its tokens.
#[derive(Debug)]
pub struct IssuedSession {
    /// The session.
    pub session: Session,
    /// The token of the session.
    pub token: Zeroizing<String>,
    /// A new JWT of the session.
    pub jwt: Zeroizing<String>,
}

impl Engine {
    /// The id of the session in a JWT that one of our keys signed; the JWT may have expired.
    pub(super) async fn session_of_jwt(&self, jwt: &str) -> Result<String, ApiRefusal> {
        let claims = match self.keyring().await?.verify(jwt) {
            Some(claims) => claims,
            // Another daemon of the same store may have signed it with a new key.
            None => self.reload_keyring().await?.verify(jwt).ok_or(ApiRefusal::InvalidJwt)?,
        };
        session_in(&claims, &self.project_id()).map(str::to_owned).ok_or(ApiRefusal::InvalidJwt)
    }

    /// Issues the tokens of a session. Another thread computes the signature, for one client after
    /// another.
    ///
    /// # Errors
    /// [`ApiRefusal::Unavailable`] when signing fails.
    pub async fn issue_tokens(
        &self,
        caller: &Caller,
        session: Session,
        keys: Arc<Keyring>,
        now: Time,
    ) -> Result<IssuedSession, ApiRefusal> {
        let claims = claims(&session, &self.project_id(), now);
        let token = keys.token(session.id());
        let permit = self.api.signing.acquire(&caller.client).await;
        let signed = tokio::task::spawn_blocking(move || {
            let signed = keys.sign(&Value::Object(claims));
            drop(permit);
            signed
        });
        let failed = |_| ApiRefusal::Unavailable("the thread that signs tokens failed".to_owned());
        Ok(IssuedSession { token, session, jwt: signed.await.map_err(failed)?? })
    }
}

/// The claims of a new JWT: those of the application, and the registered ones (RFC 7519 section
/// 4.1), which no application can set.
fn claims(session: &Session, project_id: &str, now: Time) -> Map<String, Value> {
    let mut claims = session.claims().clone();
    let registered = [
        ("iss", json!(issuer(project_id))),
        ("aud", json!([project_id])),
        ("sub", json!(session.user())),
        ("iat", json!(now.unix())),
        ("nbf", json!(now.unix())),
        ("exp", json!(now.plus(JWT_SECONDS).min(session.expires()).unix())),
        (CLAIM, session_claim(session)),
    ];
    claims.extend(registered.map(|(name, value)| (name.to_owned(), value)));
    claims
}

/// The session as the claim of a JWT shows it, in the form that Stytch's SDKs read.
pub fn session_claim(session: &Session) -> Value {
    let factors: Vec<Value> = session.factors().iter().map(factor).collect();
    json!({
        "id": session.id(),
        "started_at": rfc3339(session.started()),
        "last_accessed_at": rfc3339(session.accessed()),
        "expires_at": rfc3339(session.expires()),
        "attributes": { "ip_address": "", "user_agent": "" },
        "authentication_factors": factors,
        "roles": [],
    })
}

fn factor(factor: &AuthenticatedFactor) -> Value {
    let (kind, delivery_method, name, detail) = match &factor.kind {
        FactorKind::Totp => {
            let detail = json!({ "totp_id": factor.totp_id });
            ("totp", "authenticator_app", "authenticator_app_factor", detail)
        }
        FactorKind::Recovery(id) => {
            let detail = json!({ "totp_recovery_code_id": id });
            ("recovery_codes", "recovery_code", "recovery_code_factor", detail)
        }
    };
    json!({
        "type": kind,
        "delivery_method": delivery_method,
        "last_authenticated_at": rfc3339(factor.last),
        "created_at": rfc3339(factor.first),
        "updated_at": rfc3339(factor.last),
        name: detail,
    })
}

/// The issuer of a project's JWTs, as Stytch's SDKs expect it.
fn issuer(project_id: &str) -> String {
    format!("stytch.com/{project_id}")
}

/// The id of the session in the claims of a JWT, if the JWT is of this project.
fn session_in<'a>(claims: &'a Value, project_id: &str) -> Option<&'a str> {
    let is_ours = claims["iss"] == issuer(project_id) && claims["aud"] == json!([project_id]);
    claims[CLAIM]["id"].as_str().filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_of_another_project_names_no_session() {
        let claims = |iss: &str, aud: Value| json!({ "iss": iss, "aud": aud, CLAIM: { "id": "session-a" } });
        let of = |claims: &Value| session_in(claims, "project-a").map(str::to_owned);
        let right = claims("stytch.com/project-a", json!(["project-a"]));
        assert_eq!(of(&right).as_deref(), Some("session-a"));
        for (iss, aud) in [
            ("stytch.com/project-b", json!(["project-a"])),
            ("project-a", json!(["project-a"])),
            ("stytch.com/project-a", json!(["project-b"])),
            ("stytch.com/project-a", json!(["project-b", "project-a"])),
            ("stytch.com/project-a", json!("project-b")),
            ("stytch.com/project-a", json!([])),
            ("stytch.com/project-a", Value::Null),
        ] {
            assert_eq!(of(&claims(iss, aud.clone())), None, "{iss} {aud}");
        }
        for id in [json!(null), json!(7), json!({})] {
            let mut other = right.clone();
            other[CLAIM]["id"] = id;
            assert_eq!(of(&other), None);
        }
        for claims in [json!(null), json!([]), json!("text"), json!({})] {
            assert_eq!(of(&claims), None);
        }
    }
}
