//! Which peer may call what: users for themselves, and root for everybody.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::run::{run, wait_until};

#[test]
fn users_verify_only_their_own_codes() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let own = site.totpd_as("alice", &["verify"], &alice.code(&site)).assert_success();
    assert_eq!(own.stdout, "alice: accepted\n");
    assert_eq!(site.last_login()["class"], "own");
    let other = site.totpd_as("alice", &["verify", "bob"], &bob.code(&site));
    assert_eq!(other.code, 1, "{other:?}");
    assert_eq!(site.last_login()["reason"], "not-yours");
    assert_eq!(site.totpd_as("alice", &["verify", "root"], "123456").code, 1);
    // Bob's code is still unused.
    site.totpd_with(&["verify", "bob"], &bob.code(&site)).assert_success();
}

#[test]
fn claims_of_a_users_process_about_its_source_are_dropped() {
    let site = Site::new();
    let alice = site.enroll("alice");
    site.totp_service("sshd", "nodelay");
    // A process without root can name any folder of services (pam_start_confdir(3)).
    let services = site.path("etc/pam.d").display().to_string();
    let liar = PamHost::new(&site, "sshd", "alice")
        .option(&["-c", &services])
        .option(&["-r", "192.0.2.77", "-R", "root", "-t", "ssh"])
        .run_as("alice");
    assert_eq!(liar.answer(&alice.code(&site)), code::SUCCESS);
    let event = site.last_login();
    assert_eq!(
        (&event["class"], &event["ruser"], &event["peer_uid"]),
        (&"own".into(), &"alice".into(), &5001.into())
    );
    for claimed in ["rhost", "service", "tty"] {
        assert!(event[claimed].is_null(), "{event}");
    }
    // The claim made no source known: the address is still a stranger's.
    site.next_step();
    let stranger = PamHost::new(&site, "sshd", "alice").option(&["-r", "192.0.2.77"]);
    assert_eq!(stranger.answer(&alice.code(&site)), code::SUCCESS);
    assert_eq!(site.last_login()["class"], "others");
}

#[test]
fn users_neither_administer_nor_read_the_store() {
    let site = Site::new();
    let phone = site.enroll("alice");
    for arguments in [
        &["enroll", "bob"][..],
        &["enroll", "alice", "--ticket"],
        &["confirm", "bob"],
        &["status", "bob"],
        &["list"],
        &["revoke", "bob"],
        &["unlock", "alice"],
        &["forget", "bob"],
        &["recovery-codes", "bob"],
        &["history", "bob"],
        &["report"],
        &["explain", "alice", "sudo"],
    ] {
        let refused = site.totpd_as("alice", arguments, "123456\n");
        assert_eq!(refused.code, 1, "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("only root"), "{refused:?}");
    }
    for path in ["state/totpd.db", "state/totpd.db-wal", "state/totpd.db-shm", "etc/totpd/totpd.key"] {
        let mut cat = site.command_as("alice", "cat");
        cat.arg(site.path(path));
        assert_ne!(run(cat, "").code, 0, "{path} can be read");
    }
    // A debugger or /proc shows nothing either, since the daemon is not dumpable.
    let mut cat = site.command_as("alice", "cat");
    cat.arg(format!("/proc/{}/environ", site.daemon_pid()));
    assert_ne!(run(cat, "").code, 0);
    site.totpd_with(&["verify", "alice"], &phone.code(&site)).assert_success();
}

#[test]
fn a_users_own_attempts_cannot_flood_the_history() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let alice = PamHost::new(&site, "x", "alice").run_as("alice");
    let answers: Vec<i32> = (0..80).map(|_| alice.answer("no code")).collect();
    assert_eq!(answers[0], code::AUTH_ERR);
    assert_eq!(answers[79], code::SYSTEM_ERR);
    assert!(site.events().len() < 75, "{}", site.events().len());
    // Programs of root are not limited by it.
    assert_eq!(PamHost::new(&site, "x", "alice").answer("no code"), code::AUTH_ERR);
}

#[test]
fn su_to_another_user_cannot_lock_that_users_sudo() {
    let site = Site::new();
    site.totp_service("su", "nodelay");
    let phone = site.enroll("alice");
    let su = PamHost::new(&site, "su", "alice").started_by("bob");
    for _ in 0..12 {
        assert_eq!(su.answer(&phone.wrong_code(&site)), code::AUTH_ERR);
    }
    assert_eq!(site.last_login()["reason"], "locked");
    let event = site.last_login();
    assert_eq!((&event["class"], &event["caller_uid"]), (&"local-stranger".into(), &5002.into()));
    let sudo = PamHost::new(&site, "su", "alice");
    assert_eq!(sudo.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn members_of_the_admin_group_can_administer() {
    let site = Site::new();
    site.enroll("alice");
    let config = format!("{}admin_group = \"alice\"\n", site.config());
    site.write("etc/totpd/totpd.toml", &config);
    site.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the group may", || site.totpd_as("alice", &["status", "alice"], "").code == 0);
    let enrolled = site.totpd_as("alice", &["enroll", "bob", "--json"], "").assert_success();
    assert_eq!(enrolled.json()["user"], "bob");
    assert_eq!(site.events().last().unwrap()["peer_uid"], 5001);
}

#[test]
fn nothing_secret_reaches_any_log() {
    let site = Site::new();
    site.totp_service("x", "nodelay debug");
    let phone = site.enroll("alice");
    let (code, recovery) = (phone.code(&site), &phone.recovery_codes[0]);
    for typed in [code.as_str(), "987654", recovery, "hunter2 hunter2"] {
        PamHost::new(&site, "x", "alice").answer(typed);
    }
    let logs = site.log() + &site.syslog().join("\n");
    let database = std::fs::read(site.path("state/totpd.db")).unwrap();
    let wal = std::fs::read(site.path("state/totpd.db-wal")).unwrap();
    let stored = String::from_utf8_lossy(&database).into_owned() + &String::from_utf8_lossy(&wal);
    for secret in [code.as_str(), "987654", recovery, "hunter2", &phone.secret, &recovery.replace('-', "")] {
        assert!(!logs.contains(secret), "{secret} is in a log");
        // Six digits may be in the file by chance (a time, a pid).
        assert!(secret.len() == 6 || !stored.contains(secret), "{secret} is in the store");
    }
}

#[test]
fn a_name_that_changed_its_uid_is_refused() {
    let site = Site::new();
    let phone = site.enroll("u8");
    site.replace("etc/passwd", "u8:x:5018:", "u8:x:6018:");
    let refused = site.totpd_with(&["verify", "u8"], &phone.code(&site));
    assert_eq!(refused.code, 1);
    assert_eq!(site.last_login()["reason"], "uid-changed");
    let refused = site.totpd(&["enroll", "u8"]);
    assert!(refused.stderr.contains("totpd revoke u8"), "{refused:?}");
    site.totpd(&["revoke", "u8"]).assert_success();
    let fresh = site.enroll("u8");
    site.totpd_with(&["verify", "u8"], &fresh.code(&site)).assert_success();
    // A name that was deleted.
    site.replace("etc/passwd", "u8:x:", "gone:x:");
    site.next_step();
    assert_eq!(site.totpd_with(&["verify", "u8"], &fresh.code(&site)).code, 1);
    assert_eq!(site.last_login()["reason"], "unknown-user");
}
