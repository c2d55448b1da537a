//! What outlives a process: restarts, crashes, damaged records and older copies.

use super::fixture::{Durable, account, by_id, change, commit, guard, sealed};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, SideWrite, UserQuery};
use std::sync::Arc;
use totp_core::withdrawal::{Kind, Withdrawal};
use totp_core::{Account, Time};

pub(crate) async fn acknowledged_changes_survive_a_restart(fixture: impl Durable) {
    let store = fixture.open();
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let (store, account) = (Arc::clone(&store), account(&fixture, &format!("user{i:03}")));
            tokio::spawn(
                async move { store.commit(change(AccountWrite::Insert(account)), guard()).await.is_ok() },
            )
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    let grant = |write| ChangeSet { side_writes: vec![write], ..change(AccountWrite::Nothing) };
    let at = Time::from_unix;
    commit(&store, grant(SideWrite::RecordGrant(at(900)))).await;
    drop(store);
    let store = fixture.open();
    let page = store.accounts(Some("user100".into()), 3).await.unwrap();
    let names: Vec<_> = page.iter().map(|s| s.account.display_name()).collect();
    assert_eq!(names, ["user101", "user102", "user103"]);
    assert_eq!(store.accounts(None, 1_000).await.unwrap().len(), 500);
    assert_eq!(store.latest_grant(), at(900));
    commit(&store, grant(SideWrite::TrustClock(at(60)))).await;
    drop(store);
    assert_eq!(fixture.open().latest_grant(), at(60));
}

pub(crate) async fn acknowledged_changes_survive_a_crash(fixture: impl Durable) {
    let store = fixture.open();
    let mut copies = Vec::new();
    for number in 0..10 {
        let account = account(&fixture, &format!("user{number}"));
        let side_writes = vec![SideWrite::RecordGrant(Time::from_unix(100 + number))];
        commit(&store, ChangeSet { side_writes, ..change(AccountWrite::Insert(account)) }).await;
        copies.push(fixture.copy());
    }
    for (number, copy) in (0..).zip(copies) {
        let store = copy.open();
        let accounts = u64::try_from(store.accounts(None, 100).await.unwrap().len()).unwrap();
        assert_eq!(accounts, number + 1);
        assert_eq!(store.latest_grant(), Time::from_unix(100 + number));
    }
}

pub(crate) async fn a_damaged_record_costs_its_own_user_alone(fixture: impl Durable) {
    let store = fixture.open();
    let mut accounts = Vec::new();
    for (created, name) in (1..).zip(["alice", "bob", "carol"]) {
        let name = totp_core::UserName::parse(name).ok();
        let account = Account::new(name, None, Time::from_unix(created), &mut Kernel).unwrap();
        let account = sealed(&fixture, account);
        commit(&store, change(AccountWrite::Insert(account.clone()))).await;
        accounts.push(account);
    }
    let damaged = &accounts[1].id;
    fixture.damage(damaged);
    for _ in 0..2 {
        let found = by_id(&store, damaged).await.unwrap();
        assert!(found.damaged);
        assert_eq!((found.account.display_name(), found.version), ("bob", 1));
    }
    assert!(!by_id(&store, &accounts[0].id).await.unwrap().damaged);
    let flags = |users: Vec<crate::store::StoredAccount>| -> Vec<bool> {
        users.into_iter().map(|user| user.damaged).collect()
    };
    assert_eq!(flags(store.accounts(None, 9).await.unwrap()), [false, true, false]);
    let page = store.search_users(UserQuery { limit: 9, ..UserQuery::default() }).await.unwrap();
    assert_eq!(flags(page.users), [false, true, false]);
    // It can be replaced and deleted.
    commit(&store, change(AccountWrite::Update(accounts[1].clone(), 1))).await;
    assert!(!by_id(&store, damaged).await.unwrap().damaged);
    fixture.damage(damaged);
    commit(&store, change(AccountWrite::Delete(damaged.clone(), 2))).await;
    assert!(by_id(&store, damaged).await.is_none());
}

pub(crate) async fn an_older_copy_refuses_what_was_withdrawn_after_it(fixture: impl Durable) {
    let withdraw = |id: &str| {
        let what = Withdrawal::new(Kind::Factor, id);
        ChangeSet { side_writes: vec![SideWrite::Withdraw(what)], ..change(AccountWrite::Nothing) }
    };
    let store = fixture.open();
    commit(&store, withdraw("totp-before")).await;
    drop(store);
    let older = fixture.copy();
    let store = fixture.open();
    commit(&store, withdraw("totp-after")).await;
    assert!(store.refusals().is_empty());
    drop(store);
    for _ in 0..2 {
        let store = older.open();
        let refused: Vec<_> = store.refusals().withdrawn.iter().cloned().collect();
        assert_eq!(refused, [Withdrawal::new(Kind::Factor, "totp-after")]);
        assert!(store.refusals().floor.is_some());
    }
    let store = older.open();
    let removed = store.refusals().withdrawn.clone();
    let side_writes = vec![SideWrite::AcceptOlderCopy { token: "abc".into(), removed }];
    commit(&store, ChangeSet { side_writes, ..change(AccountWrite::Nothing) }).await;
    assert!(store.refusals().withdrawn.is_empty());
    assert!(store.refusals().floor.is_some(), "used codes stay used");
    drop(store);
    assert!(older.open().refusals().withdrawn.is_empty());
}

pub(crate) async fn a_lost_witness_is_written_again(fixture: impl Durable) {
    let store = fixture.open();
    for id in ["totp-a", "totp-b"] {
        let what = Withdrawal::new(Kind::Factor, id);
        let side_writes = vec![SideWrite::Withdraw(what)];
        commit(&store, ChangeSet { side_writes, ..change(AccountWrite::Nothing) }).await;
    }
    drop(store);
    fixture.lose_witness();
    assert!(fixture.witnessed().is_empty());
    drop(fixture.open());
    assert_eq!(fixture.witnessed(), ["1 factor totp-a 0", "2 factor totp-b 0"]);
    assert!(fixture.open().refusals().is_empty());
}
