//! What only a store in files of this host promises: logins on a full disk, and a copy of the file.

use super::fixture::{Embedded, account, by_id, change, commit, guard};
use crate::store::{AccountWrite, ChangeSet, CommitError, SpaceUse};

pub(crate) async fn a_full_disk_stops_enrollments_and_no_login<D: Embedded>(_: D) {
    let fixture = D::on_small_disk();
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    fixture.fill_disk();
    let enroll = |name: &str| ChangeSet {
        space: SpaceUse::Growing,
        ..change(AccountWrite::Insert(account(&fixture, name)))
    };
    let refused = store.commit(enroll("bob"), guard()).await;
    assert!(matches!(refused, Err(CommitError::StorageFull(_))), "{refused:?}");
    for version in 1..200 {
        commit(&store, change(AccountWrite::Update(alice.clone(), version))).await;
    }
    drop(store);
    // Also after a start on a full disk.
    let store = fixture.open();
    commit(&store, change(AccountWrite::Update(alice.clone(), 200))).await;
    assert!(store.commit(enroll("bob"), guard()).await.is_err());
    fixture.free_disk();
    commit(&store, enroll("bob")).await;
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 201);
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 2);
}

pub(crate) async fn a_snapshot_is_complete_on_its_own(fixture: impl Embedded) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let copy = store.snapshot().await.unwrap();
    assert_eq!(copy.size, std::fs::metadata(fixture.folder().join(copy.file)).unwrap().len());
    commit(&store, change(AccountWrite::Delete(alice.id.clone(), 1))).await;
    let opened = fixture.open_snapshot(copy.file);
    assert!(by_id(&opened, &alice.id).await.is_some());
    drop(store);
    drop(fixture.open());
    assert!(!fixture.folder().join(copy.file).exists(), "a copy was left over");
}
