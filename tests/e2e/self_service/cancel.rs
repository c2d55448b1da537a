//! `totpd cancel`: the way out of a change that somebody else has staged.

use super::{login, staged, su};
use totpd_e2e::Site;
use totpd_e2e::phone::Phone;

#[test]
fn cancel_takes_a_code_and_after_two_only_a_ticket_helps() {
    let site = Site::new();
    let old = site.enroll("alice");
    let nothing = site.totpd_as("alice", &["cancel"], &format!("{}\n", old.code(&site)));
    assert!(nothing.code == 1 && nothing.stderr.contains("no change is staged"), "{nothing:?}");
    for _ in 0..2 {
        let new = staged(&site, &old.code(&site));
        // No second change can be staged, and the refusal uses up no code.
        for command in ["enroll", "recovery-codes", "revoke"] {
            let refused = site.totpd_as("alice", &[command], &format!("{}\n", old.code(&site)));
            assert!(refused.code == 1 && refused.stderr.contains("already staged"), "{refused:?}");
        }
        assert_eq!(site.totpd_as("alice", &["cancel"], &format!("{}\n", new.code(&site))).code, 1);
        site.totpd_as("alice", &["cancel"], &format!("{}\n", old.code(&site))).assert_success();
        assert!(site.status("alice")["staged"].is_null());
        site.next_step();
        assert_eq!(
            site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).code,
            1,
            "it is gone"
        );
    }
    let refused = site.totpd_as("alice", &["enroll"], &format!("{}\n", old.code(&site)));
    assert!(refused.code == 1 && refused.stderr.contains("the next one needs a ticket"), "{refused:?}");
    let ticket = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    let input = format!("{}\n{}\n", old.code(&site), ticket["ticket"].as_str().unwrap());
    let document = site.totpd_as("alice", &["enroll", "--json"], &input).assert_success().json();
    assert!(document["staged"].is_null());
    site.totpd_as("alice", &["confirm"], &format!("{}\n", Phone::from(&document).code(&site)))
        .assert_success();
    // The next login shows both notices.
    site.next_step();
    let shown = login(&mut su(&site), &Phone::from(&document).code(&site)).unwrap();
    assert!(shown.contains("A change of the factor was cancelled on "), "{shown}");
    assert!(shown.contains("A new authenticator app was enrolled with a ticket on "), "{shown}");
}

#[test]
fn no_lock_keeps_the_user_from_cancelling() {
    let site = Site::new();
    let phone = site.enroll("alice");
    staged(&site, &phone.code(&site));
    for _ in 0..11 {
        site.totpd_as("alice", &["verify"], &format!("{}\n", phone.wrong_code(&site)));
    }
    assert_eq!(site.status("alice")["locks"][0]["class"], "own");
    let locked = site.status("alice")["locks"].clone();
    assert_eq!(site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.wrong_code(&site))).code, 1);
    site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.code(&site))).assert_success();
    assert!(site.status("alice")["staged"].is_null());
    assert_eq!(site.status("alice")["locks"], locked, "the locks stay");
}
