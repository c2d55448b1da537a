//! `/v1/sessions`: looking at them, extending and ending them, and the keys that their tokens are checked with.

use crate::engine::api::session_view::Session;
use crate::engine::api::{IssuedSession, SessionCredential};
use crate::http::v1::auth::{Context, RequestId, Server};
use crate::http::v1::body::{Answer, Body, Unsupported, fields, unsupported};
use crate::http::v1::client_limits::LargeResponsePermit;
use crate::http::v1::error::ApiError;
use crate::http::v1::totps::length;
use crate::http::v1::user_view::User;
use crate::http::v1::users::user_id;
use crate::state::ServiceState;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

type Answered<T> = Result<Answer<T>, ApiError>;

/// The routes that take credentials.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(authenticate)).routes(routes!(revoke))
}

/// The route that takes none: programs that check tokens have none.
pub(crate) fn open_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(jwks))
}

#[derive(Debug, Deserialize)]
struct OfUser {
    user_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Sessions {
    sessions: Vec<Session>,
}

/// One of `session_token` and `session_jwt` is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct AuthenticateSession {
    #[schema(value_type = Option<String>)]
    session_token: Option<Zeroizing<String>>,
    /// One that is over is good as long as its session is.
    #[schema(value_type = Option<String>)]
    session_jwt: Option<Zeroizing<String>>,
    /// The session lasts this many minutes from now, 5 to 527040; without it its end stays.
    #[schema(minimum = 5, maximum = 527_040)]
    session_duration_minutes: Option<i64>,
    /// Merged into the session's claims: null takes one away; 4 kB together.
    #[schema(value_type = Option<Object>)]
    session_custom_claims: Option<Map<String, Value>>,
    /// Refused: no verdict must not read like a good one.
    #[schema(ignore)]
    authorization_check: Unsupported,
}

#[derive(Debug, Serialize, ToSchema)]
struct SessionAuthenticated {
    session: Session,
    #[schema(value_type = String)]
    session_token: Zeroizing<String>,
    /// A fresh one.
    #[schema(value_type = String)]
    session_jwt: Zeroizing<String>,
    user: User,
}

/// One of the three is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct RevokeSession {
    session_id: Option<String>,
    #[schema(value_type = Option<String>)]
    session_token: Option<Zeroizing<String>>,
    #[schema(value_type = Option<String>)]
    session_jwt: Option<Zeroizing<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Nothing {}

/// A public key (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
struct Jwk {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    key_ops: Vec<&'static str>,
    alg: &'static str,
    kid: String,
    /// Empty: there is no certificate.
    x5c: Vec<String>,
    /// Empty.
    #[serde(rename = "x5tS256")]
    x5t: String,
    n: String,
    e: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// The open sessions of a user.
#[utoipa::path(get, path = "/v1/sessions", operation_id = "sessions_get", params(("user_id" = String, Query)),
    responses((status = 200, body = Answer<Sessions>)))]
async fn get(
    context: Context,
    query: Result<Query<OfUser>, QueryRejection>,
) -> Result<(Extension<LargeResponsePermit>, Answer<Sessions>), ApiError> {
    let Query(of) = query.map_err(|_| ApiError::bad_request("The query cannot be understood."))?;
    let user = user_id(of.user_id)?;
    let large = context.large().await?;
    let Context { engine, caller, .. } = &context;
    let sessions = engine.sessions_of(caller, &user).await?.iter().map(Into::into).collect();
    Ok((large, Answer::new(&caller.request_id, Sessions { sessions })))
}

/// Looks at a session that is shown; with a duration its end is set anew.
#[utoipa::path(post, path = "/v1/sessions/authenticate", operation_id = "sessions_authenticate", request_body = AuthenticateSession,
    responses((status = 200, body = Answer<SessionAuthenticated>)))]
async fn authenticate(
    context: Context,
    Body(fields): Body<AuthenticateSession>,
) -> Answered<SessionAuthenticated> {
    let instead =
        "This server keeps no permissions. Leave it out, and decide by roles or claims of your own.";
    unsupported(fields.authorization_check, "authorization_check", instead)?;
    let length = fields.session_duration_minutes.map(length).transpose()?;
    let shown = one_of(fields.session_token, fields.session_jwt, None, "too_many_session_arguments")?;
    let shown = shown.ok_or_else(|| {
        ApiError::invalid("no_session_arguments", "session_token or session_jwt is needed.")
    })?;
    let claims = fields.session_custom_claims.unwrap_or_default();
    let Context { engine, caller, .. } = &context;
    let (IssuedSession { session, token, jwt }, user) =
        engine.check_session(caller, &shown, length, &claims).await?;
    let user = User::of(engine, caller, user);
    let session = Session::from(&session);
    let body = SessionAuthenticated { session, session_token: token, session_jwt: jwt, user };
    Ok(Answer::new(&caller.request_id, body))
}

/// Ends a session, with every token of it.
#[utoipa::path(post, path = "/v1/sessions/revoke", operation_id = "sessions_revoke", request_body = RevokeSession,
    responses((status = 200, body = Answer<Nothing>)))]
async fn revoke(context: Context, Body(fields): Body<RevokeSession>) -> Answered<Nothing> {
    let many = "too_many_session_revoke_arguments";
    let shown = one_of(fields.session_token, fields.session_jwt, fields.session_id, many)?;
    let shown = shown.ok_or_else(|| {
        let message = "session_id, session_token or session_jwt is needed.";
        ApiError::invalid("no_session_revoke_arguments", message)
    })?;
    let Context { engine, caller, .. } = &context;
    engine.end_session(caller, &shown).await?;
    Ok(Answer::new(&caller.request_id, Nothing {}))
}

/// The keys that tokens are checked with, the newest first. Takes no credentials.
#[utoipa::path(get, path = "/v1/sessions/jwks/{project_id}", operation_id = "sessions_jwks", params(("project_id" = String, Path)),
    responses((status = 200, body = Answer<Jwks>)), security(()))]
async fn jwks(
    State(server): State<Server>,
    RequestId(request_id): RequestId,
    Path(project_id): Path<String>,
) -> Answered<Jwks> {
    let ServiceState::Serving(engine) = server.shared.service() else { return Err(ApiError::unavailable()) };
    if project_id != engine.project_id() {
        let message = "Project could not be found.";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "project_not_found", message));
    }
    let keys = engine.keyring().await?.public();
    let keys = keys.into_iter().map(|key| Jwk {
        kty: "RSA",
        usage: "sig",
        key_ops: vec!["verify"],
        alg: "RS256",
        kid: key.kid,
        x5c: Vec::new(),
        x5t: String::new(),
        n: key.n,
        e: key.e,
    });
    Ok(Answer::new(&request_id, Jwks { keys: keys.collect() }))
}

/// Reads a body as those of these routes, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    let authenticated = fields::<AuthenticateSession>(bytes).and_then(|body| {
        unsupported(body.authorization_check, "authorization_check", "")?;
        one_of(body.session_token, body.session_jwt, None, "too_many_session_arguments").map(drop)
    });
    let revoked = fields::<RevokeSession>(bytes).and_then(|body| {
        let many = "too_many_session_revoke_arguments";
        one_of(body.session_token, body.session_jwt, body.session_id, many).map(drop)
    });
    [authenticated, revoked]
}

/// The one way in which a session is shown. An empty text is none: clients without a session send it.
pub(crate) fn one_of(
    token: Option<Zeroizing<String>>,
    jwt: Option<Zeroizing<String>>,
    id: Option<String>,
    too_many: &'static str,
) -> Result<Option<SessionCredential>, ApiError> {
    let shown = [
        token.filter(|t| !t.is_empty()).map(SessionCredential::Token),
        jwt.filter(|t| !t.is_empty()).map(SessionCredential::Jwt),
        id.filter(|t| !t.is_empty()).map(SessionCredential::Id),
    ];
    let mut shown = shown.into_iter().flatten();
    let first = shown.next();
    if shown.next().is_some() {
        return Err(ApiError::invalid(too_many, "A session is shown in one way alone."));
    }
    Ok(first)
}
