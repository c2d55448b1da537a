//! Self-service: what users do for themselves, and what malware that runs as them cannot.

use site::Site;
use site::pamhost::{PamHost, code};
use site::phone::Phone;

#[track_caller]
fn ticket(site: &Site) -> String {
    let document = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    document["ticket"].as_str().unwrap().to_owned()
}

#[test]
fn a_ticket_enrolls_once() {
    let site = Site::new();
    let without = site.totpd_as("alice", &["enroll"], "");
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("refused"), "{without:?}");
    let guessed = site.totpd_as("alice", &["enroll"], "AAAA-AAAA-AAAA-AAAA\n");
    assert_eq!((guessed.code, site.events().last().unwrap()["reason"].as_str()), (1, Some("bad-ticket")));
    let ticket = ticket(&site);
    // Typed as people type: in small letters, without dashes.
    let typed = format!("{}\n", ticket.to_lowercase().replace('-', ""));
    let phone = Phone::from(&site.totpd_as("alice", &["enroll", "--json"], &typed).assert_success().json());
    assert_eq!(site.totpd_as("alice", &["status", "--json"], "").assert_success().json()["state"], "pending");
    site.totpd_as("alice", &["confirm"], &format!("{}\n", phone.code(&site))).assert_success();
    assert_eq!(
        site.totpd_as("alice", &["status"], "").assert_success().stdout,
        "alice: active, 10 recovery codes left, no login in the history\n"
    );
    assert_eq!(site.totpd_as("alice", &["enroll"], &typed).code, 1, "used up");
    let logs = site.log() + &String::from_utf8_lossy(&std::fs::read(site.path("state/totpd.db")).unwrap());
    assert!(!logs.contains(&ticket) && !logs.contains(&phone.secret));
}

#[test]
fn a_ticket_ends_by_expiry_a_newer_ticket_or_revoke() {
    let site = Site::new();
    let refused = |ticket: &str| site.totpd_as("alice", &["enroll"], &format!("{ticket}\n")).code == 1;
    let document =
        site.totpd(&["enroll", "alice", "--ticket", "--expires", "60s", "--json"]).assert_success().json();
    site.advance(60);
    assert!(refused(document["ticket"].as_str().unwrap()), "too old");
    let (older, newer) = (ticket(&site), ticket(&site));
    assert!(refused(&older), "there is a newer one");
    site.totpd(&["revoke", "alice"]).assert_success();
    assert!(refused(&newer), "revoked");
    // It is alice's alone.
    let ticket = ticket(&site);
    assert_eq!(site.totpd_as("bob", &["enroll"], &format!("{ticket}\n")).code, 1);
    assert!(!refused(&ticket));
}

#[test]
fn self_enroll_open_needs_nothing_and_off_allows_nothing() {
    let site = Site::new();
    site.configure("[login]\nself_enroll = \"open\"\n");
    let phone = Phone::from(&site.totpd_as("alice", &["enroll", "--json"], "").assert_success().json());
    site.totpd_as("alice", &["confirm"], &format!("{}\n", phone.code(&site))).assert_success();
    assert_eq!(site.totpd_as("alice", &["enroll"], "\n").code, 1, "a second one takes a code of the first");
    assert_eq!(site.status("alice")["replacement_pending"], false);
    site.configure("[login]\nself_enroll = \"off\"\n");
    site.next_step();
    let off = site.totpd_as("alice", &["enroll"], &format!("{}\n", phone.code(&site)));
    assert!(off.code == 1 && off.stderr.contains("ask your administrator"), "{off:?}");
    // Nothing was used up by it.
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
}

#[test]
fn changing_or_removing_a_factor_uses_up_a_code() {
    let site = Site::new();
    let phone = site.enroll("alice");
    for command in ["enroll", "recovery-codes", "revoke"] {
        for wrong in [phone.wrong_code(&site).as_str(), "AAAA-AAAA-AAAA-AAAA", "", "no code"] {
            let refused = site.totpd_as("alice", &[command], &format!("{wrong}\n"));
            assert_eq!(refused.code, 1, "{command} {wrong}: {refused:?}");
            assert!(!refused.stdout.contains("Recovery codes"), "{refused:?}");
        }
    }
    assert_eq!(site.status("alice")["recovery_codes_left"], 10);
    // With a ticket at once: the old factor works until the new one is proved.
    let code = phone.code(&site);
    let input = format!("{code}\n{}\n", ticket(&site));
    let new = Phone::from(&site.totpd_as("alice", &["enroll", "--json"], &input).assert_success().json());
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{code}\n")).code, 1, "the code was used up");
    site.next_step();
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
    assert_eq!(
        site.totpd_as("alice", &["revoke"], &format!("{}\n{}\n", new.code(&site), ticket(&site))).code,
        1,
        "it is not proved yet"
    );
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    site.next_step();
    assert_eq!(
        site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).code,
        1,
        "the old one is gone"
    );
    // Recovery codes by a recovery code, which is spent with its set.
    let input = format!("{}\n{}\n", new.recovery_codes[0], ticket(&site));
    let renewed = site.totpd_as("alice", &["recovery-codes", "--json"], &input).assert_success().json();
    let fresh = renewed["recovery_codes"][0].as_str().unwrap().to_owned();
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{}\n", new.recovery_codes[1])).code, 1);
    site.totpd_as("alice", &["revoke"], &format!("{fresh}\n{}\n", ticket(&site))).assert_success();
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn malware_cannot_read_or_replace_a_factor_nor_lock_sudo() {
    let site = Site::new();
    site.totp_service("sudo", "nodelay");
    let phone = site.enroll("alice");
    // Every command, guessing, until even her own processes are locked.
    for n in 0..14 {
        for command in ["enroll", "recovery-codes", "revoke", "confirm", "verify"] {
            let tried = site.totpd_as("alice", &[command], &format!("{:06}\n", 100_000 + n));
            assert_ne!(tried.code, 0, "{tried:?}");
        }
    }
    let locks = site.status("alice")["locks"].clone();
    assert!(locks.as_array().unwrap().iter().all(|lock| lock["class"] == "own"), "{locks}");
    let status = site.totpd_as("alice", &["status", "--json"], "");
    assert!(!status.stdout.contains(&phone.secret), "{status:?}");
    assert_eq!(site.status("alice")["replacement_pending"], false);
    let sudo = PamHost::new(&site, "sudo", "alice");
    assert_eq!(sudo.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn users_see_only_their_own_history() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let bob = site.enroll("bob");
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
    site.totpd_with(&["verify", "bob"], &format!("{}\n", bob.code(&site))).assert_success();
    let own = site.totpd_as("alice", &["history"], "").assert_success().stdout;
    assert!(own.contains("login granted by totp") && !own.contains("bob"), "{own}");
    assert_eq!(site.totpd_as("alice", &["history", "bob"], "").code, 1);
    assert_eq!(
        site.totpd_as("alice", &["forget"], "").assert_success().stdout.matches("0 remembered").count(),
        1
    );
}
