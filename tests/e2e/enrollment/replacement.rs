//! A factor that replaces the one in use: its entry in the app, and what is said of one that nobody
//! confirmed.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::phone::Phone;

/// Logs alice in, and returns what was shown.
#[track_caller]
fn log_in(site: &Site, phone: &Phone) -> String {
    site.next_step();
    let finished =
        PamHost::new(site, "x", "alice").run(&["authenticate"], &format!("{}\n", phone.code(site)));
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
    finished.stdout
}

/// Makes a replacement for alice. Returns its phone, and the account in its link.
#[track_caller]
fn replace(site: &Site, options: &[&str]) -> (Phone, String) {
    let document =
        site.totpd(&[&["enroll", "alice", "--json"][..], options].concat()).assert_success().json();
    let phone = Phone::from(&document);
    let label = phone.uri.split(['/', '?']).nth(3).unwrap().to_owned();
    (phone, label.split_once(':').unwrap().1.to_owned())
}

#[test]
fn a_replacement_does_not_overwrite_the_entry_in_the_app() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let old = site.enroll("alice");
    assert!(old.uri.contains(":alice?"), "{}", old.uri);
    let (_, first) = replace(&site, &[]);
    // With the date and the second, as Python prints them.
    let mut python = site.command("python3");
    python.args([
        "-c",
        "import sys, time\n\
         for n in range(9): print(time.strftime('alice-%Y-%m-%d-%H%M%S', time.gmtime(int(sys.argv[1]) - n)))",
    ]);
    let expected = totpd_e2e::run::run(
        {
            python.arg(site.now().to_string());
            python
        },
        "",
    )
    .assert_success();
    assert!(expected.stdout.lines().any(|name| name == first), "{first}");
    // Two in one minute have different names.
    site.advance(1);
    let (new, second) = replace(&site, &[]);
    assert_ne!(first, second);
    let shown = site.totpd(&["enroll", "alice"]).assert_success().stdout;
    assert!(shown.contains("Its entry in the app is called alice-20"), "{shown}");
    // The old one works until a code confirms the latest.
    assert_eq!(PamHost::new(&site, "x", "alice").answer(&new.code(&site)), code::AUTH_ERR);
    log_in(&site, &old);
}

#[test]
fn an_unconfirmed_replacement_is_told_by_status_and_logins() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let old = site.enroll("alice");
    assert!(!log_in(&site, &old).contains("authenticator app"));
    let (_, account) = replace(&site, &["--expires", "10m"]);
    let status = site.totpd(&["status", "alice"]).assert_success().stdout;
    assert!(status.contains("a code of the new app confirms it"), "{status}");
    for _ in 0..2 {
        let shown = log_in(&site, &old);
        assert!(shown.contains(&format!("{account}) waits for its first code until ")), "{shown}");
    }
    site.advance(600);
    let status = site.totpd(&["status", "alice"]).assert_success().stdout;
    assert!(status.contains("a replacement was never confirmed"), "{status}");
    assert!(site.status("alice")["replacement_expired"].is_string());
    let shown = log_in(&site, &old);
    assert!(shown.contains(&format!("{account}) was never confirmed and has expired")), "{shown}");
    // It is told once.
    let shown = log_in(&site, &old);
    assert!(!shown.contains("never confirmed"), "{shown}");
    assert!(site.status("alice")["replacement_expired"].is_null());
}

#[test]
fn a_confirmed_replacement_leaves_no_notice() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    site.enroll("alice");
    let (new, _) = replace(&site, &["--expires", "10m"]);
    site.totpd_with(&["confirm", "alice"], &new.code(&site)).assert_success();
    site.advance(600);
    assert!(!log_in(&site, &new).contains("confirmed"));
    assert!(site.status("alice")["replacement_expired"].is_null());
}

#[test]
fn apps_that_ignore_digits_and_period_are_named() {
    let site = Site::new();
    let plain = site.totpd(&["enroll", "alice"]).assert_success();
    assert_eq!(plain.stderr, "");
    let warned = site.totpd(&["enroll", "alice", "--digits", "8", "--period", "60"]).assert_success();
    assert!(
        warned.stderr.contains("Microsoft Authenticator") && warned.stderr.contains("8 digits, 60 s"),
        "{warned:?}"
    );
    let six = Phone::from_shown(&warned.stdout).unwrap().code(&site);
    let refused = site.totpd_with(&["confirm", "alice"], &six);
    assert!(
        refused.code == 1 && refused.stderr.contains("codes of this enrollment have 8 digits"),
        "{refused:?}"
    );
    let refused = site.totpd_with(&["confirm", "alice", "--json"], &six);
    assert_eq!(refused.json()["expected_digits"], 8);
    let refused = site.totpd_with(&["confirm", "alice"], "00000000");
    assert!(!refused.stderr.contains("digits"), "{refused:?}");
}
