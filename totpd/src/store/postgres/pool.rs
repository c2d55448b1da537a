//! The pools of connections: each is checked when it is made, and again before it is used.

use crate::store::copies::OlderCopy;
use crate::store::copy::another_store;
use crate::store::error::OpenError;
use crate::store::postgres::compare;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::dial::Dialer;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::known::Known;
use crate::store::postgres::session::Role;
use crate::store::postgres::status::Status;
use crate::store::postgres::{meta, schema};
use crate::store::{Health, ReadError};
use crate::sync::ignore_poison;
use deadpool::Runtime;
use deadpool::managed::{
    BuildError, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How long a caller waits for a connection that another one uses: longer than a login has, so that
/// many of them together never look like a missing store.
const WAIT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take until it can be used: each server has its own time in it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that is used again may take to answer.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection counts as one to a server that accepts writes.
const FRESH: Duration = Duration::from_secs(1);

pub(super) use crate::store::postgres::connection::read_only;

/// A pool of connections.
pub(super) type Pool = deadpool::managed::Pool<Connections>;
/// A connection of a pool.
pub(super) type Pooled = Object<Connections>;

/// What every part of an open store shares.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) dialer: Dialer,
    /// The database and its servers, for messages.
    pub(super) name: String,
    pub(super) store_id: String,
    pub(super) known: Known,
    pub(super) status: Status,
    /// Where connections live.
    pub(super) runtime: Handle,
    /// Wakes the watch: something failed.
    pub(super) failed: Notify,
    /// What an administrator should attend to, as it was last found.
    pub(super) findings: Mutex<BTreeMap<Found, Vec<String>>>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// What a crash or a failover could lose.
    Durability,
    /// Whether the servers that are not used now could be.
    Servers,
    /// Whether the last change found no room on the server's disk.
    Room,
}

impl Core {
    /// Connects, and compares the database with what this daemon knows of it: it may be another one
    /// since a failover or a restore.
    async fn connect(&self, role: Role) -> Result<Connection, OpenError> {
        let made = tokio::time::timeout(CONNECT_TIMEOUT, self.connect_unless_another(role)).await;
        let slow = || OpenError::Server(format!("{} answers too slowly", self.name));
        let made = made.unwrap_or_else(|_| Err(slow()));
        if let Err(
            error @ (OpenError::Older(..)
            | OpenError::OtherStore(..)
            | OpenError::Copied(..)
            | OpenError::UnfinishedCopy(_)
            | OpenError::Newer(..)),
        ) = &made
        {
            self.status.set(Health::Reopen(error.to_string()));
        }
        made
    }

    async fn connect_unless_another(&self, role: Role) -> Result<Connection, OpenError> {
        let db = self.dialer.dial(role).await.map_err(|none| OpenError::Server(none.to_string()))?;
        schema::check(&db, &self.name).await?;
        let failed = |fault: Fault| OpenError::Database(self.name.clone(), fault.to_string());
        let store_id = meta::get(&db, "store_id").await.map_err(failed)?.unwrap_or_default();
        if store_id != self.store_id {
            return Err(another_store(&self.name, store_id, &self.store_id));
        }
        compare::with_witness(&db, &self.known, &self.name, OlderCopy::Refuse).await?;
        Ok(db)
    }

    /// A connection of the pool.
    pub(super) async fn take(&self, pool: &Pool) -> Result<Pooled, ReadError> {
        pool.get().await.map_err(|error| {
            self.failed.notify_one();
            ReadError(match error {
                PoolError::Backend(error) => error.to_string(),
                PoolError::Timeout(_) => format!("{} answers too slowly", self.name),
                _ => "the store is closed".to_owned(),
            })
        })
    }

    /// Takes over what was found, and logs what is new in it, and what has gone.
    pub(super) fn found(&self, what: Found, findings: Vec<String>) {
        let mut all = ignore_poison(self.findings.lock());
        let last = all.entry(what).or_default();
        for new in findings.iter().filter(|finding| !last.contains(finding)) {
            tracing::warn!("{new}");
        }
        for gone in last.iter().filter(|finding| !findings.contains(finding)) {
            tracing::info!("no longer: {gone}");
        }
        *last = findings;
    }

    /// Takes a connection out of its pool and closes it.
    pub(super) fn discard(&self, connection: Pooled) {
        drop(Object::take(connection));
        self.failed.notify_one();
    }
}

/// Makes the connections of a pool.
#[derive(Debug)]
pub(super) struct Connections {
    core: Arc<Core>,
    role: Role,
}

impl Manager for Connections {
    type Type = Connection;
    type Error = OpenError;

    async fn create(&self) -> Result<Connection, OpenError> {
        let (core, role) = (Arc::clone(&self.core), self.role);
        // On the store's own runtime: the caller's may end before the connection does.
        let made = self.core.runtime.spawn(async move { core.connect(role).await }).await;
        made.unwrap_or_else(|_| Err(OpenError::Server("the store is closed".to_owned())))
    }

    /// Its socket is closed at once, also when its server hangs.
    fn detach(&self, db: &mut Connection) {
        db.close();
    }

    /// A connection that is closed, or whose server was demoted since, is not used again.
    async fn recycle(&self, db: &mut Connection, _: &Metrics) -> RecycleResult<OpenError> {
        if db.client.is_closed() {
            return Err(RecycleError::message("it is closed"));
        }
        if self.core.dialer.has_left(&db.server) {
            return Err(RecycleError::message("another server has taken over"));
        }
        if db.checked.elapsed() < FRESH {
            return Ok(());
        }
        match read_only(db).await {
            Ok(false) => {
                db.checked = Instant::now();
                Ok(())
            }
            Ok(true) => Err(RecycleError::message("the server accepts no writes any more")),
            Err(fault) => Err(RecycleError::message(fault.to_string())),
        }
    }
}

/// A pool of up to `size` connections.
///
/// # Errors
/// When there is no clock for its timeouts, which is a mistake of ours.
pub(super) fn new(core: &Arc<Core>, role: Role, size: usize) -> Result<Pool, BuildError> {
    Pool::builder(Connections { core: Arc::clone(core), role })
        .max_size(size)
        .queue_mode(QueueMode::Lifo)
        .wait_timeout(Some(WAIT_TIMEOUT))
        .recycle_timeout(Some(RECYCLE_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
}
