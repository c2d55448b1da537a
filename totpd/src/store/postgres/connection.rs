//! A connection: the statements that are prepared on it, and the notices that came over it.

use crate::store::postgres::fault::Fault;
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Socket, Statement};

/// How many warnings and notices a server has sent over a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices(Arc<AtomicU64>);

impl Notices {
    /// How many came so far. One that the server sent before a result is counted when the result
    /// is returned: the task of the connection counts it before it hands the result over.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// The server's name and port.
    pub(super) server: String,
    pub(super) notices: Notices,
    /// When it was last found to accept writes.
    pub(super) checked: Instant,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Connection {
    /// Takes over a client of `server`.
    pub(super) fn new(client: Client, server: String, notices: Notices) -> Self {
        Self { client, server, notices, checked: Instant::now(), statements: Mutex::default() }
    }

    /// The statement of this text, which is prepared once for each connection.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = ignore_poison(self.statements.lock()).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        ignore_poison(self.statements.lock()).insert(sql, statement.clone());
        Ok(statement)
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(super) async fn execute(&self, sql: &'static str, values: Values<'_>) -> Result<u64, Fault> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// Runs a query that returns at most one row.
    pub(super) async fn row(&self, sql: &'static str, values: Values<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query_opt(&statement, values).await?)
    }

    /// Runs a query.
    pub(super) async fn rows(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Runs statements without values.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

pub(super) use tokio_postgres::Row;

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn tokio_postgres::types::ToSql + Sync)];

/// Carries the messages of a connection until it ends, and counts the notices among them.
pub(super) async fn carry<T>(mut connection: tokio_postgres::Connection<Socket, T>, notices: Notices)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message {
            notices.add();
            tracing::debug!("PostgreSQL notices SQLSTATE {}", notice.code().code());
        }
    }
}
