//! Self-service and what users read.

use site::Site;
use site::network::{Network, SERVER};
use site::pamhost::{PamHost, SSH_KEY, code, login};
use site::phone::Phone;
use site::run::{run, wait_until};
use site::ssh::{Setup, Sshd};

#[test]
fn an_old_ticket_replaces_no_factor_in_use() {
    let site = Site::new();
    let ticket = site.totpd(&["enroll", "alice", "--ticket", "--json"]).assert_success().json();
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    // Enrolled by the administrator meanwhile; the ticket stays in alice's mail, where malware reads it.
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
fn a_new_owner_of_a_name_sees_no_old_history() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let phone = site.enroll("alice");
    assert_eq!(PamHost::new(&site, "x", "alice").option(SSH_KEY).answer(&phone.code(&site)), code::SUCCESS);
    site.replace("etc/passwd", "alice:x:5001:5001", "alice:x:5098:5098");
    let mut command = site.command("setpriv");
    command.args(["--reuid", "5098", "--regid", "5098", "--clear-groups", "--reset-env"]);
    command.arg(site::paths::totpd()).arg("--config");
    command.arg(site.path("etc/totpd/totpd.toml")).arg("history");
    let seen = run(command, "");
    assert!(!seen.stdout.contains("192.0.2.1"), "{seen:?}");
}

#[test]
fn a_forged_history_row_cannot_control_the_terminal() {
    let site = Site::new();
    site.enroll("alice");
    let row = r#"{"event":"login","time":"2026-11-25T00:00:00Z","user":"alice","outcome":"granted","rhost":"\u001b]0;pwned\u0007\u001b[2J"}"#;
    site.sql(&format!("UPDATE history SET event = '{row}' WHERE seq = (SELECT max(seq) FROM history)"));
    let shown = site.totpd(&["history", "alice"]).assert_success().stdout;
    assert!(shown.contains("pwned") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn every_refused_self_service_call_is_audited() {
    let site = Site::new();
    site.enroll("alice");
    let path = site.path("run/login.sock");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(b'{\"method\":\"org.totpd.Self.Enroll\",\"parameters\":{}}\\0')\n\
                  print(s.recv(20000).rstrip(b'\\0').decode())";
    let before = site.events().len();
    let mut malware = site.command_as("alice", "python3");
    malware.args(["-c", script]).arg(&path);
    assert!(run(malware, "").assert_success().stdout.contains("CodeNeeded"));
    assert_eq!(site.events().len(), before + 1);
}

#[test]
fn undelivered_recovery_codes_replace_none_unannounced() {
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
    wait_until("it is said", || site.events().iter().any(ended));
    let works = login(&site, "alice", &phone.recovery_codes[0]);
    let said = site.events().iter().any(|event| event["outcome"] == "undelivered");
    assert!(
        works == code::SUCCESS || said,
        "the old codes are gone ({works}), and nothing says that the new ones were never seen"
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

#[test]
fn self_confirm_never_reveals_future_codes_to_a_locked_user() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    // The administrator has staged a factor; alice has scanned it and not logged in yet. Malware runs as her.
    let phone = site.stage("alice");
    for n in 0..12 {
        site.totpd_as("alice", &["confirm"], &format!("{:06}\n", 900_000 + n));
    }
    assert_eq!(site.status("alice")["locks"][0]["class"], "own");
    // A guess that happens to be the code of 20 minutes later: of a million codes 120 are of the next hour.
    let guess = phone.code_at(site.now() + 1200);
    let told = site.totpd_as("alice", &["confirm", "--json"], &format!("{guess}\n"));
    let event = site.events().last().unwrap().clone();
    site.advance(1200);
    let later = PamHost::new(&site, "x", "alice").option(SSH_KEY).answer(&guess);
    assert!(
        !told.stdout.contains("1200") && !told.stderr.contains("20 min"),
        "locked ({}), and still told when its guess will be right: {told:?}; then it lets in: {later}",
        event["reason"]
    );
}

#[test]
fn one_code_given_to_malware_is_one_login_not_the_factor() {
    let site = Site::new();
    let network = Network::new(2);
    let sshd = Sshd::start_with(&site, Setup { network: Some(&network.server), ..Setup::default() });
    let (home, thief) =
        (sshd.client(&network.clients[0], SERVER[0]), sshd.client(&network.clients[1], SERVER[0]));
    let phone = site.enroll("alice");
    assert!(home.lets_in("alice", &[&phone.code(&site)]));
    site.next_step();
    // As alice's uid, with the one code that she typed to it: new recovery codes, and a factor with one of them.
    let stolen = phone.code(&site);
    let renewed =
        site.totpd_as("alice", &["recovery-codes", "--json"], &format!("{stolen}\n")).assert_success().json();
    assert_eq!(renewed["recovery_codes"], serde_json::json!([]), "a thief's recovery codes");
    for command in ["enroll", "recovery-codes", "revoke", "cancel"] {
        assert_eq!(site.totpd_as("alice", &[command], &format!("{stolen}\n")).code, 1, "{command}");
    }
    assert!(!thief.lets_in("alice", &[&stolen]), "it was used up");
    assert!(home.lets_in("alice", &[&phone.recovery_codes[0]]), "hers are as they were");
    site.next_step();
    site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.code(&site))).assert_success();
    site.next_step();
    // The same with a factor of its own: confirmed and logged in with at once, after the delay, from anywhere.
    let document = site
        .totpd_as("alice", &["enroll", "--json"], &format!("{}\n", phone.code(&site)))
        .assert_success()
        .json();
    let own = Phone::from(&document);
    for wait in [0, 3600, 22 * 3600, 3600, 3600] {
        site.advance(wait);
        site.next_step();
        assert_eq!(site.totpd_as("alice", &["confirm"], &format!("{}\n", own.code(&site))).code, 1);
        assert!(!thief.lets_in("alice", &[&own.code(&site)]) && !sshd.lets_in("alice", &[&own.code(&site)]));
        assert!(!thief.lets_in("alice", &[&own.recovery_codes[0]]));
    }
    // With a second code the thief's own login shows the notice, and takes it from nobody.
    assert!(thief.lets_in("alice", &[&phone.code(&site)]));
    site.next_step();
    assert!(!thief.lets_in("alice", &[&own.code(&site)]));
    home.prepare_answers(&[&phone.code(&site), ""]);
    let mut ssh = home.program("ssh", "askpass", 1);
    ssh.args(["-tt", &home.destination("alice")]);
    run(ssh, "exit\n").assert_success();
    let shown = home.prompts().join("\n");
    assert!(shown.contains("to replace the authenticator app") && shown.contains("totpd cancel"), "{shown}");
    site.next_step();
    site.totpd_as("alice", &["cancel"], &format!("{}\n", phone.code(&site))).assert_success();
    assert!(!thief.lets_in("alice", &[&own.code(&site)]));
    site.next_step();
    assert!(home.lets_in("alice", &[&phone.code(&site)]), "her factor is hers");
}
