//! Tickets, with which an administrator lets a user enroll or change the factor at once.

use super::{staged, ticket};
use totpd_e2e::Site;
use totpd_e2e::pamhost::login;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::run;

#[test]
fn a_ticket_enrolls_once() {
    let site = Site::new();
    let without = site.totpd_as("alice", &["enroll"], "");
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("refused"), "{without:?}");
    let guessed = site.totpd_as("alice", &["enroll"], "AAAA-AAAA-AAAA-AAAA\n");
    assert_eq!((guessed.code, site.events().last().unwrap()["reason"].as_str()), (1, Some("bad-ticket")));
    let ticket = ticket(&site);
    // As users type: in lower case, without dashes.
    let typed = format!("{}\n", ticket.to_lowercase().replace('-', ""));
    let phone = Phone::from(&site.totpd_as("alice", &["enroll", "--json"], &typed).assert_success().json());
    assert_eq!(site.totpd_as("alice", &["status", "--json"], "").assert_success().json()["state"], "pending");
    site.totpd_as("alice", &["confirm"], &format!("{}\n", phone.code(&site))).assert_success();
    assert_eq!(
        site.totpd_as("alice", &["status"], "").assert_success().stdout,
        "alice: active, 10 recovery codes left, no login in the history\n"
    );
    assert_eq!(site.totpd_as("alice", &["enroll"], &typed).code, 1, "used up");
    let logs = site.log() + &String::from_utf8_lossy(&site.stored());
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
    // Only alice can use it.
    let ticket = ticket(&site);
    assert_eq!(site.totpd_as("bob", &["enroll"], &format!("{ticket}\n")).code, 1);
    assert!(!refused(&ticket));
}

#[test]
fn a_ticket_needs_a_code_of_its_factor_unless_it_is_lost() {
    let site = Site::new();
    let ticket = |arguments: &[&str]| {
        let all = [&["enroll", "alice", "--ticket", "--json"], arguments].concat();
        site.totpd(&all).assert_success().json()["ticket"].as_str().unwrap().to_owned()
    };
    let old = site.enroll("alice");
    let plain = ticket(&[]);
    for input in [format!("\n{plain}\n"), format!("{}\n{plain}\n", old.wrong_code(&site))] {
        assert_eq!(site.totpd_as("alice", &["enroll"], &input).code, 1, "a code is required as well");
    }
    // A wrong ticket uses up no code; the right one renews the recovery codes at once.
    let guess = format!("{}\nAAAA-AAAA-AAAA-AAAA\n", old.code(&site));
    assert_eq!(site.totpd_as("alice", &["recovery-codes"], &guess).code, 1);
    assert_eq!(site.events().last().unwrap()["reason"], "bad-ticket");
    let input = format!("{}\n{plain}\n", old.code(&site));
    let renewed = site.totpd_as("alice", &["recovery-codes", "--json"], &input).assert_success().json();
    assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{}\n", old.recovery_codes[0])).code, 1);
    site.next_step();
    assert_eq!(
        site.totpd_as("alice", &["revoke"], &format!("{}\n{plain}\n", old.code(&site))).code,
        1,
        "used up"
    );
    // A ticket for a lost phone overrides a change that malware has staged.
    site.next_step();
    let thief = staged(&site, &old.code(&site));
    let lost = ticket(&["--lost"]);
    let document =
        site.totpd_as("alice", &["enroll", "--json"], &format!("\n{lost}\n")).assert_success().json();
    let new = Phone::from(&document);
    assert_eq!(site.totpd_as("alice", &["confirm"], &format!("{}\n", thief.code(&site))).code, 1);
    let left = ticket(&["--lost"]);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(&site))).assert_success();
    // A ticket for the previous factor is not valid for this one.
    site.next_step();
    assert_eq!(site.totpd_as("alice", &["enroll"], &format!("\n{left}\n")).code, 1);
    let removes = ticket(&[]);
    site.totpd_as("alice", &["revoke"], &format!("{}\n{removes}\n", new.code(&site))).assert_success();
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn an_old_ticket_replaces_no_factor_in_use() {
    let site = Site::new();
    let ticket = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    // The administrator enrolls alice, and the ticket stays in alice's mail, where malware reads
    // it.
    let phone = site.enroll("alice");
    let path = site.path("run/login.sock");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(json.dumps({'method':'org.totpd.Self.Enroll','parameters':{'ticket':sys.argv[2]}}).encode()+b'\\0')\n\
                  print(s.recv(20000).rstrip(b'\\0').decode())";
    let mut malware = site.command_as("alice", "python3");
    malware.args(["-c", script]).arg(&path).arg(&ticket);
    let reply: serde_json::Value =
        serde_json::from_str(run(malware, "").assert_success().stdout.trim()).unwrap();
    let Some(secret) = reply["parameters"]["secret"].as_str() else { return };
    let own = Phone::with_key(secret);
    site.totpd_as("alice", &["confirm"], &format!("{}\n", own.code(&site))).assert_success();
    site.next_step();
    site.totp_service("x", "nodelay timeout=5");
    panic!(
        "malware with the old ticket replaced the factor: its code logs in with {}, alice's own with {}",
        login(&site, "alice", &own.code(&site)),
        login(&site, "alice", &phone.code(&site))
    );
}

#[test]
fn an_expired_ticket_stays_expired_when_the_clock_is_set_back() {
    let site = Site::new();
    let document =
        site.totpd(&["enroll", "alice", "--ticket", "--expires", "60s", "--json"]).assert_success().json();
    let ticket = document["ticket"].as_str().unwrap().to_owned();
    site.advance(120);
    site.advance(-60 * 24 * 3600);
    assert_eq!(site.totpd_as("alice", &["enroll"], &format!("{ticket}\n")).code, 1);
}
