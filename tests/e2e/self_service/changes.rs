//! Changes at once: a first factor, and changes with a ticket.

use super::ticket;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{code, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::{run, wait_until};

#[test]
fn self_enroll_open_needs_nothing_and_off_allows_nothing() {
    let site = Site::new();
    site.configure("[login]\nself_enroll = \"open\"\n");
    let phone = Phone::from(&site.totpd_as("alice", &["enroll", "--json"], "").assert_success().json());
    site.totpd_as("alice", &["confirm"], &format!("{}\n", phone.code(&site))).assert_success();
    assert_eq!(
        site.totpd_as("alice", &["enroll"], "\n").code,
        1,
        "a second factor takes a code of the first"
    );
    assert_eq!(site.status("alice")["replacement_pending"], false);
    site.configure("[login]\nself_enroll = \"off\"\n");
    site.next_step();
    let off = site.totpd_as("alice", &["enroll"], &format!("{}\n", phone.code(&site)));
    assert!(off.code == 1 && off.stderr.contains("Ask your administrator"), "{off:?}");
    // The refusal used up no code.
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
    // With a ticket the change is at once: the old factor works until the new one is confirmed.
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
    // Two secrets have the same code once in a million steps, and here they had.
    while (-1..=1).any(|n| new.code_at(site.now() + 30 * n) == phone.code(&site)) {
        site.next_step();
    }
    assert_eq!(
        site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).code,
        1,
        "the old one is gone"
    );
    // A recovery code renews the recovery codes, and is used up with its set.
    let input = format!("{}\n{}\n", new.recovery_codes[0], ticket(&site));
    let renewed = site.totpd_as("alice", &["recovery-codes", "--json"], &input).assert_success().json();
    let fresh = renewed["recovery_codes"][0].as_str().unwrap().to_owned();
    assert_eq!(site.totpd_as("alice", &["verify"], &format!("{}\n", new.recovery_codes[1])).code, 1);
    site.totpd_as("alice", &["revoke"], &format!("{fresh}\n{}\n", ticket(&site))).assert_success();
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn undelivered_recovery_codes_never_replace_a_set_silently() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let phone = site.enroll("alice");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(json.dumps({'method':'org.totpd.Self.RecoveryCodes','parameters':{'code':sys.argv[2]}}).encode()+b'\\0')\n\
                  s.close()";
    let mut client = site.command_as("alice", "python3");
    client.args(["-c", script]).arg(site.path("run/login.sock")).arg(phone.code(&site));
    run(client, "").assert_success();
    let ends = ["hung-up", "undelivered"];
    let ended = |event: &serde_json::Value| {
        ends.iter().any(|end| event["reason"] == *end || event["outcome"] == *end)
    };
    wait_until("it is reported", || site.events().iter().any(ended));
    let works = login(&site, "alice", &phone.recovery_codes[0]);
    let said = site.events().iter().any(|event| event["outcome"] == "undelivered");
    assert!(
        works == code::SUCCESS || said,
        "the old codes are gone ({works}), and nothing says that the new ones were never seen"
    );
}
