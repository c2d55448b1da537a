//! Searches of users: filters, order and pages.

use super::fixture::{Fixture, change, commit, guard, sealed};
use crate::os_random::Kernel;
use crate::store::query::MAX_PAGE_BYTES;
use crate::store::{AccountWrite, CommitError, UniqueField, UserFilter, UserPage, UserQuery};
use totp_core::new_factor::NewFactor;
use totp_core::profile::Contact;
use totp_core::{Account, Time, UserName};

pub(crate) async fn users_are_found_by_what_applications_know(fixture: impl Fixture) {
    let store = fixture.open();
    let (mut ids, mut totp) = (Vec::new(), String::new());
    for number in 0..5_u64 {
        let name = UserName::parse(&format!("u{number}")).ok().filter(|_| number % 2 == 0);
        let mut account = Account::new(name, None, Time::from_unix(10 + number), &mut Kernel).unwrap();
        let contact = |address: String| Some(Contact { id: "contact-x".into(), address });
        account.profile.email = contact(format!("U{number}@Example.com"));
        account.profile.phone = contact(format!("+120255501{number}"));
        account.profile.pending = number == 4;
        if number == 3 {
            let new = NewFactor { lifetime: 60, ..NewFactor::default() };
            account.enroll(&new, Time::from_unix(100), &mut Kernel).unwrap();
            totp = account.pending.as_ref().unwrap().id.clone();
        }
        ids.push(account.id.clone());
        commit(&store, change(AccountWrite::Insert(sealed(&fixture, account)))).await;
    }
    let found_at = async |now: u64, any: bool, filters: Vec<UserFilter>| -> Vec<usize> {
        let query = UserQuery { any, filters, limit: 10, now: Time::from_unix(now), ..UserQuery::default() };
        let UserPage { users, total, .. } = store.search_users(query).await.unwrap();
        assert_eq!(total, u64::try_from(users.len()).ok());
        users.iter().map(|s| ids.iter().position(|id| *id == s.account.id).unwrap()).collect()
    };
    let found = async |any, filters| found_at(0, any, filters).await;
    let text = |text: &str| vec![text.to_owned()];
    assert_eq!(found(false, vec![]).await, [0, 1, 2, 3, 4]);
    assert_eq!(found(false, vec![UserFilter::Email(text("u1@EXAMPLE.com"))]).await, [1]);
    assert_eq!(found(false, vec![UserFilter::EmailContains("3@ex".into())]).await, [3]);
    assert_eq!(found(false, vec![UserFilter::EmailContains("%".into())]).await, [0_usize; 0]);
    assert_eq!(found(false, vec![UserFilter::Phone(text("+1202555012"))]).await, [2]);
    assert_eq!(found(false, vec![UserFilter::PhoneContains("5010".into())]).await, [0]);
    assert_eq!(found(false, vec![UserFilter::Name(vec!["u2".into(), "u3".into()])]).await, [2]);
    assert_eq!(found(false, vec![UserFilter::Pending(true)]).await, [4]);
    let range =
        [UserFilter::CreatedAfter(Time::from_unix(10)), UserFilter::CreatedBefore(Time::from_unix(13))];
    assert_eq!(found(false, range.to_vec()).await, [1, 2]);
    let either = vec![UserFilter::Pending(true), UserFilter::Id(vec![ids[0].clone()])];
    assert_eq!(found(true, either.clone()).await, [0, 4]);
    assert_eq!(found(false, either).await, [0_usize; 0]);
    assert_eq!(found(false, vec![UserFilter::TotpVerified(true)]).await, [0_usize; 0]);
    // A pending enrollment is found until it expires.
    for filter in [UserFilter::TotpVerified(false), UserFilter::Totp(vec![totp])] {
        assert_eq!(found_at(159, false, vec![filter.clone()]).await, [3]);
        assert_eq!(found_at(160, false, vec![filter]).await, [0_usize; 0]);
    }
    let after = Some((Time::from_unix(12), ids[2].clone()));
    let rest = store.search_users(UserQuery { after, limit: 1, ..UserQuery::default() }).await.unwrap();
    assert_eq!(rest.users.iter().map(|s| &s.account.id).collect::<Vec<_>>(), [&ids[3]]);
    assert_eq!(rest.next, Some((Time::from_unix(13), ids[3].clone())));
    // An address belongs to one user, in any case of its letters.
    let mut other = Account::new(None, None, Time::default(), &mut Kernel).unwrap();
    other.profile.email = Some(Contact { id: "email-y".into(), address: "u0@example.COM".into() });
    let taken = store.commit(change(AccountWrite::Insert(sealed(&fixture, other))), guard()).await;
    assert_eq!(taken.err(), Some(CommitError::Duplicate(UniqueField::Email)));
}

pub(crate) async fn pages_of_users_are_bounded_and_follow_each_other(fixture: impl Fixture) {
    let store = fixture.open();
    let (count, large) = (100_u64, 30_000);
    for number in 0..count {
        let mut account = Account::new(None, None, Time::from_unix(10 + number / 7), &mut Kernel).unwrap();
        account.profile.trusted_metadata.insert("large".into(), "x".repeat(large).into());
        commit(&store, change(AccountWrite::Insert(sealed(&fixture, account)))).await;
    }
    let (mut after, mut pages, mut ids, mut times) = (None, Vec::new(), Vec::new(), Vec::new());
    loop {
        let query = UserQuery { after, limit: 60, ..UserQuery::default() };
        let page = store.search_users(query).await.unwrap();
        assert_eq!(page.total, Some(count));
        pages.push(page.users.len());
        times.extend(page.users.iter().map(|user| user.account.created));
        ids.extend(page.users.into_iter().map(|user| user.account.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(pages.iter().all(|users| *users <= MAX_PAGE_BYTES / large), "{pages:?}");
    assert!(pages.len() < 5, "{pages:?}");
    assert!(times.is_sorted());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100, "each was found once");
}
