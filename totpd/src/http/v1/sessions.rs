//! `/v1/sessions`: lists, checks, extends and ends sessions, and serves the keys that verify their
//! JWTs.

use crate::engine::api::{IssuedSession, SessionOptions};
use crate::http::v1::auth::{Context, Server};
use crate::http::v1::body::{Answer, ApiResult, Body, Unsupported, parse, refuse, required};
use crate::http::v1::client_limits::LargeResponsePermit;
use crate::http::v1::error::ApiError;
use crate::http::v1::request_id::RequestId;
use crate::http::v1::session_args::{body_with_session_args, one_of};
use crate::http::v1::session_view::Session;
use crate::http::v1::user_view::User;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// The routes that need credentials.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(authenticate)).routes(routes!(revoke))
}

/// The route that needs none: programs that verify JWTs have no credentials.
pub(crate) fn public_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(jwks))
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    user_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Sessions {
    sessions: Vec<Session>,
}

body_with_session_args! {
    /// One of `session_token` and `session_jwt` is needed.
    #[derive(Debug, Default, Deserialize, ToSchema)]
    struct AuthenticateSession {
        /// Refused: a response without a verdict would read like a good one.
        #[schema(ignore)]
        authorization_check: Unsupported,
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct SessionAuthenticated {
    session: Session,
    #[schema(value_type = String)]
    session_token: Zeroizing<String>,
    /// A new JWT.
    #[schema(value_type = String)]
    session_jwt: Zeroizing<String>,
    user: User,
}

/// Exactly one of the three is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct RevokeSession {
    session_id: Option<String>,
    #[schema(value_type = Option<String>)]
    session_token: Option<Zeroizing<String>>,
    #[schema(value_type = Option<String>)]
    session_jwt: Option<Zeroizing<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SessionRevoked {}

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

/// Lists the open sessions of a user.
#[utoipa::path(get, path = "/v1/sessions", operation_id = "sessions_get", tag = "sessions", params(("user_id" = String, Query)),
    responses((status = 200, body = Answer<Sessions>)))]
async fn get(
    context: Context,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<(Extension<LargeResponsePermit>, Answer<Sessions>), ApiError> {
    let Query(query) = query.map_err(|_| {
        ApiError::bad_request("The query cannot be read. It names the user once: ?user_id=alice")
    })?;
    let user = required(query.user_id, "user_id")?;
    let permit = context.permit_large_response().await?;
    let Context { engine, caller, .. } = &context;
    let sessions = engine.sessions_of(caller, &user).await?.iter().map(Into::into).collect();
    Ok((permit, Answer::new(&caller.request_id, Sessions { sessions })))
}

/// Checks a session. With a duration it also sets its end.
#[utoipa::path(post, path = "/v1/sessions/authenticate", operation_id = "sessions_authenticate", tag = "sessions", request_body = AuthenticateSession,
    responses((status = 200, body = Answer<SessionAuthenticated>)))]
async fn authenticate(
    context: Context,
    Body(mut fields): Body<AuthenticateSession>,
) -> ApiResult<SessionAuthenticated> {
    let instead =
        "This server keeps no permissions. Leave it out, and decide by roles or claims of your own.";
    refuse(fields.authorization_check.take(), "authorization_check", instead)?;
    let SessionOptions { length, session, claims } = fields.session_args().check()?;
    let credential = session.ok_or_else(|| {
        ApiError::invalid("no_session_arguments", "session_token or session_jwt is needed.")
    })?;
    let Context { engine, caller, .. } = &context;
    let (IssuedSession { session, token, jwt }, user) =
        engine.check_session(caller, &credential, length, &claims).await?;
    let body = SessionAuthenticated {
        session: Session::from(&session),
        session_token: token,
        session_jwt: jwt,
        user: User::from(user),
    };
    Ok(Answer::new(&caller.request_id, body))
}

/// Ends a session and all its tokens.
#[utoipa::path(post, path = "/v1/sessions/revoke", operation_id = "sessions_revoke", tag = "sessions", request_body = RevokeSession,
    responses((status = 200, body = Answer<SessionRevoked>)))]
async fn revoke(context: Context, Body(fields): Body<RevokeSession>) -> ApiResult<SessionRevoked> {
    let too_many = "too_many_session_revoke_arguments";
    let credential = one_of(fields.session_token, fields.session_jwt, fields.session_id, too_many)?;
    let credential = credential.ok_or_else(|| {
        let message = "session_id, session_token or session_jwt is needed.";
        ApiError::invalid("no_session_revoke_arguments", message)
    })?;
    let Context { engine, caller, .. } = &context;
    engine.end_session(caller, &credential).await?;
    Ok(Answer::new(&caller.request_id, SessionRevoked {}))
}

/// Lists the keys that verify JWTs, the newest first. Needs no credentials.
#[utoipa::path(get, path = "/v1/sessions/jwks/{project_id}", operation_id = "sessions_jwks", tag = "sessions", params(("project_id" = String, Path)),
    responses((status = 200, body = Answer<Jwks>)), security(()))]
async fn jwks(
    State(server): State<Server>,
    RequestId(request_id): RequestId,
    Path(project_id): Path<String>,
) -> ApiResult<Jwks> {
    let engine = server.engine()?;
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

/// Parses a body as each of these routes would, for fuzzing.
pub(crate) fn read_bodies(bytes: &[u8]) -> [Result<(), ApiError>; 2] {
    let authenticated = parse::<AuthenticateSession>(bytes).and_then(|mut body| {
        refuse(body.authorization_check.take(), "authorization_check", "")?;
        body.session_args().check().map(drop)
    });
    let revoked = parse::<RevokeSession>(bytes).and_then(|body| {
        let too_many = "too_many_session_revoke_arguments";
        one_of(body.session_token, body.session_jwt, body.session_id, too_many).map(drop)
    });
    [authenticated, revoked]
}
