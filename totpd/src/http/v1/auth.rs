//! Who asks: HTTP's Basic scheme (RFC 7617), the client's scope, its rate.

use crate::engine::Engine;
use crate::engine::api::{ApiRefusal, AuthenticatedClient, Caller, Scope};
use crate::http::server::connection_limits::HttpConnectionSlot;
use crate::http::v1::client_limits::{ClientLimits, InFlight, LargeResponsePermit, RequestPermit, holding};
use crate::http::v1::error::ApiError;
use crate::state::{DaemonState, ServiceState};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use std::sync::Arc;
use totp_core::random;
use zeroize::Zeroizing;

/// The longest credentials that are looked at, in base64.
const MOST_CREDENTIALS: usize = 1024;

/// What every request shares.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) shared: Arc<DaemonState>,
    pub(crate) shares: Arc<ClientLimits>,
}

impl Server {
    /// A server on which no client has made a request yet.
    pub(crate) fn new(shared: Arc<DaemonState>) -> Self {
        Self { shared, shares: Arc::default() }
    }
}

/// Names a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// A request whose credentials are good.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) engine: Arc<Engine>,
    pub(crate) caller: Caller,
    shares: Arc<ClientLimits>,
}

impl Context {
    /// Whether the client may do this.
    pub(crate) fn may(&self, scope: Scope) -> Result<(), ApiError> {
        if self.caller.scope >= scope {
            return Ok(());
        }
        let (has, needs) = (self.caller.scope.as_str(), scope.as_str());
        let message = format!("These credentials have the scope {has}, and this takes {needs}.");
        Err(ApiError::new(StatusCode::FORBIDDEN, "unauthorized_action", message))
    }

    /// Waits until the client may have one more large answer, which the turn goes with.
    pub(crate) async fn large(&self) -> Result<Extension<LargeResponsePermit>, ApiError> {
        let turn = self.shares.large(&self.caller.client).await?;
        self.is_current().await?;
        Ok(Extension(turn))
    }

    /// Whether the credentials are good still, after a wait.
    pub(crate) async fn is_current(&self) -> Result<(), ApiError> {
        Ok(self.engine.is_current(&self.caller).await?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The layer below puts it there, or answers itself.
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::unavailable)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::unavailable)
    }
}

/// A name for a request; none when the kernel has no random bytes.
pub(crate) fn new_request_id() -> Option<String> {
    let bytes = random::bytes::<16>(&mut crate::os_random::Kernel).ok()?;
    Some(format!("request-id-live-{}", data_encoding::HEXLOWER.encode(&bytes)))
}

/// The body of the response to a request that cannot be read as HTTP.
pub(crate) fn malformed_request_body(status: StatusCode) -> String {
    let message = match status {
        StatusCode::URI_TOO_LONG => "The path of the request is too long.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is too large.",
        _ => "The request cannot be read as HTTP.",
    };
    ApiError::new(status, "bad_request", message).body(&new_request_id().unwrap_or_default())
}

/// The outermost layer: names the request, gives every error its body, and holds what is held until the answer has left.
pub(crate) async fn request_id_layer(mut request: Request, next: Next) -> Response {
    let Some(id) = new_request_id() else {
        return ApiError::unavailable().answer("request-id-live-none");
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    let underway = response.extensions_mut().remove::<InFlight>();
    let response = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error.answer(&id),
        // An answer of the router's own, such as to a path that is no text.
        None if response.status().is_client_error() || response.status().is_server_error() => {
            ApiError::new(response.status(), "bad_request", "The request cannot be understood.").answer(&id)
        }
        None => response,
    };
    match underway {
        Some(underway) => holding(response, underway).await,
        None => response,
    }
}

/// Lets a request through whose credentials are good, with its [`Context`].
pub(crate) async fn auth_layer(State(server): State<Server>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let place = parts.extensions.remove::<Arc<HttpConnectionSlot>>();
    // Out of the request, so that nothing further down keeps or prints it; wiped with its buffer when that is freed.
    let authorization = parts.headers.remove(header::AUTHORIZATION);
    match context(&server, &parts, authorization, place.as_deref()).await {
        Ok((context, turn)) => {
            let visit = place.map(|place| place.begin_request(&context.caller.client));
            parts.extensions.insert(context);
            let mut response = next.run(Request::from_parts(parts, body)).await;
            response.extensions_mut().insert(InFlight::new(turn, visit));
            response
        }
        Err(error) => {
            if let Some(place) = place.filter(|_| error.is_unauthorised()) {
                place.mark_unauthenticated();
            }
            error.into_response()
        }
    }
}

/// Headers by which Stytch's B2B API asks whether the member of a session may do what is requested.
const MEMBER: [&str; 2] = ["x-stytch-member-session", "x-stytch-member-sessionjwt"];

async fn context(
    server: &Server,
    request: &Parts,
    authorization: Option<HeaderValue>,
    place: Option<&HttpConnectionSlot>,
) -> Result<(Context, RequestPermit), ApiError> {
    let request_id = request.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let peer_address =
        place.and_then(|place| place.peer().address()).map(|address| address.to_canonical().to_string());
    let engine = match server.shared.service() {
        ServiceState::Serving(engine) => engine,
        ServiceState::Refusing(_) => return Err(ApiError::unavailable()),
    };
    let refused = || {
        if server.shares.may_log() {
            engine.bad_credentials(&request_id, peer_address.as_deref());
        }
        ApiError::from(ApiRefusal::Revoked)
    };
    let (project_id, secret) = authorization.and_then(credentials).ok_or_else(refused)?;
    let client = engine
        .client_of(&project_id, &secret)
        .await
        .map_err(|failure| ApiError::from(ApiRefusal::from(failure)))?;
    let AuthenticatedClient { name: client, secret, scope } = client.ok_or_else(refused)?;
    let most = engine.config().api().map_or(u32::MAX, |http| http.requests_per_minute);
    let turn = server.shares.allow(&client, most)?;
    if let Some(name) = MEMBER.into_iter().find(|name| request.headers.contains_key(*name)) {
        let instead = "This server keeps no permissions of members. Leave the header out.";
        return Err(ApiError::unsupported(name, instead));
    }
    let caller = Caller { client, secret, scope, request_id, peer_address };
    Ok((Context { engine, caller, shares: Arc::clone(&server.shares) }, turn))
}

#[expect(clippy::needless_pass_by_value, reason = "the header ends here")]
fn credentials(authorization: HeaderValue) -> Option<(String, Zeroizing<String>)> {
    let (scheme, text) = authorization.to_str().ok()?.split_once(' ')?;
    let text = text.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("basic") || text.len() > MOST_CREDENTIALS {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(text.as_bytes()).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}
