//! Reads: each on a connection of its own, and once more on another one when the first is lost.

use crate::store::StoreFuture;
use crate::store::error::ReadError;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::pool::{self, Core, Pool};
use crate::store::postgres::session::Role;
use deadpool::managed::BuildError;
use std::sync::Arc;
use std::time::Duration;

/// Connections for reads of a row or two.
const SHORT: usize = 4;
/// Connections for reads of many rows, so that no login waits for them.
const LONG: usize = 2;
/// How long a read may take: more than the server gives it.
const TIMEOUT: Duration = Duration::from_secs(6);

/// The readers of a store.
#[derive(Debug)]
pub(super) struct Reads {
    core: Arc<Core>,
    short: Pool,
    long: Pool,
}

impl Reads {
    /// Makes the pools, without a connection in them.
    pub(super) fn new(core: &Arc<Core>) -> Result<Self, BuildError> {
        let pool = |size| pool::new(core, Role::Read, size);
        Ok(Self { core: Arc::clone(core), short: pool(SHORT)?, long: pool(LONG)? })
    }

    /// Runs a query that reads a row or two.
    pub(super) async fn short<T>(
        &self,
        query: impl for<'a> Fn(&'a Connection) -> StoreFuture<'a, Result<T, Fault>> + Send + Sync,
    ) -> Result<T, ReadError> {
        self.run(&self.short, query).await
    }

    /// Runs a query that may read many rows.
    pub(super) async fn long<T>(
        &self,
        query: impl for<'a> Fn(&'a Connection) -> StoreFuture<'a, Result<T, Fault>> + Send + Sync,
    ) -> Result<T, ReadError> {
        self.run(&self.long, query).await
    }

    async fn run<T>(
        &self,
        pool: &Pool,
        query: impl for<'a> Fn(&'a Connection) -> StoreFuture<'a, Result<T, Fault>> + Send + Sync,
    ) -> Result<T, ReadError> {
        let mut is_last = false;
        loop {
            let db = self.core.take(pool).await?;
            let read = tokio::time::timeout(TIMEOUT, query(&db)).await;
            match read {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(fault)) if fault.is_of_connection() && !is_last => {
                    self.core.discard(db);
                    is_last = true;
                }
                Ok(Err(fault)) => {
                    if fault.is_of_connection() {
                        self.core.discard(db);
                    }
                    return Err(fault.into());
                }
                Err(_) => {
                    self.core.discard(db);
                    return Err(ReadError(format!("{} answers too slowly", self.core.name)));
                }
            }
        }
    }
}
