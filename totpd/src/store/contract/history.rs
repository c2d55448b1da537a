//! The history: its order, its pages, its bound, and what is counted from it.

use super::fixture::{Fixture, KEPT_EVENTS, account, change, commit, event, events, sealed};
use crate::os_random::Kernel;
use crate::store::{AccountWrite, ChangeSet, HistoryQuery, Store};
use std::sync::Arc;
use totp_core::account::EnrollmentTicket;
use totp_core::lock::{FAILURES_TO_LOCK, FIRST_LOCK, SourceClass};
use totp_core::new_factor::NewFactor;
use totp_core::{Account, Time, UserName};

async fn record(store: &Arc<dyn Store>, at: u64, user: Option<&str>, json: &str) {
    let change = ChangeSet { event: Some(event(at, user, json)), ..change(AccountWrite::Nothing) };
    commit(store, change).await;
}

pub(crate) async fn events_are_paged_latest_first(fixture: impl Fixture) {
    let store = fixture.open();
    for number in 0..10 {
        let user = [Some("alice"), Some("bob"), None][number % 3];
        record(&store, 100 + number as u64, user, &number.to_string()).await;
    }
    let page = async |query: HistoryQuery| -> Vec<String> {
        store.history(query).await.unwrap().into_iter().map(|row| row.json).collect()
    };
    let all = HistoryQuery { limit: 4, ..HistoryQuery::default() };
    assert_eq!(page(all.clone()).await, ["9", "8", "7", "6"]);
    let rows = store.history(all.clone()).await.unwrap();
    assert!(rows.is_sorted_by(|one, other| one.seq > other.seq));
    let next = HistoryQuery { before: rows.last().map(|row| row.seq), ..all.clone() };
    assert_eq!(page(next).await, ["5", "4", "3", "2"]);
    let of_alice = HistoryQuery { user: Some("alice".into()), ..all.clone() };
    assert_eq!(page(of_alice.clone()).await, ["9", "6", "3", "0"]);
    let since = Some(Time::from_unix(106));
    assert_eq!(page(HistoryQuery { since, ..of_alice }).await, ["9", "6"]);
    assert_eq!(page(HistoryQuery { since: Some(Time::from_unix(109)), ..all }).await, ["9"]);
}

pub(crate) async fn the_history_is_kept_to_its_bound(fixture: impl Fixture) {
    let store = fixture.open();
    for _ in 0..2 * KEPT_EVENTS {
        commit(&store, change(AccountWrite::Nothing)).await;
    }
    let kept = events(&store).await;
    assert!((KEPT_EVENTS..KEPT_EVENTS + 200).contains(&kept), "{kept}");
}

pub(crate) async fn logins_and_refusals_are_found_in_the_history(fixture: impl Fixture) {
    let store = fixture.open();
    let json = |event: &str, outcome: &str, number: u64| {
        format!("{{\"event\":\"{event}\",\"outcome\":\"{outcome}\",\"n\":{number}}}")
    };
    let rows = [("login", "granted", "alice"), ("login", "refused", "alice"), ("enroll", "granted", "bob")];
    for (number, (kind, outcome, user)) in (0..).zip(rows) {
        record(&store, 10 + number, Some(user), &json(kind, outcome, number)).await;
    }
    record(&store, 20, Some("carol"), &json("login", "exempt", 3)).await;
    let of_attempt =
        |outcome: &str, id: &str| format!(r#"{{"event":"login","id":"{id}","outcome":"{outcome}"}}"#);
    for (at, outcome, id) in [(21, "granted", "a1"), (22, "granted", "b2"), (23, "undelivered", "b2")] {
        record(&store, at, Some("erin"), &of_attempt(outcome, id)).await;
    }
    for number in 30..35 {
        record(&store, number, None, &json("login", "refused", number)).await;
    }
    let names = ["alice", "bob", "carol", "dave", "erin"].map(str::to_owned).to_vec();
    let at = |seconds| Some(Time::from_unix(seconds));
    assert_eq!(store.last_logins(names).await.unwrap(), [at(10), None, at(20), None, at(21)]);

    let mut locked = Account::new(UserName::parse("erin").ok(), None, Time::default(), &mut Kernel).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    locked.enroll(&new, Time::from_unix(100), &mut Kernel).unwrap();
    for _ in 0..FAILURES_TO_LOCK {
        locked.lock_state.fail(&SourceClass::Others, 1, Time::from_unix(100));
    }
    let ticket =
        EnrollmentTicket { expires: Time::from_unix(150), totp_id: None, lost: false, sealed: "x".into() };
    locked.ticket = Some(ticket);
    commit(&store, change(AccountWrite::Insert(sealed(&fixture, locked)))).await;
    commit(&store, change(AccountWrite::Insert(account(&fixture, "plain")))).await;
    let overview =
        async |now, since| store.overview(Time::from_unix(now), Time::from_unix(since)).await.unwrap();
    let found = overview(101, 31).await;
    assert_eq!((found.enrolled, found.pending, found.locked, found.tickets), (0, 1, 1, 1));
    assert_eq!(found.locked_users, ["erin"]);
    assert_eq!((found.refused, found.refused_at_least), (4, false));
    assert_eq!(found.refusals, [34, 33, 32].map(|number| json("login", "refused", number)));
    assert_eq!(overview(101, 0).await.refused, 6);
    let later = overview(100 + FIRST_LOCK, 0).await;
    assert_eq!((later.pending, later.locked, later.tickets), (0, 0, 0));
}
