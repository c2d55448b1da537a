//! Whether the daemon serves, and what changes that: a reload, a store that comes back or fails.

use super::Shared;
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::sqlite::Sqlite;
use crate::users::Users;
use sd_notify::NotifyState;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Whether the daemon serves.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// It does.
    Serving(Arc<Engine>),
    /// It refuses everybody; the text says why and what to do.
    Refusing(String),
}

/// Opens what the configuration names.
pub(super) fn phase_of(loaded: Result<Config, ConfigError>, users: &Arc<Users>) -> Phase {
    let open = |config: Config| -> Result<Engine, String> {
        let key = StoreKey::load(&config.key_file).map_err(|e| e.to_string())?;
        crate::init::check_store_id(&config, &key)?;
        let sealer = Sealer::new(&key);
        warn_of_findings(&config);
        let store =
            Sqlite::open(&config.state_dir, &sealer, config.keep_events).map_err(|e| e.to_string())?;
        Ok(Engine::new(Arc::new(store), sealer, Arc::clone(users), Arc::new(config)))
    };
    match loaded.map_err(|error| error.to_string()).and_then(open) {
        Ok(engine) => Phase::Serving(Arc::new(engine)),
        Err(why) => Phase::Refusing(why),
    }
}

/// Rules that never decide are no reason to refuse, and no reason to be silent.
fn warn_of_findings(config: &Config) {
    for finding in config.findings() {
        tracing::warn!("{finding}");
    }
}

/// SIGHUP. The old configuration stays in force when the new one is wrong.
pub(super) fn reload(path: &Path, shared: &Shared) {
    let loaded = Config::load(path);
    match (shared.phase(), loaded.clone().and_then(|config| config.whole(path))) {
        (Phase::Serving(_), Err(error)) => {
            tracing::error!("not reloaded, the old configuration stays in force: {error}");
        }
        (Phase::Serving(engine), Ok(config)) => {
            let old = engine.config();
            let fixed = |c: &Config| (c.socket_paths(), c.state_dir.clone(), c.key_file.clone());
            if fixed(old) != fixed(&config) {
                tracing::warn!("sockets, state_dir and key_file change with a restart only");
            }
            let place = |c: &Config| c.api().map(|h| (h.listen.clone(), h.connections));
            if place(old) != place(&config) {
                tracing::warn!(
                    "http.listen, its certificate's files and http.connections change with a restart only"
                );
            }
            warn_of_findings(&config);
            shared.set(Phase::Serving(Arc::new(engine.reconfigured(Arc::new(config)))));
            tracing::info!("reloaded {}", path.display());
        }
        (Phase::Refusing(_), _) => retry(loaded, shared),
    }
}

/// Looks whether a refusing daemon can serve now, and a serving one its store. Says whether that failed for good.
pub(super) fn check(path: &Path, shared: &Shared) -> bool {
    let held = shared.phase.read().unwrap_or_else(PoisonError::into_inner).clone();
    match held {
        Phase::Serving(engine) => {
            let poisoned = engine.poisoned().is_some();
            tokio::spawn(async move { engine.look().await });
            poisoned
        }
        Phase::Refusing(_) => {
            retry(Config::load(path), shared);
            false
        }
    }
}

fn retry(loaded: Result<Config, ConfigError>, shared: &Shared) {
    let held = shared.phase.read().unwrap_or_else(PoisonError::into_inner).clone();
    // A store that failed while writing is not opened again by this process.
    let Phase::Refusing(old) = held else { return };
    let phase = phase_of(loaded, &shared.users);
    let changed = !matches!(&phase, Phase::Refusing(why) if *why == old);
    shared.set(phase);
    if changed {
        announce(shared);
    }
}

pub(super) fn announce(shared: &Shared) {
    match shared.phase() {
        Phase::Serving(engine) => {
            let text = format!("serving store {}", engine.store_id());
            tracing::info!("{text}");
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
        }
        Phase::Refusing(why) => {
            tracing::error!("refusing every login: {why}");
            // Ready all the same: the sockets answer, and a restart would mend nothing.
            let text = format!("refusing every login: {why}");
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
        }
    }
}
