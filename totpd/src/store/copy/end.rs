//! A database at one end of a copy.

use super::error::CopyError;
use super::table::{Cell, Row, Table};
use crate::audit::EventRow;
use crate::store::StoreFuture;
use std::collections::BTreeMap;

/// Rows of a page, which share a transaction.
pub(in crate::store) const PAGE: i64 = 500;

/// Single values of a store by their names, as SQLite's table `meta` has them.
pub(in crate::store) type Values = BTreeMap<String, String>;

/// A database at one end of a copy. No other process uses it while this lives.
pub(in crate::store) trait CopyEnd: Send {
    /// Its name in messages.
    fn name(&self) -> String;

    /// How many withdrawals it keeps.
    fn kept_withdrawals(&self) -> u64;

    /// The single values. Empty: the database holds no store yet.
    fn values(&mut self) -> StoreFuture<'_, Result<Values, CopyError>>;

    /// Sets these values, durably and in one transaction, and leaves the others.
    fn set_values<'a>(&'a mut self, values: &'a Values) -> StoreFuture<'a, Result<(), CopyError>>;

    /// Completes a copy: sets these values, and adds an event to the history, durably and in one
    /// transaction.
    fn complete<'a>(
        &'a mut self,
        values: &'a Values,
        event: &'a EventRow,
    ) -> StoreFuture<'a, Result<(), CopyError>>;

    /// Counts the rows of every table.
    fn count(&mut self) -> StoreFuture<'_, Result<u64, CopyError>>;

    /// The next rows of a table after this place, up to [`PAGE`] of them.
    fn page<'a>(
        &'a mut self,
        table: &'static Table,
        after: Option<&'a Cell>,
    ) -> StoreFuture<'a, Result<Vec<Row>, CopyError>>;

    /// The place of the row with this key.
    fn place_of<'a>(
        &'a mut self,
        table: &'static Table,
        key: &'a Cell,
    ) -> StoreFuture<'a, Result<Option<Cell>, CopyError>>;

    /// The key of the last row of a table.
    fn last_key(&mut self, table: &'static Table) -> StoreFuture<'_, Result<Option<Cell>, CopyError>>;

    /// Appends rows, in one transaction.
    fn append<'a>(
        &'a mut self,
        table: &'static Table,
        rows: &'a [Row],
    ) -> StoreFuture<'a, Result<(), CopyError>>;
}
