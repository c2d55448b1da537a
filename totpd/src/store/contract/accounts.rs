//! Accounts: what is read after a write, versions, unique values and lists.

use super::fixture::{Fixture, account, by_id, change, commit, events, guard, sealed};
use crate::os_random::Kernel;
use crate::store::{AccountKey, AccountWrite, CommitError, Store, StoredAccount, UniqueField};
use std::sync::Arc;
use totp_core::authenticator::AuthenticatorName;
use totp_core::new_factor::NewFactor;
use totp_core::profile::Contact;
use totp_core::{Account, Factor, FactorState, Time, UserName};

pub(crate) async fn an_account_is_read_as_it_was_written(fixture: impl Fixture) {
    let store = fixture.open();
    let mut alice =
        Account::new(UserName::parse("alice").ok(), Some(7), Time::from_unix(5), &mut Kernel).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    alice.enroll(&new, Time::from_unix(5), &mut Kernel).unwrap();
    let totp = alice.pending.as_ref().unwrap().id.clone();
    let contact = |id: &str, address: &str| Some(Contact { id: id.to_owned(), address: address.to_owned() });
    alice.profile.email = contact("email-1", "alice@example.org");
    alice.profile.phone = contact("phone-number-1", "+12025550123");
    commit(&store, change(AccountWrite::Insert(sealed(&fixture, alice.clone())))).await;
    let name = AccountKey::from(&UserName::parse("alice").unwrap());
    let (email, phone) =
        (AccountKey::Email("email-1".to_owned()), AccountKey::Phone("phone-number-1".to_owned()));
    for key in [name, AccountKey::Id(alice.id.clone()), AccountKey::Totp(totp), email, phone] {
        let StoredAccount { account, version, damaged } = store.load(key).await.unwrap().unwrap();
        assert_eq!((version, damaged), (1, false));
        assert_eq!(fixture.sealer().open(*account, 1), Ok(alice.clone()));
    }
    commit(&store, change(AccountWrite::Update(sealed(&fixture, alice.clone()), 1))).await;
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 2);
    for key in [AccountKey::Email("phone-number-1".to_owned()), AccountKey::Phone("email-1".to_owned())] {
        assert!(store.load(key).await.unwrap().is_none(), "an id of the other kind");
    }
    finds_each_authenticator(&store, &fixture, alice.clone()).await;
    commit(&store, change(AccountWrite::Delete(alice.id.clone(), 3))).await;
    assert!(by_id(&store, &alice.id).await.is_none());
    assert!(by_id(&store, "user-nobody").await.is_none());
}

/// An account at version 2 is found by the id of each authenticator, and by no other.
async fn finds_each_authenticator(store: &Arc<dyn Store>, fixture: &impl Fixture, mut alice: Account) {
    let since = Time::from_unix(5);
    let mut factor = alice.pending.take().unwrap();
    factor.state = FactorState::Active { since };
    let named = |id: &str, name: &str| Factor {
        id: id.to_owned(),
        name: AuthenticatorName::parse(name),
        ..factor.clone()
    };
    let (second, third) = (named("totp-second", "work phone"), named("totp-third", "safe"));
    let first = factor.id.clone();
    alice.added = vec![second, third];
    alice.active = Some(factor);
    let third = Box::new(fixture.sealer().seal(alice.clone(), 3).unwrap());
    commit(store, change(AccountWrite::Update(third, 2))).await;
    for id in [first.as_str(), "totp-second", "totp-third"] {
        let stored = store.load(AccountKey::Totp(id.to_owned())).await.unwrap().unwrap();
        assert_eq!(fixture.sealer().open(*stored.account, 3), Ok(alice.clone()), "{id}");
    }
    assert!(store.load(AccountKey::Totp("totp-fourth".to_owned())).await.unwrap().is_none());
}

pub(crate) async fn a_change_against_an_old_version_is_a_conflict(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    let again = store.commit(change(AccountWrite::Insert(account(&fixture, "alice"))), guard()).await;
    assert_eq!(again.err(), Some(CommitError::Duplicate(UniqueField::Name)));
    let read = by_id(&store, &alice.id).await.unwrap();
    commit(&store, change(AccountWrite::Update(alice.clone(), read.version))).await;
    for late in [
        AccountWrite::Update(alice.clone(), read.version),
        AccountWrite::Delete(alice.id.clone(), read.version),
        AccountWrite::Update(account(&fixture, "bob"), 1),
        AccountWrite::Delete("user-nobody".to_owned(), 1),
    ] {
        let done = store.commit(change(late), guard()).await;
        assert_eq!(done.err(), Some(CommitError::Conflict));
    }
    assert_eq!(events(&store).await, 2);
}

pub(crate) async fn an_expected_version_conflicts_once_it_has_changed(fixture: impl Fixture) {
    let store = fixture.open();
    let alice = account(&fixture, "alice");
    let expect = |version| change(AccountWrite::ExpectVersion(alice.id.clone(), version));
    let conflict = Some(CommitError::Conflict);
    assert_eq!(store.commit(expect(1), guard()).await.err(), conflict);
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    commit(&store, expect(1)).await;
    assert_eq!(by_id(&store, &alice.id).await.unwrap().version, 1, "nothing was written");
    commit(&store, change(AccountWrite::Update(alice.clone(), 1))).await;
    assert_eq!(store.commit(expect(1), guard()).await.err(), conflict);
    assert_eq!(events(&store).await, 3);
}

pub(crate) async fn names_addresses_and_numbers_belong_to_one_account(fixture: impl Fixture) {
    let store = fixture.open();
    let with = |name: &str, email: &str, phone: &str| {
        let contact = |address: &str| {
            Some(Contact { id: "contact-x".into(), address: address.to_owned() })
                .filter(|_| !address.is_empty())
        };
        let mut account =
            Account::new(UserName::parse(name).ok(), None, Time::default(), &mut Kernel).unwrap();
        account.profile.email = contact(email);
        account.profile.phone = contact(phone);
        sealed(&fixture, account)
    };
    let (alice, bob) = (with("alice", "A@example.com", "+1202"), with("bob", "", ""));
    commit(&store, change(AccountWrite::Insert(alice.clone()))).await;
    commit(&store, change(AccountWrite::Insert(bob.clone()))).await;
    let taken = [
        (with("alice", "", ""), UniqueField::Name),
        (with("", "a@EXAMPLE.com", ""), UniqueField::Email),
        (with("", "", "+1202"), UniqueField::Phone),
    ];
    for (other, field) in taken {
        let done = store.commit(change(AccountWrite::Insert(other.clone())), guard()).await;
        assert_eq!(done.err(), Some(CommitError::Duplicate(field)));
        let mut changed = bob.clone();
        changed.name = if field == UniqueField::Name { other.name.clone() } else { bob.name.clone() };
        changed.profile = other.profile.clone();
        let done = store.commit(change(AccountWrite::Update(changed, 1)), guard()).await;
        assert_eq!(done.err(), Some(CommitError::Duplicate(field)));
    }
    // Accounts without name, address and number do not collide, and one keeps its own.
    for _ in 0..2 {
        commit(&store, change(AccountWrite::Insert(with("", "", "")))).await;
    }
    commit(&store, change(AccountWrite::Update(alice.clone(), 1))).await;
    // What a deleted account had is free.
    commit(&store, change(AccountWrite::Delete(alice.id, 2))).await;
    commit(&store, change(AccountWrite::Insert(with("alice", "a@example.com", "+1202")))).await;
}

pub(crate) async fn accounts_are_listed_by_name(fixture: impl Fixture) {
    let store = fixture.open();
    for name in ["carol", "", "alice", "dave", "bob"] {
        commit(&store, change(AccountWrite::Insert(account(&fixture, name)))).await;
    }
    let page = async |after: Option<&str>, limit| -> Vec<String> {
        let page = store.accounts(after.map(str::to_owned), limit).await.unwrap();
        page.iter().map(|stored| stored.account.display_name().to_owned()).collect()
    };
    assert_eq!(page(None, 9).await, ["alice", "bob", "carol", "dave"]);
    assert_eq!(page(Some("alice"), 2).await, ["bob", "carol"]);
    assert_eq!(page(Some("dave"), 2).await, [""; 0]);
}

pub(crate) async fn accounts_are_found_by_uid_and_by_expiry(fixture: impl Fixture) {
    let store = fixture.open();
    let mut ids = Vec::new();
    for (name, uid, lifetime) in [("alice", 1000, 10), ("alias", 1000, 20), ("bob", 1001, 30)] {
        let mut account =
            Account::new(UserName::parse(name).ok(), Some(uid), Time::default(), &mut Kernel).unwrap();
        let new = NewFactor { lifetime, ..NewFactor::default() };
        account.enroll(&new, Time::from_unix(100), &mut Kernel).unwrap();
        ids.push(account.id.clone());
        commit(&store, change(AccountWrite::Insert(sealed(&fixture, account)))).await;
    }
    let mut of_uid: Vec<_> =
        store.accounts_of_uid(1000).await.unwrap().into_iter().map(|stored| stored.account.id).collect();
    of_uid.sort();
    let mut wanted = ids[..2].to_vec();
    wanted.sort();
    assert_eq!(of_uid, wanted);
    assert!(store.accounts_of_uid(0).await.unwrap().is_empty());
    let expired = async |now, limit| store.expired_pending(Time::from_unix(now), limit).await.unwrap().len();
    assert_eq!((expired(109, 9).await, expired(110, 9).await, expired(130, 9).await), (0, 1, 3));
    assert_eq!(expired(130, 2).await, 2);
    let first = store.expired_pending(Time::from_unix(110), 9).await.unwrap();
    assert_eq!(first, ids[..1]);
}
