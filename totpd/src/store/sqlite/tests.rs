use super::*;
use crate::audit::EventRow;
use crate::key::StoreKey;
use crate::os_random::Kernel;
use crate::store::{AccountWrite, SessionRow, SideWrite, UniqueField, UserFilter};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use totp_core::Account;

mod older_copies;

struct Fixture {
    folder: tempfile::TempDir,
    sealer: Sealer,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        create(folder.path(), &sealer).unwrap();
        Self { folder, sealer }
    }

    fn open(&self) -> Sqlite {
        self.open_with(&self.sealer).unwrap()
    }

    fn open_with(&self, sealer: &Sealer) -> Result<Sqlite, OpenError> {
        let witness = Witness::new(self.folder.path(), sealer.store_id());
        Sqlite::open(self.folder.path(), sealer, 1_000, witness, Start::default())
    }

    fn account(&self, name: &str) -> Box<SealedAccount> {
        let name = UserName::parse(name).ok();
        let account = Account::new(name, Some(1), Time::default(), &mut Kernel).unwrap();
        Box::new(self.sealer.seal(account).unwrap())
    }
}

fn ticket() -> Arc<CommitGuard> {
    Arc::new(CommitGuard::new(Instant::now() + Duration::from_mins(10)))
}

fn change(write: AccountWrite) -> ChangeSet {
    ChangeSet::new(write, EventRow { at: Time::default(), user: None, json: "{}".into() })
}

fn events(fixture: &Fixture) -> i64 {
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
    db.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_latest_grant_is_kept_with_its_change_and_read_when_the_store_is_opened() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let at = Time::from_unix;
    let granted = |write, seconds| ChangeSet {
        side_writes: vec![SideWrite::RecordGrant(at(seconds))],
        ..change(write)
    };
    assert_eq!(store.latest_grant(), at(0));
    let alice = fixture.account("alice");
    store.commit(granted(AccountWrite::Insert(alice.clone()), 900), ticket()).await.unwrap();
    assert_eq!(store.latest_grant(), at(900));
    // Neither an earlier one moves it nor one that was not stored.
    store.commit(granted(AccountWrite::Nothing, 99), ticket()).await.unwrap();
    store.commit(granted(AccountWrite::Update(alice.clone(), 7), 5_000), ticket()).await.unwrap_err();
    store.commit(granted(AccountWrite::Insert(fixture.account("alice")), 5_000), ticket()).await.unwrap_err();
    assert_eq!(store.latest_grant(), at(900));
    drop(store);
    let store = fixture.open();
    assert_eq!(store.latest_grant(), at(900));
    // An administrator's word moves it back.
    let right =
        ChangeSet { side_writes: vec![SideWrite::TrustClock(at(60))], ..change(AccountWrite::Nothing) };
    store.commit(right, ticket()).await.unwrap();
    assert_eq!(store.latest_grant(), at(60));
    drop(store);
    assert_eq!(fixture.open().latest_grant(), at(60));
}

#[tokio::test]
async fn a_change_against_an_old_version_is_a_conflict_and_leaves_no_event() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let alice = fixture.account("alice");
    store.commit(change(AccountWrite::Insert(alice.clone())), ticket()).await.unwrap();
    let again = store.commit(change(AccountWrite::Insert(fixture.account("alice"))), ticket()).await;
    assert_eq!(again.err(), Some(CommitError::Duplicate(UniqueField::Name)));
    let read = store.load(AccountKey::Id(alice.id.clone())).await.unwrap().unwrap();
    store.commit(change(AccountWrite::Update(alice.clone(), read.version)), ticket()).await.unwrap();
    let late = store.commit(change(AccountWrite::Update(alice.clone(), read.version)), ticket()).await;
    assert_eq!(late.err(), Some(CommitError::Conflict));
    assert_eq!(events(&fixture), 2);
}

#[tokio::test]
async fn what_was_dropped_is_not_written() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (dropped, late) = (ticket(), Arc::new(CommitGuard::new(Instant::now())));
    assert!(dropped.cancel());
    for ticket in [dropped, late] {
        let done = store.commit(change(AccountWrite::Insert(fixture.account("alice"))), ticket).await;
        assert_eq!(done.err(), Some(CommitError::Cancelled));
    }
    assert!(store.load((&UserName::parse("alice").unwrap()).into()).await.unwrap().is_none());
    assert_eq!(events(&fixture), 0);
}

#[tokio::test]
async fn changes_that_come_together_all_arrive_and_survive_a_reopening() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let (store, account) = (Arc::clone(&store), fixture.account(&format!("user{i:03}")));
            tokio::spawn(async move {
                store.commit(change(AccountWrite::Insert(account)), ticket()).await.is_ok()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    drop(store);
    let store = fixture.open();
    let page = store.accounts(Some("user100".into()), 3).await.unwrap();
    let names: Vec<_> = page.iter().map(|s| s.account.display_name()).collect();
    assert_eq!(names, ["user101", "user102", "user103"]);
}

#[tokio::test]
async fn history_is_kept_to_its_bound() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for _ in 0..2_000 {
        store.commit(change(AccountWrite::Nothing), ticket()).await.unwrap();
    }
    drop(store);
    let kept = events(&fixture);
    assert!((1_000..1_200).contains(&kept), "{kept}");
}

#[test]
fn an_older_daemon_that_closes_does_not_call_complete_what_a_newer_one_uses() {
    let fixture = Fixture::new();
    let state = || {
        let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
        db.query_row("SELECT value FROM meta WHERE key = 'state'", [], |r| r.get::<_, String>(0)).unwrap()
    };
    let (older, newer) = (fixture.open(), fixture.open());
    drop(older);
    assert!(state().starts_with("in-use "), "{}", state());
    drop(newer);
    assert_eq!(state(), "complete");
}

#[test]
fn room_is_made_ahead_and_kept_over_a_restart() {
    let fixture = Fixture::new();
    let size = |file: &str| std::fs::metadata(fixture.folder.path().join(file)).unwrap().len();
    for _ in 0..3 {
        drop(fixture.open());
        assert!((4 << 20..5 << 20).contains(&size("totpd.db-wal")), "{}", size("totpd.db-wal"));
        assert!((4 << 20..5 << 20).contains(&size("totpd.db")), "{}", size("totpd.db"));
    }
}

#[test]
fn a_newer_schema_another_key_and_another_program_are_refused() {
    let fixture = Fixture::new();
    let key = StoreKey::generate().unwrap();
    let other = fixture.open_with(&Sealer::new(&key));
    assert!(matches!(other, Err(OpenError::OtherStore(..))), "{other:?}");
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
    db.execute(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (99, 'future', '2027-01-01T00:00:00Z', '0')",
        [],
    )
    .unwrap();
    let newer = fixture.open_with(&fixture.sealer);
    assert!(matches!(newer, Err(OpenError::Newer(_, 99, 4))), "{newer:?}");
    db.pragma_update(None, "application_id", 5).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let foreign = fixture.open_with(&fixture.sealer);
    assert!(matches!(foreign, Err(OpenError::Damaged(..))), "{foreign:?}");
}

fn session(account: &str, id: &str) -> SessionRow {
    let expires = Time::from_unix(100);
    let (id, account) = (id.to_owned(), account.to_owned());
    SessionRow { token: format!("hash of {id}"), id, account, expires, record: "{}".into() }
}

#[tokio::test]
async fn what_belongs_together_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let alice = fixture.account("alice");
    store.commit(change(AccountWrite::Insert(alice.clone())), ticket()).await.unwrap();
    let with = |side_writes, version| ChangeSet {
        side_writes,
        ..change(AccountWrite::Update(alice.clone(), version))
    };
    // The second of two fails: the record, the first and the event are not written either.
    let first = SideWrite::InsertSession(Box::new(session(&alice.id, "s1")));
    let bad = [
        SideWrite::UpdateSession(Box::new(session(&alice.id, "s9")), 1),
        SideWrite::DeleteSession("s9".into()),
        SideWrite::InsertSession(Box::new(session("user-nobody", "s2"))),
    ];
    for second in bad {
        let done = store.commit(with(vec![first.clone(), second], 1), ticket()).await;
        assert_eq!(done.err(), Some(CommitError::Conflict));
    }
    assert_eq!(store.load(AccountKey::Id(alice.id.clone())).await.unwrap().unwrap().version, 1);
    assert!(store.session(SessionKey::Id("s1".into())).await.unwrap().is_none());
    assert_eq!(events(&fixture), 1);
    // And other changes in the same transaction are untouched by it.
    store.commit(with(vec![first], 1), ticket()).await.unwrap();
    let found = store.session(SessionKey::Token("hash of s1".into())).await.unwrap().unwrap();
    assert_eq!((found.row.account.as_str(), found.version), (alice.id.as_str(), 1));
    assert!(!store.has_expired_session(Time::from_unix(99)).await.unwrap());
    assert!(store.has_expired_session(Time::from_unix(100)).await.unwrap());
    // Who forgets the user forgets the sessions.
    store.commit(change(AccountWrite::Delete(alice.id.clone(), 2)), ticket()).await.unwrap();
    assert!(store.sessions_of(alice.id.clone()).await.unwrap().is_empty());
}

#[tokio::test]
async fn users_are_found_by_what_applications_know_and_paged_in_order() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let mut ids = Vec::new();
    for number in 0..5_u64 {
        let name = UserName::parse(&format!("u{number}")).ok().filter(|_| number % 2 == 0);
        let mut account = Account::new(name, None, Time::from_unix(10 + number), &mut Kernel).unwrap();
        let address = format!("U{number}@Example.com");
        account.profile.email = Some(totp_core::profile::Contact { id: "email-x".into(), address });
        account.profile.pending = number == 4;
        ids.push(account.id.clone());
        let account = Box::new(fixture.sealer.seal(account).unwrap());
        store.commit(change(AccountWrite::Insert(account)), ticket()).await.unwrap();
    }
    let found = async |any: bool, filters: Vec<UserFilter>| -> Vec<usize> {
        let query = UserQuery { any, filters, limit: 10, ..UserQuery::default() };
        let UserPage { users: page, total, .. } = store.search_users(query).await.unwrap();
        assert_eq!(total, u64::try_from(page.len()).ok());
        page.iter().map(|s| ids.iter().position(|id| *id == s.account.id).unwrap()).collect()
    };
    let text = |text: &str| vec![text.to_owned()];
    assert_eq!(found(false, vec![]).await, [0, 1, 2, 3, 4]);
    assert_eq!(found(false, vec![UserFilter::Email(text("u1@EXAMPLE.com"))]).await, [1]);
    assert_eq!(found(false, vec![UserFilter::EmailContains("3@ex".into())]).await, [3]);
    assert_eq!(found(false, vec![UserFilter::EmailContains("%".into())]).await, [0_usize; 0]);
    assert_eq!(found(false, vec![UserFilter::Name(vec!["u2".into(), "u3".into()])]).await, [2]);
    assert_eq!(found(false, vec![UserFilter::Pending(true)]).await, [4]);
    let range =
        [UserFilter::CreatedAfter(Time::from_unix(10)), UserFilter::CreatedBefore(Time::from_unix(13))];
    assert_eq!(found(false, range.to_vec()).await, [1, 2]);
    let either = vec![UserFilter::Pending(true), UserFilter::Id(vec![ids[0].clone()])];
    assert_eq!(found(true, either.clone()).await, [0, 4]);
    assert_eq!(found(false, either).await, [0_usize; 0]);
    assert_eq!(found(false, vec![UserFilter::TotpVerified(true)]).await, [0_usize; 0]);
    let after = Some((Time::from_unix(12), ids[2].clone()));
    let rest = store.search_users(UserQuery { after, limit: 1, ..UserQuery::default() }).await.unwrap();
    assert_eq!(rest.users.iter().map(|s| &s.account.id).collect::<Vec<_>>(), [&ids[3]]);
    assert_eq!(rest.next, Some((Time::from_unix(13), ids[3].clone())));
    // An address is one user's, in whatever case.
    let mut other = Account::new(None, None, Time::default(), &mut Kernel).unwrap();
    let address = "u0@example.COM".to_owned();
    other.profile.email = Some(totp_core::profile::Contact { id: "email-y".into(), address });
    let other = Box::new(fixture.sealer.seal(other).unwrap());
    let taken = store.commit(change(AccountWrite::Insert(other)), ticket()).await;
    assert_eq!(taken.err(), Some(CommitError::Duplicate(UniqueField::Email)));
}

#[tokio::test]
async fn a_store_from_before_there_were_applications_is_taken_over_whole() {
    let fixture = Fixture::new();
    let name = UserName::parse("alice").ok();
    let mut account = Account::new(name, Some(1000), Time::from_unix(7), &mut Kernel).unwrap();
    let new = totp_core::account::NewFactor {
        params: totp_core::Params::default(),
        lifetime: 60,
        recovery_storage: totp_core::recovery::RecoveryStorage::Hashed,
    };
    account.enroll(&new, Time::from_unix(7), &mut Kernel).unwrap();
    for _ in 0..totp_core::lock::FAILURES_TO_LOCK {
        account.lock_state.fail(&totp_core::lock::SourceClass::Others, Time::from_unix(7));
    }
    let leave = totp_core::account::EnrollmentTicket {
        expires: Time::from_unix(60),
        totp_id: None,
        lost: false,
        sealed: "x".to_owned(),
    };
    account.ticket = Some(leave);
    let sealed = Box::new(fixture.sealer.seal(account.clone()).unwrap());
    fixture.open().commit(change(AccountWrite::Insert(sealed)), ticket()).await.unwrap();
    // What the third version of the schema and those after it added is taken away again.
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
    db.execute_batch(
        "DROP TABLE session; DROP TABLE client; DROP TABLE signing_key;
         DROP INDEX account_email; DROP INDEX account_phone; DROP INDEX account_created;
         DROP INDEX account_active_totp; DROP INDEX account_pending_totp;
         DROP INDEX account_locked; DROP INDEX account_ticket;
         DELETE FROM refinery_schema_history WHERE version >= 3;",
    )
    .unwrap();
    for column in
        ["created", "email", "phone", "awaits", "active_totp", "pending_totp", "locked_until", "ticket_until"]
    {
        db.execute(&format!("ALTER TABLE account DROP COLUMN {column}"), []).unwrap();
    }
    drop(db);
    let store = fixture.open();
    let totp = account.pending.as_ref().unwrap().id.clone();
    for key in [AccountKey::Id(account.id.clone()), AccountKey::Totp(totp)] {
        let stored = store.load(key).await.unwrap().unwrap();
        assert_eq!(fixture.sealer.open(stored.account), Ok(account.clone()));
    }
    let found = store.search_users(UserQuery { limit: 9, ..UserQuery::default() }).await.unwrap();
    assert_eq!(found.users.len(), 1);
    assert!(store.clients().await.unwrap().is_empty());
    // What is counted by columns of later versions is found in the record.
    for (at, locked, tickets) in [(8, 1, 1), (60, 1, 0), (7 + totp_core::lock::FIRST_LOCK, 0, 0)] {
        let overview = store.overview(Time::from_unix(at), Time::default()).await.unwrap();
        assert_eq!((overview.locked, overview.tickets, overview.schema), (locked, tickets, 4), "{at}");
    }
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_go_on_over_records_that_are_damaged() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let count = 100;
    for number in 0..count {
        let mut account = Account::new(None, None, Time::from_unix(10 + number / 7), &mut Kernel).unwrap();
        account.profile.trusted_metadata.insert("large".into(), "x".repeat(30_000).into());
        let account = Box::new(fixture.sealer.seal(account).unwrap());
        store.commit(change(AccountWrite::Insert(account)), ticket()).await.unwrap();
    }
    let db = rusqlite::Connection::open(database_file(fixture.folder.path())).unwrap();
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
    let page = PAGE_BYTES.to_string();
    db.execute("UPDATE account SET record = printf('%.*c', ?1, '-')", [page]).unwrap();
    let page = store.search_users(UserQuery { limit: 60, ..UserQuery::default() }).await.unwrap();
    assert_eq!((page.users.len(), page.next.is_some()), (1, true));
}

#[tokio::test]
async fn a_look_at_many_rows_ends_when_nobody_waits_for_it_or_after_its_time() {
    let fixture = Fixture::new();
    let readers = Readers::start(fixture.folder.path()).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let start = Instant::now();
    let long = readers.run_search(move |db| db.query_row(endless, [], |row| row.get::<_, i64>(0)));
    let abandoned = || {
        let ran = Arc::clone(&ran);
        readers.run_search(move |_| {
            ran.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let leave = async {
        for _ in 0..100 {
            assert!(tokio::time::timeout(Duration::ZERO, abandoned()).await.is_err());
        }
    };
    let (long, ()) = tokio::join!(long, leave);
    assert_eq!(long, Err(ReadError("it took too long".to_owned())));
    let took = start.elapsed().as_secs();
    assert!((4..15).contains(&took), "{took} s");
    // One that runs ends as soon as nobody waits for it.
    let start = Instant::now();
    let left = readers.run_search(move |db| db.query_row(endless, [], |row| row.get::<_, i64>(0)));
    assert!(tokio::time::timeout(Duration::from_millis(50), left).await.is_err());
    abandoned().await.unwrap();
    assert!(start.elapsed().as_secs() < 4, "{:?}", start.elapsed());
    assert_eq!(ran.load(Ordering::SeqCst), 1, "only the one that was waited for");
}
