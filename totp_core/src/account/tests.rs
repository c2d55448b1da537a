use super::*;
use crate::new_factor::{MAX_PENDING_LIFETIME, NewFactor};
use crate::otp::Params;
use crate::random::testing::Counting;

fn account() -> Account {
    let name = UserName::parse("alice").ok();
    Account::new(name, Some(1000), Time::default(), &mut Counting(9)).unwrap()
}

fn minute() -> NewFactor {
    NewFactor { lifetime: 60, ..NewFactor::default() }
}

#[test]
fn a_pending_factor_expires() {
    let mut account = account();
    account.enroll(&minute(), Time::from_unix(100), &mut Counting(1)).unwrap();
    assert!(!account.expire_pending(Time::from_unix(159)));
    assert!(account.expire_pending(Time::from_unix(160)));
    assert_eq!((account.pending.is_some(), account.lapsed), (false, true));
    account.enroll(&minute(), Time::from_unix(160), &mut Counting(1)).unwrap();
    assert!(!account.lapsed);
}

#[test]
fn a_replacement_that_expires_unconfirmed_leaves_a_notice() {
    let mut account = account();
    account.enroll(&minute(), Time::from_unix(100), &mut Counting(1)).unwrap();
    assert_eq!(account.pending_replacement(), None, "a first factor replaces nothing");
    account.active = account.pending.take();
    account.enroll(&minute(), Time::from_unix(200), &mut Counting(2)).unwrap();
    let waits = PendingReplacement {
        created: Time::from_unix(200),
        expires: Time::from_unix(260),
        name: None,
        adds: false,
    };
    assert_eq!(account.pending_replacement(), Some(waits));
    account.expire_pending(Time::from_unix(260));
    assert_eq!(account.pending_replacement(), None);
    assert_eq!(account.notices.expired_replacement(), Some(Time::from_unix(200)));
    let text = serde_json::to_string(&account.notices).unwrap();
    assert_eq!(serde_json::from_str::<Notices>(&text).unwrap(), account.notices);
    account.notices.take();
    assert!(account.notices.is_empty(), "it is shown once");
}

#[test]
fn a_pending_factor_waits_thirty_days_at_most() {
    let mut account = account();
    let new = NewFactor { params: Params::default(), lifetime: u64::MAX, ..minute() };
    account.enroll(&new, Time::from_unix(100), &mut Counting(1)).unwrap();
    assert_eq!(account.pending_expires(), Some(Time::from_unix(100 + MAX_PENDING_LIFETIME)));
}

#[test]
fn revoking_leaves_no_secret() {
    let mut account = account();
    assert!(!account.revoke());
    account.enroll(&minute(), Time::default(), &mut Counting(1)).unwrap();
    assert!(account.revoke());
    assert_eq!((account.active, account.pending), (None, None));
}

#[test]
fn an_account_without_a_uid_belongs_to_no_local_user() {
    let mut account = account();
    assert!(
        account.belongs_to_uid(Some(1000))
            && !account.belongs_to_uid(Some(1001))
            && !account.belongs_to_uid(None)
    );
    account.uid = None;
    assert!(!account.belongs_to_uid(None) && !account.belongs_to_uid(Some(1000)));
}

#[test]
fn the_stored_form_of_an_account_reads_back() {
    let mut account = account();
    account.enroll(&minute(), Time::default(), &mut Counting(1)).unwrap();
    let sealed = account.try_map(|f, _| Ok::<_, ()>(format!("sealed {}", f.id))).unwrap();
    let text = serde_json::to_string(&sealed).unwrap();
    assert_eq!(serde_json::from_str::<Account<String>>(&text).unwrap(), sealed);
}
