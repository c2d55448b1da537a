//! What the front ends share: whether the daemon serves, and what `totpd status` says about it.

use crate::engine::Engine;
use crate::sync::ignore_poison;
use crate::user_directory::UserDirectory;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// Whether the daemon serves.
#[derive(Clone, Debug)]
pub(crate) enum ServiceState {
    /// It does.
    Serving(Arc<Engine>),
    /// It refuses everybody; the text says why and what to do.
    Refusing(String),
}

/// What every connection of every front end shares.
#[derive(Debug)]
pub(crate) struct DaemonState {
    phase: RwLock<ServiceState>,
    /// The users of this host.
    pub(crate) users: Arc<UserDirectory>,
    /// An administrator has accepted that the store is older than its witness.
    accept: AtomicBool,
    /// Where the HTTP API answers, or why it does not.
    http: RwLock<Option<String>>,
    started: Instant,
}

impl DaemonState {
    /// The state of a daemon that starts now.
    pub(crate) fn new(phase: ServiceState, users: Arc<UserDirectory>) -> Self {
        Self {
            phase: RwLock::new(phase),
            users,
            accept: AtomicBool::new(false),
            http: RwLock::default(),
            started: Instant::now(),
        }
    }

    /// Whether the daemon serves now. A store that failed while writing serves nobody.
    pub(crate) fn service(&self) -> ServiceState {
        let phase = self.service_as_set();
        match &phase {
            ServiceState::Serving(engine) => engine.poisoned().map_or(phase, ServiceState::Refusing),
            ServiceState::Refusing(_) => phase,
        }
    }

    /// The state that was set last, whatever became of the store since.
    pub(crate) fn service_as_set(&self) -> ServiceState {
        ignore_poison(self.phase.read()).clone()
    }

    /// From now on the daemon serves, or refuses, like this.
    pub(crate) fn set(&self, phase: ServiceState) {
        *ignore_poison(self.phase.write()) = phase;
    }

    /// Where the HTTP API answers, or why it does not; `None` when the configuration names no API.
    pub(crate) fn http_state(&self) -> Option<String> {
        ignore_poison(self.http.read()).clone()
    }

    /// Records where the HTTP API answers, or why it does not.
    pub(crate) fn set_http(&self, state: String) {
        *ignore_poison(self.http.write()) = Some(state);
    }

    /// An administrator accepts a store that is older than its witness, once.
    pub(crate) fn accept_older_store(&self) {
        self.accept.store(true, Ordering::Relaxed);
    }

    /// Whether an administrator has accepted an older store since this was asked last.
    pub(crate) fn take_acceptance(&self) -> bool {
        self.accept.swap(false, Ordering::Relaxed)
    }

    /// How long the daemon has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
