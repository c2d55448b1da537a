//! Any number in a stored record is read without a panic, and locks a class for the longest lock at
//! most.

use totp_core::lock::{LONGEST_LOCK, LockState, SourceClass};
use totp_core::time::DAY;
use totp_core::{Account, Origin, Time, UserName};

const NOW: Time = Time::from_unix(1_800_000_000);

#[test]
fn any_stored_numbers_lock_for_the_longest_lock_at_most() {
    for number in [0, 1, 6, 7, 31, 32, 33, 64, u32::MAX - 1, u32::MAX] {
        for moment in [0, NOW.unix(), NOW.unix() + 9 * DAY, u64::MAX] {
            let counter = format!(
                r#"{{"failures":{number},"level":{number},"last_failure":{moment},
                    "lock":{{"start":{moment},"length":{moment}}},"judged":[{moment},{moment}]}}"#
            );
            let text = format!(r#"{{"local":{counter},"own":{counter},"others":{counter}}}"#);
            let mut guard: LockState = serde_json::from_str(&text).unwrap();
            for class in [SourceClass::Local, SourceClass::OwnProcess, SourceClass::Others] {
                assert!(guard.remaining(&class, NOW) <= LONGEST_LOCK);
                guard.fail(&class, 1, NOW);
                assert!(guard.remaining(&class, NOW) <= LONGEST_LOCK);
                assert_eq!(guard.remaining(&class, NOW.plus(5 * DAY)), 0);
            }
            assert!(guard.locked(NOW).iter().all(|lock| lock.until <= NOW.plus(LONGEST_LOCK)));
            let _ = guard.failures();
        }
    }
}

#[test]
fn a_record_without_staged_changes_is_written_unchanged() {
    let account = Account::<String>::blank("user-x".into(), UserName::parse("alice").ok(), Some(1), NOW);
    let mut record = serde_json::to_value(&account).unwrap();
    record["active"] = serde_json::json!({
        "id": "totp-x", "params": {"algorithm": "SHA1", "digits": 6, "period": 30}, "created": 1,
        "state": {"active": {"since": 2}}, "last_step": 3, "secrets": "sealed"
    });
    record["ticket"] = serde_json::json!({ "expires": 9, "sealed": "sealed" });
    let read: Account<String> = serde_json::from_value(record.clone()).unwrap();
    assert!(read.staged().is_none() && read.active.as_ref().unwrap().used_steps.is_empty());
    assert_eq!(serde_json::to_value(&read).unwrap(), record);
    assert_eq!(LockState::default().class(&Origin::OwnProcess, NOW), SourceClass::OwnProcess);
}
