//! `totpd serve`: the event loop of a daemon that refuses rather than ends.
//!
//! A broken configuration or store does not end the daemon. It stays up, refuses every login, says
//! why in the log and in `totpd status`, and recovers on reload, or by itself once what was missing
//! is there. There is one exception: a fresh process has to reopen a store that failed while
//! writing or was moved away. So under a supervisor that handed over the sockets the daemon ends,
//! and is started again.

mod error;
mod log_report;
mod reload;

pub use error::ServeError;

use crate::config::http::Http;
use crate::config::{Config, ConfigError, Loaded};
use crate::daemon::log_report::Reporter;
use crate::daemon::reload::{announce, check, open, reload};
use crate::hardening::harden;
use crate::http;
use crate::logging;
use crate::sockets::activation::Sockets;
use crate::sockets::listener::Listener;
use crate::state::{DaemonState, ServiceState};
use crate::store::OlderCopy;
use crate::user_directory::UserDirectory;
use crate::varlink::acceptor::Acceptor;
use crate::varlink::connection_limits::{Limits, MAX_CONNECTIONS};
use crate::varlink::introspection::SocketKind;
use crate::varlink::prompt_history::PromptHistory;
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::server::Server;
use sd_notify::NotifyState;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often a refusing daemon checks whether it can serve.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How often expired enrollments are removed.
const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);
/// How long connections may take to end after a stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the daemon until a signal stops it.
///
/// # Errors
/// [`ServeError`]: what a supervisor or an administrator has to fix.
pub fn run(config_path: &Path) -> Result<(), ServeError> {
    logging::start()?;
    let result = run_logged(config_path);
    if let Err(error) = &result {
        tracing::error!("{error}");
    }
    logging::flush();
    result
}

fn run_logged(config_path: &Path) -> Result<(), ServeError> {
    let descriptors = harden();
    let loaded = Loaded::of_file_or_last_good(config_path, None);
    let sockets = match &loaded {
        Ok(Loaded { config, .. }) if config.last_good.is_none() => Sockets::take(&config.socket_paths())?,
        // The broken file may name other sockets than the copy. Inherited ones are told apart by
        // their names.
        Ok(Loaded { config, .. }) => {
            let sockets = Sockets::take_for_broken(Some(config.socket_paths()));
            sockets.ok_or(ServeError::NoSockets)??
        }
        Err(error) => {
            tracing::error!("{error}");
            let named = std::fs::read_to_string(config_path).ok();
            let named = named.as_deref().and_then(Config::sockets_of_broken);
            Sockets::take_for_broken(named).ok_or_else(|| error.clone())??
        }
    };
    // One thread for everything that waits: nothing on it blocks (the store and NSS have threads of
    // their own), and a login wakes half as many threads as with two workers
    // (docs/explanation/benchmarks.md).
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(32).enable_all().build()?;
    let result = runtime.block_on(serve(config_path.to_owned(), loaded, sockets, descriptors));
    // A directory look-up that hangs must not keep the process from its end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(
    path: PathBuf,
    loaded: Result<Loaded, ConfigError>,
    mut sockets: Sockets,
    descriptors: u64,
) -> Result<(), ServeError> {
    let directory = Arc::new(UserDirectory::default());
    let paths: Vec<PathBuf> = [sockets.root.as_ref(), Some(&sockets.login)]
        .into_iter()
        .flatten()
        .filter_map(Listener::path)
        .collect();
    let api = loaded.as_ref().map_or(Ok(None), |loaded| loaded.config.http.clone());
    let service = open(loaded, &directory, OlderCopy::Refuse).await;
    let connections = api.as_ref().ok().and_then(Option::as_ref).map_or(0, |http| http.connections);
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let state = Arc::new(DaemonState::new(service, directory));
    let (rate_limit, prompt_history) = (Arc::new(RateLimit::default()), Arc::new(PromptHistory::default()));
    let (stop, stopped) = watch::channel(false);
    let api = start_api(api, &state, &mut sockets, &stopped);
    let descriptors = descriptors.saturating_sub(connections).max(descriptors / 2);
    let mut acceptors = JoinSet::new();
    for (kind, listener) in [
        (SocketKind::Root, sockets.root),
        (SocketKind::Login, Some(sockets.login)),
        (SocketKind::Admin, sockets.admin),
    ] {
        let Some(listener) = listener else { continue };
        let (listener, stopped) = (listener.into_tokio()?, stopped.clone());
        let server = Arc::new(Server {
            state: Arc::clone(&state),
            limits: Limits::new(slots(kind, descriptors)),
            rate_limit: Arc::clone(&rate_limit),
            prompt_history: Arc::clone(&prompt_history),
        });
        acceptors.spawn(Acceptor { kind, listener, server, stopped }.run());
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut retry = tokio::time::interval(RETRY_INTERVAL);
    let mut sweep = tokio::time::interval(EXPIRY_INTERVAL);
    let reporter = Arc::new(Reporter::default());
    announce(&path, &state);
    let result = loop {
        tokio::select! {
            () = terminated(&mut terminate, &mut interrupt) => break Ok(()),
            _ = hangup.recv() => {
                restore_sockets(&paths);
                if let Some(end) = reload(&path, &state).await.filter(|_| sockets.adopted) {
                    break Err(end);
                }
            }
            _ = retry.tick() => {
                restore_sockets(&paths);
                if let Some(end) = check(&path, &state).await.filter(|_| sockets.adopted) {
                    break Err(end);
                }
                if let ServiceState::Serving(engine) = state.service() {
                    let reporter = Arc::clone(&reporter);
                    tokio::spawn(async move { reporter.report(&engine).await });
                }
            }
            _ = sweep.tick() => {
                if let ServiceState::Serving(engine) = state.service() {
                    tokio::spawn(async move { engine.sweep().await });
                }
            }
        }
    };
    tracing::info!("stopping: finishing what is in flight");
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    drop(sockets.files);
    let _ = stop.send(true);
    let finish = async { while acceptors.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, finish).await;
    if let Some(api) = api {
        let _ = tokio::task::spawn_blocking(|| api.join()).await;
    }
    let serving = match state.service() {
        ServiceState::Serving(engine) => Some(engine),
        ServiceState::Refusing(_) => None,
    };
    reporter.finish(serving.as_deref()).await;
    result
}

/// Starts the thread of the HTTP API, if the configuration has one, or if a socket was inherited
/// whose clients have to be turned away. A failure stops no login.
fn start_api(
    http: Result<Option<Http>, String>,
    state: &Arc<DaemonState>,
    sockets: &mut Sockets,
    stopped: &watch::Receiver<bool>,
) -> Option<std::thread::JoinHandle<()>> {
    let inherited = sockets.http.take();
    if http == Ok(None) && inherited.is_none() {
        return None;
    }
    state.set_http("is starting".to_owned());
    let started = http::start(Arc::clone(state), http, inherited, stopped.clone());
    started.inspect_err(|error| tracing::error!("the HTTP API cannot be started: {error}")).ok()
}

/// How many connections a socket may have, of all `descriptors`. Root's programs have most of them.
fn slots(kind: SocketKind, descriptors: u64) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    match kind {
        SocketKind::Root => MAX_CONNECTIONS.min(descriptors / 2),
        SocketKind::Login => MAX_CONNECTIONS.min(descriptors / 3),
        SocketKind::Admin => (MAX_CONNECTIONS / 128).min(descriptors / 16),
    }
}

/// Takes the login sockets back from a break-glass that was killed.
fn restore_sockets(paths: &[PathBuf]) {
    for path in paths.iter().filter(|path| crate::breakglass::give_back_left_over(path)) {
        tracing::warn!("break-glass was killed; {} is given back", path.display());
    }
}

async fn terminated(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
