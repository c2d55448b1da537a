//! SQLite as a store: the contract, and what is SQLite's own.

mod fixture;
mod format;
mod log;
mod pages;

pub(super) use fixture::SqliteFixture;

mod contract {
    crate::store::contract::contract_tests!(super::SqliteFixture);
    crate::store::contract::durability_tests!(super::SqliteFixture);
    crate::store::contract::embedded_tests!(super::SqliteFixture);
}
