//! Authentication of a request: HTTP's Basic scheme (RFC 7617), the rate limit of the client, and
//! its scope.
//!
//! [`auth_layer`] authenticates each request once. [`Context::wait`] authenticates it again after
//! everything that it waits for, since its credentials may have been revoked meanwhile.

use crate::engine::Engine;
use crate::engine::api::{ApiRefusal, AuthenticatedClient, Caller, Scope};
use crate::http::server::connection_limits::HttpConnectionSlot;
use crate::http::v1::client_limits::{ClientLimits, InFlight, LargeResponsePermit};
use crate::http::v1::error::ApiError;
use crate::http::v1::readiness::Readiness;
use crate::http::v1::request_id::RequestId;
use crate::state::{DaemonState, ServiceState};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The longest credentials that are decoded, in characters of base64.
const MAX_CREDENTIALS: usize = 1024;

/// Headers of Stytch's B2B API that ask for a check of a member's permissions.
const MEMBER_HEADERS: [&str; 2] = ["x-stytch-member-session", "x-stytch-member-sessionjwt"];

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    state: Arc<DaemonState>,
    limits: Arc<ClientLimits>,
    readiness: Arc<Readiness>,
}

impl Server {
    /// A server on which no client has made a request yet.
    pub(crate) fn new(state: Arc<DaemonState>) -> Self {
        Self { state, limits: Arc::default(), readiness: Arc::default() }
    }

    /// Whether the server is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.readiness.check(self.engine().ok()).await
    }

    /// The engine, unless the daemon refuses requests.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, ApiError> {
        match self.state.service() {
            ServiceState::Serving(engine) => Ok(engine),
            ServiceState::Refusing(_) => Err(ApiError::unavailable()),
        }
    }
}

/// An authenticated request.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) engine: Arc<Engine>,
    pub(crate) caller: Caller,
    limits: Arc<ClientLimits>,
}

impl Context {
    /// Refuses the request unless the credentials have this scope or a higher one.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.caller.scope >= scope {
            return Ok(());
        }
        let (has, needs) = (self.caller.scope.as_str(), scope.as_str());
        let message = format!("These credentials have the scope {has}, and this needs {needs}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "unauthorized_action", message))
    }

    /// Waits for something that a request needs, and refuses the request if its credentials were
    /// revoked meanwhile.
    pub(crate) async fn wait<T>(
        &self,
        event: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.engine.wait_authenticated(&self.caller, event).await
    }

    /// Waits until the client may have one more large response. The permit belongs into the
    /// response.
    pub(crate) async fn permit_large_response(&self) -> Result<Extension<LargeResponsePermit>, ApiError> {
        self.wait(self.limits.permit_large_response(&self.caller.client)).await.map(Extension)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // `auth_layer` inserts it, or responds itself.
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::unavailable)
    }
}

/// Passes on an authenticated request with its [`Context`], and responds to any other one.
pub(crate) async fn auth_layer(State(server): State<Server>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let slot = parts.extensions.remove::<Arc<HttpConnectionSlot>>();
    // Removed, so that no handler keeps or logs it. Its buffer is wiped when it is freed.
    let authorization = parts.headers.remove(header::AUTHORIZATION);
    let context = match authenticate(&server, &parts, authorization, slot.as_deref()).await {
        Ok(context) => context,
        Err(error) => {
            if let Some(slot) = slot.filter(|_| error.is_unauthorized()) {
                slot.mark_unauthenticated();
            }
            return error.into_response();
        }
    };
    let client = context.caller.client.clone();
    let per_minute = context.engine.config().api().map_or(u32::MAX, |http| http.requests_per_minute);
    let (permit, quota) = server.limits.permit_request(&client, per_minute);
    let mut response = match permit.and_then(|permit| refuse_members(&parts).map(|()| permit)) {
        Ok(permit) => {
            let guard = slot.map(|slot| slot.begin_request(&client));
            parts.extensions.insert(context);
            let mut response = next.run(Request::from_parts(parts, body)).await;
            response.extensions_mut().insert(InFlight::new(permit, guard));
            response
        }
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(quota);
    response
}

/// Refuses a request that asks for a check of a member's permissions.
fn refuse_members(request: &Parts) -> Result<(), ApiError> {
    match MEMBER_HEADERS.into_iter().find(|name| request.headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => {
            let instead = "This server keeps no permissions of members. Leave the header out.";
            Err(ApiError::unsupported(name, instead))
        }
    }
}

async fn authenticate(
    server: &Server,
    request: &Parts,
    authorization: Option<HeaderValue>,
    slot: Option<&HttpConnectionSlot>,
) -> Result<Context, ApiError> {
    let RequestId(request_id) =
        request.extensions.get::<RequestId>().cloned().ok_or_else(ApiError::unavailable)?;
    let peer_address =
        slot.and_then(|slot| slot.peer().address()).map(|address| address.to_canonical().to_string());
    let engine = server.engine()?;
    let refuse = || {
        if server.limits.may_log_refusal() {
            engine.log_bad_credentials(&request_id, peer_address.as_deref());
        }
        ApiError::from(ApiRefusal::Revoked)
    };
    let (project_id, secret) = authorization.and_then(credentials).ok_or_else(refuse)?;
    let client = engine.authenticate_client(&project_id, &secret).await.map_err(ApiRefusal::from)?;
    let AuthenticatedClient { name: client, secret, scope } = client.ok_or_else(refuse)?;
    let caller = Caller { client, secret, scope, request_id, peer_address };
    Ok(Context { engine, caller, limits: Arc::clone(&server.limits) })
}

/// User and password of the Basic scheme.
#[expect(clippy::needless_pass_by_value, reason = "the header is dropped here")]
fn credentials(authorization: HeaderValue) -> Option<(String, Zeroizing<String>)> {
    let (scheme, text) = authorization.to_str().ok()?.split_once(' ')?;
    let text = text.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("basic") || text.len() > MAX_CREDENTIALS {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(text.as_bytes()).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}
