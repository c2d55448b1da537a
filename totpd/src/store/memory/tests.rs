//! The contract on a store in memory.

use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::contract::fixture::{Fixture, KEPT_EVENTS, account, change, guard};
use crate::store::memory::Memory;
use crate::store::{AccountKey, AccountWrite, CommitError, Health, Store};
use std::sync::Arc;

/// A store in memory and a key.
struct MemoryFixture {
    store: Arc<Memory>,
    sealer: Sealer,
}

impl Fixture for MemoryFixture {
    fn new() -> Self {
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        Self { store: Arc::new(Memory::new(KEPT_EVENTS)), sealer }
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn witnessed(&self) -> Vec<String> {
        self.store.withdrawals().iter().map(ToString::to_string).collect()
    }
}

mod contract {
    crate::store::contract::contract_tests!(super::MemoryFixture);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_answers_nothing_until_it_can() {
    let fixture = MemoryFixture::new();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    fixture.store.set_health(Health::Unavailable("gone".into()));
    assert_eq!(store.health().reason(), Some("gone".to_owned()));
    let insert = || change(AccountWrite::Insert(alice.clone()));
    assert_eq!(store.commit(insert(), guard()).await.err(), Some(CommitError::Unavailable("gone".into())));
    assert!(store.load(AccountKey::Id(alice.id.clone())).await.is_err());
    fixture.store.set_health(Health::Serving);
    store.commit(insert(), guard()).await.unwrap();
    assert!(store.load(AccountKey::Id(alice.id)).await.unwrap().is_some());
}
