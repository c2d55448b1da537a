//! Copies a store to another database, row by row (`totpd store copy`): SQLite to PostgreSQL, and
//! back.
//!
//! The sealed records do not change, and the key does neither. At no moment can both stores be
//! served, since a code that was used in one would be fresh in the other:
//!
//! ```text
//! copy the rows ─▶ compare each row ─▶ close the source ─▶ complete the copy
//!  target: "unfinished"                 source: "copied"      target: store id, new generation
//! ```
//!
//! A copy that was interrupted goes on where it stopped. The copy is a new generation of the store,
//! so that a witness notices a source that was put back by other means.

mod end;
mod error;
mod place;
mod run;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub(in crate::store) use end::{CopyEnd, PAGE, Values};
pub use error::CopyError;
pub use place::{Place, copy_store};
pub(in crate::store) use run::copy;
pub use run::{Copied, Progress};
pub(in crate::store) use table::{Cell, Row, TABLES, Table};
pub(in crate::store) use values::another_store;
