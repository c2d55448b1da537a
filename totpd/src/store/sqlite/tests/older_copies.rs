use super::*;
use totp_core::withdrawal::{Kind, Withdrawal};

#[tokio::test]
async fn what_is_withdrawn_is_counted_with_its_change_or_not_at_all() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let alice = fixture.account("alice");
    let withdraw = |write, id: &str| {
        let what = Withdrawal::new(Kind::Factor, id);
        ChangeSet { side_writes: vec![SideWrite::Withdraw(what)], ..change(write) }
    };
    store.commit(withdraw(AccountWrite::Insert(alice.clone()), "totp-a"), ticket()).await.unwrap();
    let lost = store.commit(withdraw(AccountWrite::Update(alice.clone(), 7), "totp-lost"), ticket()).await;
    assert_eq!(lost.err(), Some(CommitError::Conflict));
    store.commit(withdraw(AccountWrite::Update(alice, 1), "totp-b"), ticket()).await.unwrap();
    let witness = || Witness::new(fixture.folder.path(), fixture.sealer.store_id());
    let lines: Vec<String> = witness().read().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["1 factor totp-a 0", "2 factor totp-b 0"]);
    drop(store);
    // Lost, and written again from the store.
    std::fs::remove_file(witness().path()).unwrap();
    drop(fixture.open());
    assert_eq!(witness().read().unwrap().len(), 2);
    assert!(fixture.open().refusals().is_empty());
}

#[tokio::test]
async fn a_snapshot_is_complete_without_a_log() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let alice = fixture.account("alice");
    store.commit(change(AccountWrite::Insert(alice.clone())), ticket()).await.unwrap();
    let copy = store.snapshot().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(fixture.folder.path().join(copy.file), database_file(elsewhere.path())).unwrap();
    check_snapshot(elsewhere.path(), &fixture.sealer).unwrap();
    let other = Sealer::new(&StoreKey::generate().unwrap());
    assert!(check_snapshot(elsewhere.path(), &other).is_err());
    let witness = Witness::new(elsewhere.path(), "x");
    let opened = Sqlite::open(elsewhere.path(), &fixture.sealer, 1_000, witness, Start::default()).unwrap();
    assert!(opened.load(AccountKey::Id(alice.id)).await.unwrap().is_some());
    drop(store);
    drop(fixture.open());
    assert!(!fixture.folder.path().join(SNAPSHOT).exists(), "a copy was left over");
}
