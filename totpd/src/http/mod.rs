//! The HTTP API for applications: users, TOTPs and sessions in the shape of Stytch's Consumer API
//! (docs/reference/api.md).
//!
//! ```text
//! server (listener, TLS, limits) ─▶ v1::auth (credentials, rate limit)
//!     ─▶ v1::{users, totps, sessions} ─▶ engine::api
//! ```
//!
//! It runs on a thread of its own, so that requests from the network delay no login.

mod key_rotation;
mod server;
mod v1;

pub(crate) use crate::http::server::validity::not_after as certificate_ends;

use crate::config::http::{Http, Listen};
use crate::http::server::connection::Service;
use crate::http::server::endpoint::Endpoint;
use crate::http::server::listener::Listener;
use crate::http::server::tls::Certificate;
use crate::http::v1::auth::Server;
use crate::sockets::activation::InheritedSocket;
use crate::state::DaemonState;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait after the API could not be started before it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Starts the thread of the API, which ends after `stopped` becomes true. Without a usable
/// configuration it only closes connections to the inherited socket.
///
/// # Errors
/// The thread or its runtime cannot be created.
pub(crate) fn start(
    state: Arc<DaemonState>,
    http: Result<Option<Http>, String>,
    inherited: Option<InheritedSocket>,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(32).enable_all().build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(run(state, http, inherited, stopped));
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

/// Parses a body as each route would, and returns the result of each; errors as their `Debug` text.
/// For fuzzing.
pub fn read_bodies(bytes: &[u8]) -> Vec<Result<(), String>> {
    let all = [
        v1::users::read_bodies(bytes).to_vec(),
        v1::user_search::read_bodies(bytes).to_vec(),
        v1::user_contacts::read_bodies(bytes).to_vec(),
        v1::totps::read_bodies(bytes).to_vec(),
        v1::totp_authentication::read_bodies(bytes).to_vec(),
        v1::sessions::read_bodies(bytes).to_vec(),
    ];
    all.concat().into_iter().map(|read| read.map_err(|error| format!("{error:?}"))).collect()
}

/// Says why the API could not use the certificate of this configuration; `None` if it can, or needs
/// none.
pub(crate) fn unusable_certificate(http: Option<&Http>) -> Option<String> {
    let Listen::Tls(_, files) = &http?.listen else { return None };
    Certificate::load(files).err().map(|why| format!("http: the API will not answer: {why}"))
}

async fn run(
    state: Arc<DaemonState>,
    http: Result<Option<Http>, String>,
    inherited: Option<InheritedSocket>,
    mut stopped: watch::Receiver<bool>,
) {
    let server = Server::new(Arc::clone(&state));
    let service =
        Service { app: v1::router::router(server), error_body: v1::request_id::malformed_request_body };
    // Before the first connection, so that the first request finds keys.
    let rotated = key_rotation::rotate_once(&state).await;
    let rotation = tokio::spawn(key_rotation::rotate_when_due(Arc::clone(&state), rotated));
    if let Some(endpoint) = open_endpoint(&state, http, inherited, &mut stopped).await {
        tracing::info!("the HTTP API answers on {}", endpoint.name());
        state.set_http(format!("answers on {}", endpoint.name()));
        endpoint.serve(&state, service, &mut stopped).await;
    }
    rotation.abort();
}

/// Tries to open the endpoint until it succeeds, and closes connections to the inherited socket
/// meanwhile. `None` when the daemon stops.
async fn open_endpoint(
    state: &DaemonState,
    http: Result<Option<Http>, String>,
    inherited: Option<InheritedSocket>,
    stopped: &mut watch::Receiver<bool>,
) -> Option<Endpoint> {
    let mut inherited = inherited.and_then(|socket| {
        let adopted = Listener::adopt(socket);
        adopted
            .inspect_err(|error| tracing::error!("the HTTP API cannot use the inherited socket: {error}"))
            .ok()
    });
    let mut reported = String::new();
    loop {
        match try_open(http.as_ref(), &mut inherited) {
            Ok(endpoint) => return Some(endpoint),
            // Logins go on. Each reason is reported once.
            Err(why) if why == reported => {}
            Err(why) => {
                tracing::error!("the HTTP API does not answer: {why}");
                state.set_http(format!("does not answer: {why}"));
                reported = why;
            }
        }
        let reject = async {
            match &inherited {
                Some(listener) => listener.reject_all().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
            () = reject => {}
            _ = stopped.wait_for(|stop| *stop) => return None,
        }
    }
}

fn try_open(
    http: Result<&Option<Http>, &String>,
    inherited: &mut Option<Listener>,
) -> Result<Endpoint, String> {
    match http.map_err(String::clone)? {
        Some(http) => Endpoint::open(http, inherited),
        None => {
            Err("totpd-http.socket listens, but http.listen is not set. Set it and restart totpd, or run: \
                     systemctl disable --now totpd-http.socket"
                .to_owned())
        }
    }
}
