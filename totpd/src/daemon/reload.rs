//! Whether the daemon serves, and what changes that: a reload, or a store that comes back or fails.

use crate::clock;
use crate::config::{Config, ConfigError, KeepOrder, Loaded};
use crate::daemon::error::ServeError;
use crate::engine::Engine;
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::state::{DaemonState, ServiceState};
use crate::store::{self, Health, OlderCopy};
use crate::user_directory::UserDirectory;
use sd_notify::NotifyState;
use std::path::Path;
use std::sync::Arc;

/// Opens the key and the store that the configuration names.
pub(super) async fn open(
    loaded: Result<Loaded, ConfigError>,
    directory: &Arc<UserDirectory>,
    older: OlderCopy,
) -> ServiceState {
    let engine = async |loaded: Loaded| -> Result<Engine, String> {
        let config = &loaded.config;
        let key = StoreKey::load(&config.key_file).map_err(|e| e.to_string())?;
        crate::init::check_store_id(config, &key)?;
        let sealer = Sealer::new(&key);
        let store = store::open::open(config, &sealer, clock::now(), older).await;
        let store = store.map_err(|error| error.to_string())?;
        // Not before: a daemon that tries again every five seconds would repeat them.
        warn_of_findings(config);
        loaded.keep(&sealer, KeepOrder::next());
        Ok(Engine::new(store, sealer, Arc::clone(directory), Arc::new(loaded.config)))
    };
    let opened = match loaded {
        Ok(loaded) => engine(loaded).await,
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(engine) => ServiceState::Serving(Arc::new(engine)),
        Err(why) => ServiceState::Refusing(why),
    }
}

/// Logs what `totpd config check` would say. Rules that never decide are no reason to refuse.
fn warn_of_findings(config: &Config) {
    if config.last_good.is_some() {
        return;
    }
    for finding in config.findings() {
        tracing::warn!("{finding}");
    }
}

/// Answers SIGHUP. The old configuration stays in force when the new one is wrong. What is returned
/// needs a fresh process.
pub(super) async fn reload(path: &Path, state: &DaemonState) -> Option<ServeError> {
    let ServiceState::Serving(engine) = state.service() else {
        retry(path, state).await;
        return None;
    };
    let valid = |Loaded { config, text }: Loaded| Ok(Loaded { config: config.require_valid(path)?, text });
    match Config::load(path).and_then(valid) {
        Err(error) => {
            tracing::error!("not reloaded, the old configuration stays in force: {error}");
            None
        }
        Ok(loaded) => adopt(path, state, &engine, loaded),
    }
}

/// Serves by another configuration from now on. What is returned needs a fresh process: the daemon
/// returns from the last good configuration by itself, also where the file names other sockets or
/// another store.
fn adopt(path: &Path, state: &DaemonState, engine: &Engine, loaded: Loaded) -> Option<ServeError> {
    let (old, config) = (engine.config(), &loaded.config);
    let fixed = |c: &Config| (c.socket_paths(), c.state_dir.clone(), c.key_file.clone(), c.store.clone());
    let mut places_differ = fixed(old) != fixed(config);
    if places_differ {
        tracing::warn!("sockets, state_dir, key_file and store change with a restart only");
    }
    let address = |c: &Config| c.api().map(|h| (h.listen.clone(), h.connections));
    if address(old) != address(config) {
        places_differ = true;
        tracing::warn!(
            "http.listen, its certificate's files and http.connections change with a restart only"
        );
    }
    warn_of_findings(config);
    engine.keep_configuration(loaded.clone());
    let was_broken = old.last_good.is_some();
    state.set(ServiceState::Serving(Arc::new(engine.reconfigured(Arc::new(loaded.config)))));
    tracing::info!("reloaded {}", path.display());
    if was_broken {
        announce(path, state);
    }
    (was_broken && places_differ).then_some(ServeError::OtherPlaces)
}

/// Checks whether a refusing daemon can serve now, whether a valid file has replaced the last good
/// configuration, and whether the store has failed. What is returned needs a fresh process.
pub(super) async fn check(path: &Path, state: &DaemonState) -> Option<ServeError> {
    match state.service_as_set() {
        ServiceState::Serving(engine) => match engine.health() {
            Health::Failed(_) => Some(ServeError::Poisoned),
            // The next check opens it, or says why not.
            Health::Reopen(why) => {
                state.set(ServiceState::Refusing(why));
                None
            }
            Health::Serving | Health::Unavailable(_) => leave_last_good(path, state, &engine),
        },
        ServiceState::Refusing(_) => {
            retry(path, state).await;
            None
        }
    }
}

/// Returns to the file once it is right. Until then another mistake in it is announced, and a rule
/// whose date has come denies.
fn leave_last_good(path: &Path, state: &DaemonState, engine: &Engine) -> Option<ServeError> {
    let last_good = engine.config().last_good.as_ref()?;
    match Loaded::of_file_or_last_good(path, Some(last_good.since)) {
        // The file was moved away, as editors do for a moment. The defaults would let in users whom
        // the copy denies.
        Ok(Loaded { text: None, config }) if config.last_good.is_none() => {}
        Ok(loaded) if loaded.config.last_good.is_none() => return adopt(path, state, engine, loaded),
        Ok(loaded) if loaded.config != *engine.config() => {
            state.set(ServiceState::Serving(Arc::new(engine.reconfigured(Arc::new(loaded.config)))));
            announce(path, state);
        }
        // The copy that was read stays in force, whatever happened to the file and the copy since.
        Ok(_) | Err(_) => {}
    }
    None
}

/// Opens everything again, unless the store failed while writing: this process does not open that
/// again.
async fn retry(path: &Path, state: &DaemonState) {
    let ServiceState::Refusing(old) = state.service_as_set() else { return };
    let older = state.take_acceptance();
    let service = open(Loaded::of_file_or_last_good(path, None), &state.directory, older).await;
    let changed = !matches!(&service, ServiceState::Refusing(why) if *why == old);
    state.set(service);
    if changed {
        announce(path, state);
    }
}

/// Says in the log and to the supervisor whether the daemon serves, and why not.
pub(super) fn announce(path: &Path, state: &DaemonState) {
    match state.service() {
        ServiceState::Serving(engine) => {
            let text = format!("serving store {}", engine.store_id());
            tracing::info!("{text}");
            let last_good = engine.config().last_good.as_ref().map(|last_good| last_good.notice(path));
            if let Some(notice) = &last_good {
                tracing::error!("{notice}");
            }
            let text = last_good.or_else(|| engine.notice()).unwrap_or(text);
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
        }
        ServiceState::Refusing(why) => {
            tracing::error!("refusing every login: {why}");
            // Ready all the same: the sockets answer, and a restart would fix nothing.
            let text = format!("refusing every login: {why}");
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
        }
    }
}
