//! Whether the daemon serves, and what changes that: a reload, a store that comes back or fails.

use super::Shared;
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::sqlite::{Sqlite, Start};
use crate::users::Users;
use crate::witness::{self, Witness};
use sd_notify::NotifyState;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
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
///
/// `accept`: an administrator has accepted a store that is older than its witness.
pub(super) fn phase_of(loaded: Result<Config, ConfigError>, users: &Arc<Users>, accept: bool) -> Phase {
    let open = |config: Config| -> Result<Engine, String> {
        let key = StoreKey::load(&config.key_file).map_err(|e| e.to_string())?;
        crate::init::check_store_id(&config, &key)?;
        check_owner(&config)?;
        let sealer = Sealer::new(&key);
        warn_of_findings(&config);
        let witness = Witness::new(&witness::folder(config.witness_dir.as_deref()), &key.store_id);
        let start = Start { now: clock::now(), accept };
        let store = Sqlite::open(&config.state_dir, &sealer, config.keep_events, witness, start)
            .map_err(|e| e.to_string())?;
        Ok(Engine::new(Arc::new(store), sealer, Arc::clone(users), Arc::new(config)))
    };
    match loaded.map_err(|error| error.to_string()).and_then(open) {
        Ok(engine) => Phase::Serving(Arc::new(engine)),
        Err(why) => Phase::Refusing(why),
    }
}

/// SQLite opens its files by path and follows links. Root must not do that in a folder where another user makes them.
fn check_owner(config: &Config) -> Result<(), String> {
    let folder = config.state_dir.display();
    let owner = std::fs::metadata(&config.state_dir).map_or(0, |metadata| metadata.uid());
    if !nix::unistd::geteuid().is_root() || owner == 0 {
        return Ok(());
    }
    Err(format!(
        "{folder} belongs to uid {owner}, and this daemon runs as root, which opens nothing there. Start the service \
         (`systemctl start totpd`), or run: setpriv --reuid {owner} --clear-groups totpd serve"
    ))
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
    let accept = shared.accept.swap(false, Ordering::Relaxed);
    let phase = phase_of(loaded, &shared.users, accept);
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
            let text = engine.notice().unwrap_or(text);
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
