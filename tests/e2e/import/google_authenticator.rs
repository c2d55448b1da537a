//! `totpd import google-authenticator`, on files that the real program and its module write.

use super::{KEY, accepts, google_file, phone, reason, wait_out, write_home};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::phone::Phone;
use totpd_e2e::users::PASSWORD;

/// Has the real program make a factor, as the user would. Returns the key and the scratch codes.
#[track_caller]
fn google_authenticator(site: &Site, user: &str, options: &[&str]) -> (Phone, Vec<String>) {
    let home = site.path("home").join(user);
    let mut program = site.command_as(user, "google-authenticator");
    program.args(["-t", "-d", "-f", "-q", "-C", "-r", "3", "-R", "30", "-e", "5"]).args(options);
    program.arg(format!("--secret={}", home.join(".google_authenticator").display()));
    totpd_e2e::run::run(program, "").assert_success();
    let file = std::fs::read_to_string(home.join(".google_authenticator")).unwrap();
    let scratch = file.lines().filter(|line| line.len() == 8 && line.parse::<u32>().is_ok());
    (Phone::with_key(file.lines().next().unwrap()), scratch.map(str::to_owned).collect())
}

#[test]
fn a_factor_of_the_real_program_goes_on_working_here() {
    let site = Site::new();
    let (phone, scratch) = google_authenticator(&site, "alice", &["-w", "17"]);
    assert_eq!(scratch.len(), 5);
    let module = "pam_google_authenticator.so";
    site.service("old", &format!("auth required {module}\naccount required pam_permit.so\n"));
    // A phone that is two and a half minutes ahead, which WINDOW_SIZE 17 accepts.
    let ahead = site.now() + 150;
    let old = PamHost::new(&site, "old", "alice");
    let used = phone.code_at(ahead);
    assert_eq!(old.answer(&used), code::SUCCESS, "{:?}", site.syslog());
    assert_ne!(old.answer(&used), code::SUCCESS, "the old tool refuses it, too");

    let dry = site.totpd(&["import", "google-authenticator", "alice", "--dry-run"]).assert_success();
    assert!(dry.stdout.contains("alice: would be imported"), "{dry:?}");
    assert_eq!(site.status("alice")["state"], "none");

    let report = site.totpd(&["import", "google-authenticator", "alice", "--json"]).assert_success().json();
    let entry = &report["entries"][0];
    assert_eq!((&report["imported"], &entry["result"]), (&1.into(), &"imported".into()));
    assert_eq!((&entry["state"], &entry["period"]), (&"active".into(), &30.into()));
    assert_eq!(entry["scratch_codes"], 5);
    assert!(entry["recovery_codes"].is_null());
    let status = site.status("alice");
    assert_eq!((&status["state"], &status["recovery_codes_left"]), (&"active".into(), &10.into()));

    // What the old tool has accepted stays used, also when its time comes.
    assert!(!accepts(&site, "alice", &phone.code(&site)));
    assert_eq!(reason(&site, "alice"), "clock");
    site.advance(ahead - site.now());
    assert!(!accepts(&site, "alice", &used));
    assert_eq!(reason(&site, "alice"), "replayed");
    site.next_step();
    assert!(accepts(&site, "alice", &phone.code(&site)));
    for scratch in scratch {
        assert!(!accepts(&site, "alice", &scratch), "scratch codes are not taken over");
    }
    let history = site.totpd(&["history", "alice", "--json"]).json();
    let events = history["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["event"] == "import" && event["given"] == true));
    let key = phone.secret.as_str();
    assert!(!site.log().contains(key) && !site.syslog().iter().any(|line| line.contains(key)));
}

#[test]
fn all_users_are_imported_and_each_refusal_has_a_reason() {
    let site = Site::new();
    let (alice, _) = google_authenticator(&site, "alice", &["-w", "3", "-S", "60"]);
    write_home(&site, "bob", ".google_authenticator", &format!("{KEY}\n\" HOTP_COUNTER 3\n"));
    write_home(&site, "eve", ".google_authenticator", &google_file("GEZDGNBVGY3TQOJQ"));
    write_home(&site, "u1", ".google_authenticator", &google_file(KEY));
    site.enroll("u1");
    let finished = site.totpd(&["import", "google-authenticator", "--all-users"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    for words in [
        "alice: imported",
        "60 s",
        "bob: refused",
        "counter-based (HOTP)",
        "eve: refused",
        "80 bits",
        "u1: skipped",
        "1 imported, 1 skipped, 2 refused",
        "users have no such file",
        "totpd recovery-codes USER",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {finished:?}");
    }
    assert!(!finished.stdout.contains(KEY) && !finished.stdout.contains(&alice.secret));
    for user in ["bob", "eve"] {
        assert_eq!(site.status(user)["state"], "none");
    }
    let short = ["import", "google-authenticator", "eve", "--allow-short", "--recovery-codes", "--json"];
    let report = site.totpd(&short).assert_success().json();
    let codes = report["entries"][0]["recovery_codes"].as_array().unwrap();
    assert!(accepts(&site, "eve", codes[0].as_str().unwrap()));
}

#[test]
fn a_second_import_of_all_users_revives_no_revoked_factor() {
    let site = Site::new();
    write_home(&site, "alice", ".google_authenticator", &google_file(KEY));
    let all = ["import", "google-authenticator", "--all-users"];
    site.totpd(&all).assert_success();
    site.totpd(&["revoke", "alice"]).assert_success();
    for options in [&["--dry-run"][..], &[], &["--replace"]] {
        let skipped = site.totpd(&[&all[..], options].concat()).assert_success();
        assert!(skipped.stdout.contains("alice: skipped"), "{skipped:?}");
        assert!(skipped.stdout.contains("had one that was revoked"), "{skipped:?}");
    }
    assert_eq!(site.status("alice")["state"], "none");
    site.totpd(&["import", "google-authenticator", "alice"]).assert_success();
    assert_eq!(site.status("alice")["state"], "active");
}

#[test]
fn the_secret_in_use_is_not_imported_a_second_time() {
    let site = Site::new();
    write_home(&site, "alice", ".google_authenticator", &google_file(KEY));
    site.totpd(&["import", "google-authenticator", "alice"]).assert_success();
    // Each code would work twice, and the second time would replace the recovery codes.
    for again in [
        site.totpd(&["import", "google-authenticator", "alice", "--replace"]),
        site.totpd_with(&["enroll", "alice", "--secret", "-"], KEY),
    ] {
        assert_ne!(again.code, 0, "{again:?}");
        let said = format!("{}{}", again.stdout, again.stderr);
        assert!(said.contains("is that of the factor in use"), "{again:?}");
    }
    let status = site.status("alice");
    assert_eq!((&status["state"], &status["replacement_pending"]), (&"active".into(), &false.into()));
    wait_out(&site);
    let code = phone().code(&site);
    assert!(accepts(&site, "alice", &code));
    assert!(!accepts(&site, "alice", &code));
    assert_eq!(reason(&site, "alice"), "replayed");
}

#[test]
fn an_import_replaces_a_factor_in_use_only_when_it_is_told_to() {
    let site = Site::new();
    let old = site.enroll("alice");
    write_home(&site, "alice", ".google_authenticator", &google_file(KEY));
    let skipped = site.totpd(&["import", "google-authenticator", "alice"]).assert_success();
    assert!(skipped.stdout.contains("--replace"), "{skipped:?}");
    assert_eq!(site.status("alice")["replacement_pending"], false);
    let replaced = site.totpd(&["import", "google-authenticator", "alice", "--replace"]).assert_success();
    assert!(replaced.stdout.contains("waits for its first code until"), "{replaced:?}");
    // The old factor works until a code proves the new one.
    site.next_step();
    assert!(accepts(&site, "alice", &old.code(&site)));
    wait_out(&site);
    assert!(accepts(&site, "alice", &phone().code(&site)));
    site.next_step();
    assert!(!accepts(&site, "alice", &old.code(&site)));
    assert!(accepts(&site, "alice", &phone().code(&site)));
}

#[test]
fn both_modules_side_by_side_ask_each_user_once() {
    let site = Site::new();
    let guide = include_str!("../../../docs/how-to/from-google-authenticator.md");
    let lines: Vec<&str> = guide.lines().filter(|line| line.starts_with("auth ")).collect();
    assert_eq!(lines.len(), 3, "the guide's stack");
    let lines = lines.join("\n").replace("pam_totp.so", &site.pam_line(""));
    let service = format!("auth required pam_unix.so nodelay\n{lines}\naccount required pam_permit.so\n");
    site.service("x", &service);
    let (alice, _) = google_authenticator(&site, "alice", &["-w", "3"]);
    let (bob, _) = google_authenticator(&site, "bob", &["-w", "3"]);
    site.totpd(&["import", "google-authenticator", "alice", "bob"]).assert_success();
    site.append("etc/group", "moved:x:900:alice\n");
    wait_out(&site);
    let login = |user: &str, password: &str, code: &str| {
        PamHost::new(&site, "x", user).authenticate(&format!("{password}\n{code}\n"))
    };
    // The clock of the old module is the real one.
    let real = site.now() - site.faults.offset();
    let (of_totpd, of_old) = (alice.code(&site), bob.code_at(real));
    assert_ne!(login("alice", "wrong", &of_totpd), code::SUCCESS);
    site.next_step();
    assert_eq!(login("alice", PASSWORD, &alice.code(&site)), code::SUCCESS, "{:?}", site.syslog());
    assert_ne!(login("alice", PASSWORD, &alice.code_at(real)), code::SUCCESS, "the old module is not asked");
    assert_ne!(login("bob", PASSWORD, &bob.wrong_code(&site)), code::SUCCESS);
    assert_eq!(login("bob", PASSWORD, &of_old), code::SUCCESS, "{:?}", site.syslog());
    assert_ne!(login("bob", PASSWORD, &of_old), code::SUCCESS);
    // Without the daemon, who was moved is refused, and not asked by the other module.
    site.end(nix::sys::signal::Signal::SIGTERM);
    assert_ne!(login("alice", PASSWORD, &alice.code_at(real)), code::SUCCESS);
}

#[test]
fn with_expires_an_imported_factor_waits_for_its_first_code() {
    let site = Site::new();
    write_home(&site, "alice", ".google_authenticator", &google_file(KEY));
    let run = ["import", "google-authenticator", "alice", "--expires", "7d"];
    site.totpd(&run).assert_success();
    assert_eq!(site.status("alice")["state"], "pending");
    wait_out(&site);
    assert!(accepts(&site, "alice", &phone().code(&site)));
    assert_eq!(site.status("alice")["state"], "active");
}
