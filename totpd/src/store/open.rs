//! Opens, makes and copies the store that the configuration names. Nothing else knows which
//! database that is.
//!
//! A second database is one more arm in each of these functions, chosen by the configuration; what
//! is returned stays the same.

use crate::audit::EventRow;
use crate::config::server_url::PostgresSettings;
use crate::config::{Config, StorePlace};
use crate::seal::Sealer;
use crate::store::Store;
use crate::store::copies::{OlderCopy, Restored};
use crate::store::error::OpenError;
use crate::store::postgres::{self, Postgres};
use crate::store::sqlite::{self, Sqlite};
use crate::witness::{self, Witness};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// Opens the store that the configuration names. Makes nothing: `totpd init` does.
///
/// The store is compared with its witness: what was withdrawn after this copy of it was made is
/// refused from now on. `now` is the moment of that; `older` says what becomes of a store that is
/// older than its witness.
///
/// It is async since a store may be a server. It may block for as long as a local disk takes.
///
/// # Errors
/// [`OpenError`]: one sentence that says what to check.
pub async fn open(
    config: &Config,
    sealer: &Sealer,
    now: Time,
    older: OlderCopy,
) -> Result<Arc<dyn Store>, OpenError> {
    let witness = Witness::new(&witness::folder(config.witness_dir.as_deref()), sealer.store_id());
    match &config.store {
        StorePlace::StateDir => {
            check_owner(&config.state_dir)?;
            let start = sqlite::Start { now, older };
            let store = Sqlite::open(&config.state_dir, sealer, config.keep_events, witness, start)?;
            Ok(Arc::new(store))
        }
        StorePlace::Postgres(settings) => {
            let store = Postgres::open(settings, sealer, config.keep_events, witness, older).await?;
            Ok(Arc::new(store))
        }
    }
}

/// SQLite opens its files by path and follows links. Root must not do that in a folder where
/// another user makes them.
pub(in crate::store) fn check_owner(state_dir: &Path) -> Result<(), OpenError> {
    let folder = state_dir.display();
    let owner = std::fs::metadata(state_dir).map_or(0, |metadata| metadata.uid());
    if !nix::unistd::geteuid().is_root() || owner == 0 {
        return Ok(());
    }
    Err(OpenError::Denied(format!(
        "{folder} belongs to uid {owner}, and this daemon runs as root, which opens nothing there. Start the service \
         (`systemctl start totpd`), or run: setpriv --reuid {owner} --clear-groups totpd serve"
    )))
}

/// Makes an empty store in `folder`, complete in the one file [`DATABASE`](super::files::DATABASE).
///
/// # Errors
/// [`OpenError::Exists`], or what the file system said.
pub fn create(folder: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    sqlite::create(folder, sealer)
}

/// Makes an empty store in a database of several hosts.
///
/// # Errors
/// [`OpenError::HoldsStore`], or what the servers said.
pub fn create_in(settings: &PostgresSettings, sealer: &Sealer) -> Result<(), OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(OpenError::Thread)?.block_on(postgres::create(settings, sealer))
}

/// Checks that every page, index and row of the copy in `folder` is sound, and that `sealer` has
/// its key.
///
/// # Errors
/// [`OpenError`]: what is damaged, or whose key it needs.
pub fn check_copy(folder: &Path, sealer: &Sealer) -> Result<(), OpenError> {
    sqlite::check_snapshot(folder, sealer)
}

/// Prepares the copy in `folder`, which belongs to this process alone, to be served in the store's
/// place: nothing that the witness lists is accepted again, no code that may have been used is
/// fresh, and it becomes a generation of its own.
///
/// `witness` holds the withdrawals that are known, `skew` is the configured window in steps, `made`
/// is when the copy was made, and `event` is the row about the restore, whose moment is now.
///
/// # Errors
/// [`OpenError`]; the copy is worth nothing then.
pub fn prepare_restore(
    folder: &Path,
    sealer: &Sealer,
    witness: &[Entry],
    skew: u8,
    made: Time,
    event: &EventRow,
) -> Result<Restored, OpenError> {
    sqlite::prepare_restore(folder, sealer, witness, skew, made, event)
}

/// The latest withdrawals that the store in `folder` lists, and its generation. Nothing in it is
/// trusted: another user may have written it.
///
/// # Errors
/// [`OpenError`]: it is not a store of this key, or more than a store.
pub fn latest_withdrawals(folder: &Path, sealer: &Sealer) -> Result<Vec<Entry>, OpenError> {
    sqlite::latest_withdrawals(folder, sealer)
}
