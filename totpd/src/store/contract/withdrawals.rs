//! Withdrawals and grants: what is counted, witnessed and remembered with a change.

use super::fixture::{Fixture, account, change, commit, event, guard};
use crate::store::{AccountWrite, ChangeSet, CommitError, Health, SideWrite};
use std::collections::BTreeSet;
use totp_core::Time;
use totp_core::withdrawal::{Kind, Withdrawal};

pub(crate) async fn withdrawals_are_counted_with_their_change(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    let withdraw = |write, id: &str| {
        let what = Withdrawal::new(Kind::Factor, id);
        ChangeSet { side_writes: vec![SideWrite::Withdraw(what)], ..change(write) }
    };
    commit(&store, withdraw(AccountWrite::Insert(alice.clone()), "totp-a")).await;
    let lost = store.commit(withdraw(AccountWrite::Update(alice.clone(), 7), "totp-lost"), guard()).await;
    assert_eq!(lost.err(), Some(CommitError::Conflict));
    let later =
        ChangeSet { event: Some(event(9, None, "{}")), ..withdraw(AccountWrite::Update(alice, 1), "totp-b") };
    commit(&store, later).await;
    // The witness has them before the commit is acknowledged.
    assert_eq!(fixture.witnessed(), ["1 factor totp-a 0", "2 factor totp-b 9"]);
    assert!(store.refusals().is_empty());
    assert_eq!(store.health(), Health::Serving);
}

pub(crate) async fn an_accepted_copy_is_a_new_generation(fixture: impl Fixture) {
    let store = fixture.open();
    for token in ["abc", "def"] {
        let side_writes = vec![SideWrite::AcceptOlderCopy { token: token.into(), removed: BTreeSet::new() }];
        commit(&store, ChangeSet { side_writes, ..change(AccountWrite::Nothing) }).await;
    }
    assert_eq!(fixture.witnessed(), ["1 generation 1-abc 0", "2 generation 2-def 0"]);
    assert!(store.refusals().is_empty());
}

pub(crate) async fn the_latest_grant_moves_with_its_change(fixture: impl Fixture) {
    let store = fixture.open();
    let at = Time::from_unix;
    let granted = |write, seconds| ChangeSet {
        side_writes: vec![SideWrite::RecordGrant(at(seconds))],
        ..change(write)
    };
    assert_eq!(store.latest_grant(), at(0));
    let alice = account(&fixture, "alice");
    commit(&store, granted(AccountWrite::Insert(alice.clone()), 900)).await;
    assert_eq!(store.latest_grant(), at(900));
    // Neither an earlier one moves it nor one that was not stored.
    commit(&store, granted(AccountWrite::Nothing, 99)).await;
    for refused in [AccountWrite::Update(alice, 7), AccountWrite::Insert(account(&fixture, "alice"))] {
        store.commit(granted(refused, 5_000), guard()).await.unwrap_err();
    }
    assert_eq!(store.latest_grant(), at(900));
    // An administrator's word moves it back.
    let right =
        ChangeSet { side_writes: vec![SideWrite::TrustClock(at(60))], ..change(AccountWrite::Nothing) };
    commit(&store, right).await;
    assert_eq!(store.latest_grant(), at(60));
}
