//! A full disk, and a disk that fails.

use totp_wire::CallError;
use totp_wire::login::{BUSY, STORE_UNAVAILABLE, Verdict};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code};
use totpd_e2e::peer::{begin, local, login, refusals};
use totpd_e2e::phone::{Phone, recovery_codes};

#[test]
fn on_a_full_disk_logins_work_and_enrollment_says_why_not() {
    let site = Site::on_small_disk();
    site.start();
    let phone = site.enroll("alice");
    site.fill_disk();

    for round in 0..totpd_e2e::short_or_long(5, 20) {
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted), "round {round}");
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Denied), "round {round}");
        site.next_step();
    }
    let refused = site.totpd(&["enroll", "bob"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("is full") && refused.stderr.contains("Make room"), "{refused:?}");
    assert_eq!(site.status("bob")["state"], "none");
    // More events than the store has room for: the oldest are deleted, and logins still work.
    refusals(&site, 12_000, |_| local("alice"), "no code");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    assert_eq!(login(&site, "alice", &phone.recovery_codes[0]), Ok(Verdict::Granted));
    // A daemon that starts on the full disk serves.
    site.next_step();
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.start();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    site.free_disk();
    site.totpd(&["enroll", "bob"]).assert_success();
}

#[test]
fn after_an_io_error_all_is_refused_until_a_restart() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let used = alice.code(&site);
    assert_eq!(login(&site, "alice", &used), Ok(Verdict::Granted));
    site.next_step();
    site.faults.sync_fails(true);
    let refused = |user: &str, code: &str, with: &str| {
        let answered = begin(&site, local(user)).and_then(|waiting| waiting.answer(code));
        assert!(matches!(&answered, Err(CallError::Error { name, .. }) if name == with), "{answered:?}");
    };
    // Its code may be used: not an error that a stack may take for a missing store.
    refused("alice", &alice.code(&site), BUSY);
    // The next sync would succeed, and the daemon still refuses.
    site.faults.sync_fails(false);
    refused("bob", &bob.code(&site), STORE_UNAVAILABLE);
    assert_eq!(PamHost::new(&site, "x", "bob").answer(&bob.code(&site)), code::AUTHINFO_UNAVAIL);
    let status = site.totpd(&["status"]);
    assert_eq!(status.code, 1);
    assert!(status.stderr.contains("until totpd is restarted"), "{status:?}");
    site.signal(nix::sys::signal::Signal::SIGHUP);
    refused("bob", &bob.code(&site), STORE_UNAVAILABLE);
    assert_eq!(site.totpd(&["enroll", "u1"]).code, 1);
    // A new process serves, and neither used codes nor users are lost.
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.start();
    assert_eq!(login(&site, "bob", &bob.code(&site)), Ok(Verdict::Granted));
    assert_eq!(login(&site, "alice", &used), Ok(Verdict::Denied));
    site.next_step();
    assert_eq!(login(&site, "alice", &alice.code(&site)), Ok(Verdict::Granted));
    assert_eq!(site.status("alice")["recovery_codes_left"], 10);
}

#[test]
fn exempt_and_remembered_logins_work_on_a_full_disk() {
    let site = Site::on_small_disk();
    site.start();
    site.totp_service("x", "nodelay timeout=5");
    site.totp_service("y", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.fill_disk();
    site.configure(
        "[login]\nshow_secrets_services = [\"x\"]\n\
         [[login.rule]]\nusers = [\"u1\"]\naction = \"exempt\"\n\
         [[login.rule]]\nusers = [\"u2\"]\naction = \"require\"\nmode = \"monitor\"\n\
         [[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\nremember = \"8h\"\n\
         [[login.rule]]\naction = \"enroll\"\n",
    );
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(PamHost::new(&site, "y", "u1").authenticate(""));
        codes.push(PamHost::new(&site, "y", "u2").authenticate(""));
        codes.push(
            PamHost::new(&site, "y", "alice")
                .option(&["-A", "5001", "-R", "alice"])
                .answer(&phone.code(&site)),
        );
        site.next_step();
    }
    assert!(codes.iter().all(|c| [code::IGNORE, code::SUCCESS, code::PERM_DENIED].contains(c)), "{codes:?}");
    assert_eq!(site.status("alice")["remembered"], 32);
    let mut host = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    let shown = host.read_until("prompt: ");
    let phone = Phone::from_shown(&shown).unwrap();
    host.say(&format!("{}\n", phone.code(&site)));
    let shown = host.read_until("to finish: ");
    host.say(&format!("{}\n", recovery_codes(&shown)[0]));
    let rest = host.finish().stdout;
    assert!(rest.contains("authenticate=4"), "{rest}");
    assert_eq!(site.status("bob")["state"], "none");
}
