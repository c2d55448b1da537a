//! What the front ends share: whether the daemon serves, and what `totpd status` says about it.

use crate::engine::Engine;
use crate::store::OlderCopy;
use crate::sync::ignore_poison;
use crate::user_directory::UserDirectory;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// Whether the daemon serves.
#[derive(Clone, Debug)]
pub(crate) enum ServiceState {
    /// It answers by this engine.
    Serving(Arc<Engine>),
    /// It refuses everybody. The text says why and what to do.
    Refusing(String),
}

/// What every connection of every front end shares.
#[derive(Debug)]
pub(crate) struct DaemonState {
    service: RwLock<ServiceState>,
    /// The users of this host.
    pub(crate) directory: Arc<UserDirectory>,
    /// An administrator has accepted a store that is older than its witness.
    accept: AtomicBool,
    /// Where the HTTP API answers, or why it does not. `None`: the configuration has no API.
    http: RwLock<Option<String>>,
    started: Instant,
}

impl DaemonState {
    /// The state of a daemon that starts now.
    pub(crate) fn new(service: ServiceState, directory: Arc<UserDirectory>) -> Self {
        Self {
            service: RwLock::new(service),
            directory,
            accept: AtomicBool::new(false),
            http: RwLock::default(),
            started: Instant::now(),
        }
    }

    /// Whether the daemon serves now. It refuses with a store that failed while writing.
    pub(crate) fn service(&self) -> ServiceState {
        let service = self.service_as_set();
        match &service {
            ServiceState::Serving(engine) => engine.health().reason().map_or(service, ServiceState::Refusing),
            ServiceState::Refusing(_) => service,
        }
    }

    /// The state that was set last, whatever happened to the store since.
    pub(crate) fn service_as_set(&self) -> ServiceState {
        ignore_poison(self.service.read()).clone()
    }

    /// Sets whether the daemon serves from now on.
    pub(crate) fn set(&self, service: ServiceState) {
        *ignore_poison(self.service.write()) = service;
    }

    /// Where the HTTP API answers, or why it does not; `None` when the configuration names no API.
    pub(crate) fn http_state(&self) -> Option<String> {
        ignore_poison(self.http.read()).clone()
    }

    /// Records where the HTTP API answers, or why it does not.
    pub(crate) fn set_http(&self, state: String) {
        *ignore_poison(self.http.write()) = Some(state);
    }

    /// Notes that an administrator accepts a store that is older than its witness, once.
    pub(crate) fn accept_older_store(&self) {
        self.accept.store(true, Ordering::Relaxed);
    }

    /// What becomes of an older store: an administrator may have accepted it since the last call.
    pub(crate) fn take_acceptance(&self) -> OlderCopy {
        if self.accept.swap(false, Ordering::Relaxed) { OlderCopy::Accept } else { OlderCopy::Refuse }
    }

    /// How long the daemon has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
