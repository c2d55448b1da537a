//! `totpd store`.

use clap::Subcommand;

/// The commands of `totpd store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy the store from SQLite to PostgreSQL, or back, and close the one that was copied
    Copy(StoreCopy),
}

/// The options of `totpd store copy`.
#[derive(Debug, clap::Args)]
pub struct StoreCopy {
    /// The store to copy: a state folder, or a URL `postgresql://…`
    pub from: String,
    /// Where to copy it: an empty folder, or the URL of an empty database
    pub to: String,
}
