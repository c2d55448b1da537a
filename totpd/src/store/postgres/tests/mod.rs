//! PostgreSQL as a store: the contract, and what is its own.

mod cancelled_start;
mod commits;
mod copied;
mod failover;
mod fixture;
mod grants;
mod hanging;
mod opening;
mod put_back;
mod several;

use fixture::PostgresFixture;

mod contract {
    crate::store::contract::contract_tests!(super::PostgresFixture);
    crate::store::contract::durability_tests!(super::PostgresFixture);
}
