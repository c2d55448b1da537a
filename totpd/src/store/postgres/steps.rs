//! The statements of a change set. Those that need nothing of each other's results are sent
//! together.

use crate::store::postgres::connection::Connection;
use crate::store::postgres::fault::Fault;
use futures_util::future::{join, join_all};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use totp_core::withdrawal::Entry;

/// A value of a statement.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// What a statement has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Change or find one row: another number is a conflict.
    One,
    /// Nothing: any number of rows is right.
    Any,
    /// Return the line of a withdrawal.
    Entry,
}

/// A statement and its values.
pub(super) struct Step {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value>,
    pub(super) wants: Wants,
}

impl Step {
    /// A statement with its values.
    pub(super) fn new(wants: Wants, sql: &'static str, values: Vec<Value>) -> Self {
        Self { sql, values, wants }
    }

    /// Runs it; `false` on a conflict. What it withdraws is added to `entries`.
    pub(super) async fn run(&self, db: &Connection, entries: &mut Vec<Entry>) -> Result<bool, Fault> {
        let statement = db.prepared(self.sql).await?;
        let answer = self.send(db, statement).await?;
        Ok(answer.take_into(entries))
    }

    async fn send(&self, db: &Connection, statement: Statement) -> Result<Answer, Fault> {
        let values: Vec<&(dyn ToSql + Sync)> =
            self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        if self.wants == Wants::Entry {
            let row = db.client.query_opt(&statement, &values).await?;
            let entry = row.and_then(|row| Entry::parse(row.get(0)));
            let unreadable = || Fault::Other("the counter of withdrawals cannot be read".to_owned());
            return Ok(Answer::Entry(entry.ok_or_else(unreadable)?));
        }
        let changed = db.client.execute(&statement, &values).await?;
        Ok(if self.wants == Wants::Any || changed == 1 { Answer::Done } else { Answer::Conflict })
    }
}

/// What became of a statement.
enum Answer {
    Done,
    Conflict,
    Entry(Entry),
}

impl Answer {
    fn take_into(self, entries: &mut Vec<Entry>) -> bool {
        match self {
            Self::Done => true,
            Self::Conflict => false,
            Self::Entry(entry) => {
                entries.push(entry);
                true
            }
        }
    }
}

/// Makes a savepoint and sends all of them after it; `false` when one of them is a conflict. The
/// first one that fails decides.
pub(super) async fn run_together(
    db: &Connection,
    savepoint: &str,
    steps: &[Step],
    entries: &mut Vec<Entry>,
) -> Result<bool, Fault> {
    // Before, so that the first poll of each sends it, in this order.
    let mut statements = Vec::with_capacity(steps.len());
    for step in steps {
        statements.push(db.prepared(step.sql).await?);
    }
    let sent = steps.iter().zip(statements).map(|(step, statement)| step.send(db, statement));
    let (begun, answers) = join(db.run(savepoint), join_all(sent)).await;
    begun?;
    for answer in answers {
        if !answer?.take_into(entries) {
            return Ok(false);
        }
    }
    Ok(true)
}
