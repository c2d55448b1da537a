//! Pages of a search, by the bytes of what is stored.

use super::SqliteFixture;
use crate::os_random::Kernel;
use crate::store::contract::fixture::{Fixture as _, change, commit, sealed};
use crate::store::query::MAX_PAGE_BYTES;
use crate::store::{AccountWrite, UserQuery};
use totp_core::{Account, Time};

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_go_on_over_damaged_records() {
    let fixture = SqliteFixture::new();
    let store = fixture.open();
    let count = 100;
    for number in 0..count {
        let mut account = Account::new(None, None, Time::from_unix(10 + number / 7), &mut Kernel).unwrap();
        account.profile.trusted_metadata.insert("large".into(), "x".repeat(30_000).into());
        commit(&store, change(AccountWrite::Insert(sealed(&fixture, account)))).await;
    }
    let db = fixture.connection();
    db.execute("UPDATE account SET record = '{' WHERE created < 15", []).unwrap();
    let (mut after, mut pages, mut ids) = (None, Vec::new(), Vec::new());
    loop {
        let query = UserQuery { after, limit: 60, ..UserQuery::default() };
        let page = store.search_users(query).await.unwrap();
        pages.push(page.users.len());
        ids.extend(page.users.into_iter().map(|user| user.account.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // The first 35 take two bytes each; of the others 34 fill a page.
    assert_eq!(pages, [60, 34, 6]);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100, "each was found once");
    // One that is larger than a page is a page.
    let bytes = MAX_PAGE_BYTES.to_string();
    db.execute("UPDATE account SET record = printf('%.*c', ?1, '-')", [bytes]).unwrap();
    let page = store.search_users(UserQuery { limit: 60, ..UserQuery::default() }).await.unwrap();
    assert_eq!((page.users.len(), page.next.is_some()), (1, true));
}
