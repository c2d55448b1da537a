//! The file: its marks, its room, its schema, and whose it is.

use super::SqliteFixture;
use crate::key::StoreKey;
use crate::os_random::Kernel;
use crate::seal::Sealer;
use crate::store::contract::fixture::{Embedded as _, Fixture as _, change, commit, sealed};
use crate::store::{AccountKey, AccountWrite, OpenError, UserQuery};
use totp_core::account::EnrollmentTicket;
use totp_core::lock::{FAILURES_TO_LOCK, FIRST_LOCK, SourceClass};
use totp_core::new_factor::NewFactor;
use totp_core::profile::Contact;
use totp_core::{Account, Time, UserName};

#[test]
fn an_old_daemon_that_closes_does_not_complete_a_file_in_use() {
    let fixture = SqliteFixture::new();
    let state = || {
        let db = fixture.connection();
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
    let fixture = SqliteFixture::new();
    let size = |file: &str| std::fs::metadata(fixture.folder().join(file)).unwrap().len();
    for _ in 0..3 {
        drop(fixture.open());
        assert!((4 << 20..5 << 20).contains(&size("totpd.db-wal")), "{}", size("totpd.db-wal"));
        assert!((4 << 20..5 << 20).contains(&size("totpd.db")), "{}", size("totpd.db"));
    }
}

#[test]
fn a_newer_schema_another_key_and_another_program_are_refused() {
    let fixture = SqliteFixture::new();
    let key = StoreKey::generate().unwrap();
    let other = fixture.open_with(&Sealer::new(&key));
    assert!(matches!(other, Err(OpenError::OtherStore(..))), "{other:?}");
    let db = fixture.connection();
    db.execute(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         VALUES (99, 'future', '2027-01-01T00:00:00Z', '0')",
        [],
    )
    .unwrap();
    let newer = fixture.open_with(fixture.sealer());
    assert!(matches!(newer, Err(OpenError::Newer(_, 99, 7))), "{newer:?}");
    db.pragma_update(None, "application_id", 5).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let foreign = fixture.open_with(fixture.sealer());
    assert!(matches!(foreign, Err(OpenError::Damaged(..))), "{foreign:?}");
}

#[tokio::test]
async fn a_store_from_before_applications_is_migrated_whole() {
    let fixture = SqliteFixture::new();
    let name = UserName::parse("alice").ok();
    let mut account = Account::new(name, Some(1000), Time::from_unix(7), &mut Kernel).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    account.enroll(&new, Time::from_unix(7), &mut Kernel).unwrap();
    for _ in 0..FAILURES_TO_LOCK {
        account.lock_state.fail(&SourceClass::Others, 1, Time::from_unix(7));
    }
    let ticket =
        EnrollmentTicket { expires: Time::from_unix(60), totp_id: None, lost: false, sealed: "x".to_owned() };
    account.ticket = Some(ticket);
    let store = fixture.open();
    commit(&store, change(AccountWrite::Insert(sealed(&fixture, account.clone())))).await;
    drop(store);
    // Takes away what the third version of the schema and those after it added.
    let db = fixture.connection();
    db.execute_batch(
        "DROP TABLE session; DROP TABLE client; DROP TABLE signing_key;
         DROP INDEX account_email; DROP INDEX account_phone; DROP INDEX account_created;
         DROP INDEX account_active_totp; DROP INDEX account_pending_totp;
         DROP INDEX account_locked; DROP INDEX account_ticket;
         DROP INDEX account_email_id; DROP INDEX account_phone_id;
         DROP INDEX account_second_totp; DROP INDEX account_third_totp;
         DELETE FROM refinery_schema_history WHERE version >= 3;",
    )
    .unwrap();
    for column in [
        "created",
        "email",
        "phone",
        "awaits",
        "active_totp",
        "pending_totp",
        "locked_until",
        "ticket_until",
        "second_totp",
        "third_totp",
        "email_id",
        "phone_id",
    ] {
        db.execute(&format!("ALTER TABLE account DROP COLUMN {column}"), []).unwrap();
    }
    drop(db);
    let store = fixture.open();
    let totp = account.pending.as_ref().unwrap().id.clone();
    for key in [AccountKey::Id(account.id.clone()), AccountKey::Totp(totp)] {
        let stored = store.load(key).await.unwrap().unwrap();
        assert_eq!(fixture.sealer().open(*stored.account, stored.version), Ok(account.clone()));
    }
    let found = store.search_users(UserQuery { limit: 9, ..UserQuery::default() }).await.unwrap();
    assert_eq!(found.users.len(), 1);
    assert!(store.clients().await.unwrap().is_empty());
    // What is counted by columns of later versions is found in the record.
    for (at, locked, tickets) in [(8, 1, 1), (60, 1, 0), (7 + FIRST_LOCK, 0, 0)] {
        let overview = store.overview(Time::from_unix(at), Time::default()).await.unwrap();
        assert_eq!((overview.locked, overview.tickets, overview.schema), (locked, tickets, 7), "{at}");
    }
}

#[tokio::test]
async fn the_ids_of_contacts_move_from_the_record_into_columns() {
    let fixture = SqliteFixture::new();
    let store = fixture.open();
    let mut accounts = Vec::new();
    for number in 0..3 {
        let mut account = Account::new(None, None, Time::from_unix(7), &mut Kernel).unwrap();
        let contact =
            |kind: &str| Contact { id: format!("{kind}-{number}"), address: format!("+1555000{number}") };
        account.profile.email = (number != 1).then(|| contact("email"));
        account.profile.phone = (number != 0).then(|| contact("phone"));
        commit(&store, change(AccountWrite::Insert(sealed(&fixture, account.clone())))).await;
        accounts.push(account);
    }
    drop(store);
    // As the sixth version of the schema had it.
    let db = fixture.connection();
    let fifth = include_str!("../migrations/V5__ids_of_contacts.sql");
    db.execute_batch(&format!(
        "DROP INDEX account_email_id; DROP INDEX account_phone_id;
         ALTER TABLE account DROP COLUMN email_id; ALTER TABLE account DROP COLUMN phone_id;
         {fifth}
         DELETE FROM refinery_schema_history WHERE version >= 7;
         UPDATE account SET record = 'damaged' WHERE id = '{}';",
        accounts[2].id
    ))
    .unwrap();
    drop(db);
    let store = fixture.open();
    let found = async |key| store.load(key).await.unwrap().map(|stored| stored.account.id.clone());
    let (email, phone) = (
        |number| AccountKey::Email(format!("email-{number}")),
        |number| AccountKey::Phone(format!("phone-{number}")),
    );
    assert_eq!(found(email(0)).await.as_deref(), Some(accounts[0].id.as_str()));
    assert_eq!(found(phone(1)).await.as_deref(), Some(accounts[1].id.as_str()));
    for absent in [phone(0), email(1), email(2), phone(2)] {
        assert_eq!(found(absent).await, None);
    }
    assert_eq!(found(AccountKey::Id(accounts[2].id.clone())).await.as_deref(), Some(accounts[2].id.as_str()));
}
