//! PostgreSQL as a store: the contract, and what is its own.

mod fixture;

use fixture::PostgresFixture;

mod contract {
    crate::store::contract::contract_tests!(super::PostgresFixture);
    crate::store::contract::durability_tests!(super::PostgresFixture);
}
