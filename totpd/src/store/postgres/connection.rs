//! A connection: the statements that are prepared on it, and the notices that came over it.

use crate::store::postgres::fault::Fault;
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Statement};

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
    /// The task that has the socket.
    carrier: AbortHandle,
}

impl Connection {
    /// Takes over a client of `server`, whose socket `carrier` has.
    pub(super) fn new(client: Client, server: String, notices: Notices, carrier: AbortHandle) -> Self {
        let (checked, statements) = (Instant::now(), Mutex::default());
        Self { client, server, notices, checked, statements, carrier }
    }

    /// Closes the socket now. Otherwise one to a server that hangs waits for its answers.
    pub(super) fn close(&self) {
        self.carrier.abort();
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

    /// Ends a transaction whose outcome no login waits for.
    ///
    /// # Errors
    /// Also when it is committed and the server gives a notice: a standby that counts may lack it.
    pub(super) async fn commit(&self) -> Result<(), Fault> {
        let notices = self.notices.count();
        self.run("COMMIT").await?;
        if self.notices.count() == notices {
            return Ok(());
        }
        Err(Fault::Other(format!(
            "{} has committed and warns: a standby may lack it, since the wait for it was cancelled",
            self.server
        )))
    }
}

/// Whether the server of this connection accepts no writes.
pub(super) async fn read_only(db: &Connection) -> Result<bool, Fault> {
    let row = db.row("SHOW transaction_read_only", &[]).await?;
    Ok(row.is_none_or(|row| row.get::<_, &str>(0) != "off"))
}

pub(super) use tokio_postgres::Row;

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn tokio_postgres::types::ToSql + Sync)];

/// Carries the messages of a connection until it ends, and counts the notices among them.
pub(super) async fn carry<S, T>(mut connection: tokio_postgres::Connection<S, T>, notices: Notices)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message {
            notices.add();
            tracing::debug!("PostgreSQL notices SQLSTATE {}", notice.code().code());
        }
    }
}
