//! The HTTP API for applications: users, TOTPs and sessions in the shape of Stytch's Consumer API (docs/reference/api.md).
//!
//! ```text
//! listen ─▶ connection (TLS, limits) ─▶ context (credentials, scope, rate) ─▶ users | totps | sessions ─▶ engine::api
//! ```
//!
//! It runs on a thread of its own: whatever comes over the network, no login waits for it.

mod server;
mod v1;

pub(crate) use crate::http::server::validity::not_after as certificate_ends;

use crate::config::http::{Http, Listen};
use crate::engine::api::ApiRefusal;
use crate::http::server::connection_limits::ConnectionTable;
use crate::http::server::listener::Listener;
use crate::http::server::tls::Certificate;
use crate::http::v1::auth::Server;
use crate::sockets::activation::InheritedSocket;
use crate::state::{DaemonState, ServiceState};
use axum::Router;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often it is tried again to listen, and looked whether the certificate changed and who does not read.
const RETRY: Duration = Duration::from_secs(5);
/// How often the keys of tokens are looked after.
const KEY_CHECK_INTERVAL: Duration = Duration::from_mins(10);
/// Connections beyond those that have a place.
const CLOSING_HEADROOM: usize = 64;
/// How long what is in flight may take after a stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Starts the thread; with an error, or without a configuration, it only turns away whoever comes to a socket that was
/// handed over. It ends after `stopped` says so.
///
/// # Errors
/// When no thread can be had.
pub(crate) fn start(
    shared: Arc<DaemonState>,
    http: Result<Option<Http>, String>,
    handed: Option<InheritedSocket>,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(32).enable_all().build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(run(shared, http, handed, stopped));
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

/// Reads a body as that of every route, and says what each says of it (its errors in their `Debug` form).
pub fn read_bodies(bytes: &[u8]) -> Vec<Result<(), String>> {
    let all = [
        v1::users::read_bodies(bytes).to_vec(),
        v1::user_search::read_bodies(bytes).to_vec(),
        v1::totps::read_bodies(bytes).to_vec(),
        v1::sessions::read_bodies(bytes).to_vec(),
    ];
    all.concat().into_iter().map(|read| read.map_err(|error| format!("{error:?}"))).collect()
}

async fn run(
    shared: Arc<DaemonState>,
    http: Result<Option<Http>, String>,
    handed: Option<InheritedSocket>,
    mut stopped: watch::Receiver<bool>,
) {
    let server = Server { shared, shares: Arc::default() };
    let app = v1::router::router(server.clone());
    // Whoever is answered at all finds keys, unless they cannot be made.
    let tended = rotate_keys_once(&server.shared).await;
    let tender = tokio::spawn(keep_keys_fresh(Arc::clone(&server.shared), tended));
    let mut said = String::new();
    let mut handed = handed.and_then(|socket| {
        let adopted = Listener::adopt(socket);
        adopted.inspect_err(|error| tracing::error!("the socket of the HTTP API is of no use: {error}")).ok()
    });
    let ready = loop {
        match prepare(http.as_ref(), &mut handed) {
            Ok(ready) => break Some(ready),
            Err(why) => {
                // Logins go on. It is said once, and again when the reason is another one.
                if why != said {
                    tracing::error!("the HTTP API does not answer: {why}");
                    server.shared.set_http(format!("does not answer: {why}"));
                    said = why;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = async { if let Some(socket) = &handed { socket.turn_away().await } else { pending().await } } => {}
            _ = stopped.wait_for(|stop| *stop) => break None,
        }
    };
    if let Some((listener, certificate, most)) = ready {
        tracing::info!("the HTTP API answers on {}", listener.name());
        server.shared.set_http(format!("answers on {}", listener.name()));
        serve(&server.shared, most, listener, certificate, app, &mut stopped).await;
    }
    tender.abort();
}

/// What is wrong with the certificate that the API is to answer with, as far as whoever asks may read it.
pub(crate) fn unusable_certificate(http: Option<&Http>) -> Option<String> {
    let Listen::Tls(_, files) = &http?.listen else { return None };
    Certificate::load(files).err().map(|why| format!("http: the API will not answer: {why}"))
}

/// A listener, the certificate it needs, if any, and how many connections there may be.
fn prepare(
    http: Result<&Option<Http>, &String>,
    handed: &mut Option<Listener>,
) -> Result<(Listener, Option<Arc<Certificate>>, usize), String> {
    let Some(http) = http.map_err(String::clone)? else {
        return Err(
            "http.listen names no place, and totpd-http.socket listens: disable and stop it".to_owned()
        );
    };
    let certificate = match &http.listen {
        Listen::Tls(_, files) => Some(Arc::new(Certificate::load(files)?)),
        Listen::Unix(_) | Listen::Plain(_) => None,
    };
    Ok((Listener::open(&http.listen, handed)?, certificate, http.connections))
}

async fn serve(
    shared: &DaemonState,
    most: usize,
    listener: Listener,
    certificate: Option<Arc<Certificate>>,
    app: Router,
    stopped: &mut watch::Receiver<bool>,
) {
    let stop = stopped.clone();
    let guests = ConnectionTable::new(most);
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(RETRY);
    loop {
        // Who has given way has its socket until its task has ended: no more are accepted than end.
        while connections.try_join_next().is_some() {}
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most + CLOSING_HEADROOM => match accepted {
                Ok((stream, from)) => {
                    if let Some(place) = guests.enter(from) {
                        let (app, certificate) = (app.clone(), certificate.clone());
                        let stopped = stop.clone();
                        connections.spawn(server::connection::serve(stream, place, certificate, app, stopped));
                    }
                }
                Err(error) => {
                    tracing::warn!("the HTTP API cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            _ = look.tick() => {
                guests.sweep();
                if let Some(state) = certificate.as_ref().and_then(|c| c.refresh()) {
                    shared.set_http(format!("answers on {}{state}", listener.name()));
                }
            }
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, finish).await;
}

async fn rotate_keys_once(shared: &DaemonState) -> Result<(), ApiRefusal> {
    match shared.service() {
        ServiceState::Serving(engine) => engine.rotate_keys().await,
        ServiceState::Refusing(_) => Err(ApiRefusal::Busy),
    }
}

/// Looks after the keys of tokens: makes the first, and new ones in time.
async fn keep_keys_fresh(shared: Arc<DaemonState>, mut done: Result<(), ApiRefusal>) {
    let mut said = false;
    loop {
        if let (Err(ApiRefusal::Unavailable(why)), false) = (&done, said) {
            tracing::error!("the HTTP API has no keys for its tokens: {why}");
            said = true;
        }
        tokio::time::sleep(if done.is_ok() { KEY_CHECK_INTERVAL } else { RETRY }).await;
        done = rotate_keys_once(&shared).await;
    }
}
