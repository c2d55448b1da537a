//! Sessions and their tokens.

use crate::kit::{NAME, Walk, has, ok, refused};
use crate::totps::recover;
use serde_json::json;
use stytch::consumer::m2m::AuthenticateTokenRequest;
use stytch::consumer::sessions::{AuthenticateRequest, GetJWKSRequest, GetRequest, RevokeRequest};
use stytch::consumer::totps::{AuthenticateResponse, RecoverRequest};

pub(crate) fn by_token(token: &str) -> AuthenticateRequest {
    AuthenticateRequest { session_token: Some(token.to_owned()), ..AuthenticateRequest::default() }
}

pub(crate) fn by_jwt(jwt: &str) -> AuthenticateRequest {
    AuthenticateRequest { session_jwt: Some(jwt.to_owned()), ..AuthenticateRequest::default() }
}

/// Sessions are listed, authenticated and extended.
pub(crate) async fn looking(walk: &Walk, alice: &str, open: &AuthenticateResponse) {
    let sessions = &walk.stytch.sessions;
    let seen = ok(sessions.get(GetRequest { user_id: NAME.to_owned() }).await);
    let id = &open.session.as_ref().unwrap().session_id;
    assert_eq!(seen.sessions.iter().map(|session| &session.session_id).collect::<Vec<_>>(), [id]);
    let shown = ok(sessions.authenticate(by_token(&open.session_token)).await);
    has(&shown, &json!({ "/session_token": open.session_token, "/user/user_id": alice }));
    let longer = AuthenticateRequest {
        session_duration_minutes: Some(527_040),
        // The claim that the SDK's local check requires (see below).
        session_custom_claims: Some(json!({ "team": null, "scope": "read:door" })),
        ..by_jwt(&shown.session_jwt)
    };
    let longer = ok(sessions.authenticate(longer).await);
    has(
        &longer,
        &json!({
            "/session_token": open.session_token,
            "/session/custom_claims": { "more": true, "scope": "read:door" },
        }),
    );
    assert!(longer.session.expires_at.unwrap() > shown.session.expires_at.unwrap());
    let none = AuthenticateRequest::default();
    refused(sessions.authenticate(none).await, 400, "no_session_arguments");
    let both =
        AuthenticateRequest { session_jwt: Some(open.session_jwt.clone()), ..by_token(&open.session_token) };
    refused(sessions.authenticate(both).await, 400, "too_many_session_arguments");
    refused(sessions.authenticate(by_token(&"a".repeat(44))).await, 404, "session_not_found");
}

/// Tokens are verified locally, with the server's keys. This SDK has no local check for sessions;
/// its check of machine tokens is the same (signature, issuer, audience, times), and accepts any
/// token with a claim `scope`.
pub(crate) async fn checking(walk: &Walk, alice: &str, token: &str) {
    let sessions = &walk.stytch.sessions;
    let keys = ok(sessions.get_jwks(GetJWKSRequest { project_id: walk.project_id.clone() }).await);
    has(
        &keys,
        &json!({
            "/keys/0/kty": "RSA",
            "/keys/0/use": "sig",
            "/keys/0/alg": "RS256",
            "/keys/0/key_ops": ["verify"],
        }),
    );
    let fresh = ok(sessions.authenticate(by_token(token)).await).session_jwt;
    let check = |jwt: &str| AuthenticateTokenRequest {
        access_token: jwt.to_owned(),
        required_scopes: Some(vec!["read:door".to_owned()]),
        max_token_age_seconds: Some(200),
        scope_authorization_func: None,
    };
    let checked = walk.stytch.m2m.authenticate_token(check(&fresh)).await.unwrap();
    assert_eq!(checked.client_id, alice);
    assert_eq!(checked.custom_claims["more"], true);
    assert!(checked.custom_claims["https://stytch.com/session"]["id"].is_string());
    let (signed, signature) = fresh.rsplit_once('.').unwrap();
    let (first, rest) = signature.split_at(1);
    let forged = format!("{signed}.{}{rest}", if first == "A" { "B" } else { "A" });
    assert!(walk.stytch.m2m.authenticate_token(check(&forged)).await.is_err());
    refused(sessions.authenticate(by_jwt(&forged)).await, 400, "unable_to_parse_session_jwt");
}

/// Sessions end by id, by token and by JWT.
pub(crate) async fn ending(walk: &Walk, codes: &[String], alice: &str, open: &AuthenticateResponse) {
    let sessions = &walk.stytch.sessions;
    for (code, way) in codes.iter().zip(["session_id", "session_token", "session_jwt"]) {
        let begin = RecoverRequest { session_duration_minutes: Some(5), ..recover(alice, code) };
        let begun = ok(walk.stytch.totps.recover(begin).await);
        let shown = |name: &str, value: &str| (name == way).then(|| value.to_owned());
        let end = || RevokeRequest {
            session_id: shown("session_id", &begun.session.as_ref().unwrap().session_id),
            session_token: shown("session_token", &begun.session_token),
            session_jwt: shown("session_jwt", &begun.session_jwt),
        };
        ok(sessions.revoke(end()).await);
        refused(sessions.authenticate(by_token(&begun.session_token)).await, 404, "session_not_found");
        refused(sessions.authenticate(by_jwt(&begun.session_jwt)).await, 404, "session_not_found");
        refused(sessions.revoke(end()).await, 404, "session_not_found");
    }
    refused(sessions.revoke(RevokeRequest::default()).await, 400, "no_session_revoke_arguments");
    let bad = RevokeRequest { session_id: Some("?".to_owned()), ..RevokeRequest::default() };
    refused(sessions.revoke(bad).await, 400, "invalid_session_id");
    let both = RevokeRequest {
        session_token: Some(open.session_token.clone()),
        session_jwt: Some(open.session_jwt.clone()),
        session_id: None,
    };
    refused(sessions.revoke(both).await, 400, "too_many_session_revoke_arguments");
    let seen = ok(sessions.get(GetRequest { user_id: alice.to_owned() }).await);
    assert_eq!(seen.sessions.len(), 1, "{seen:?}");
}
