//! Makes a store in a database, and opens one. `create` alone makes tables; opening refuses a
//! database without them, of another store, of a newer release, or older than this host's witness.

use crate::config::server_url::PostgresSettings;
use crate::os_random::Kernel;
use crate::seal::Sealer;
use crate::store::Health;
use crate::store::copies::OlderCopy;
use crate::store::error::OpenError;
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::pool::{Core, Found};
use crate::store::postgres::session::Role;
use crate::store::postgres::slots::Slots;
use crate::store::postgres::watch::{compare_clocks, latest_grant, trusted};
use crate::store::postgres::withdrawals::COUNTER;
use crate::store::postgres::{compare, durable, meta, schema};
use totp_core::random;

/// Makes an empty store in the database.
///
/// # Errors
/// [`OpenError::HoldsStore`], or what the servers said.
pub(in crate::store) async fn create(settings: &PostgresSettings, sealer: &Sealer) -> Result<(), OpenError> {
    let dialer = Dialer::new(settings.url.clone(), settings.password_file.as_deref());
    let name = settings.url.to_string();
    let db = dialer.dial(Role::Write).await.map_err(|none| OpenError::Server(none.to_string()))?;
    let check = sealer.seal_check().map_err(|e| OpenError::Database(name.clone(), e.to_string()))?;
    let make = async {
        db.run("BEGIN").await?;
        schema::create(&db).await?;
        for (key, value) in [("store_id", sealer.store_id()), ("key_check", &check), (COUNTER, "0")] {
            meta::set(&db, key, value).await?;
        }
        // A notice, that the standby may lack it, is no error: after one the key is deleted.
        db.run("COMMIT").await
    };
    let made = make.await;
    if made.is_err() {
        let _ = db.run("ROLLBACK").await;
    }
    made.map_err(|fault| match fault {
        Fault::TableExists => OpenError::HoldsStore(name),
        fault => OpenError::Database(name, fault.to_string()),
    })
}

/// Checks the database and takes over what it knows, on a connection of its own. Returns where
/// this daemon records its grants.
pub(super) async fn prepare(core: &Core, sealer: &Sealer, older: OlderCopy) -> Result<Slots, OpenError> {
    if let Some(far) = core.dialer.url.unprotected() {
        tracing::warn!("connections to {far} are not encrypted (sslmode=disable in store.url)");
    }
    let db = core.dialer.dial(Role::Write).await.map_err(|none| OpenError::Server(none.to_string()))?;
    schema::migrate(&db, &core.name).await?;
    meta::check_key(&db, &core.name, sealer).await?;
    let failed = |fault: Fault| OpenError::Database(core.name.clone(), fault.to_string());
    let random: [u8; 2] =
        random::bytes(&mut Kernel).map_err(|e| OpenError::Database(core.name.clone(), e.to_string()))?;
    let slots = Slots::new(u16::from_be_bytes(random));
    // Statements count withdrawals in this row, and never make it.
    meta::set_if_missing(&db, COUNTER, "0").await.map_err(failed)?;
    compare::with_witness(&db, &core.known, &core.name, older).await?;
    let at = latest_grant(&db).await.map_err(failed)?;
    core.known.note_latest_grant(at, trusted(&db).await.map_err(failed)?);
    let durability = durable::look(&db).await.map_err(failed)?;
    if let Some(why) = compare_clocks(&db).await.map_err(failed)?.or(durability.blocked) {
        core.status.set(Health::Unavailable(why));
    }
    core.found(Found::Durability, durability.findings);
    Ok(slots)
}
