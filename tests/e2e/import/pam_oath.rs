//! `totpd import pam-oath`, on a usersfile that the real module writes.

use super::{accepts, phone, reason, wait_out};
use std::os::unix::fs::PermissionsExt;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};

const HEX: &str = "3132333435363738393031323334353637383930";

/// Writes a usersfile of root's, and a service that asks by it.
fn usersfile(site: &Site, lines: &str) -> String {
    let path = site.path("users.oath");
    std::fs::write(&path, lines).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = path.display().to_string();
    let module = "pam_oath.so";
    site.service("old", &format!("auth required {module} usersfile={path} window=20\n"));
    path
}

#[test]
fn a_factor_of_the_real_module_goes_on_working_here() {
    let site = Site::new();
    let path = usersfile(&site, &format!("# tokens\nHOTP/T30/6 alice - {HEX}\n"));
    // A phone that is five minutes ahead, which window=20 accepts.
    let ahead = site.now() + 300;
    let used = phone().code_at(ahead);
    assert_eq!(PamHost::new(&site, "old", "alice").answer(&used), code::SUCCESS);
    assert!(site.read("users.oath").contains(&used), "the module has recorded it");
    let report = site.totpd(&["import", "pam-oath", &path, "--json"]).assert_success().json();
    assert_eq!((&report["imported"], &report["entries"][0]["line"]), (&1.into(), &2.into()));
    assert_eq!(site.status("alice")["state"], "active");
    site.advance(ahead - site.now());
    assert!(!accepts(&site, "alice", &used));
    assert_eq!(reason(&site, "alice"), "replayed");
    site.next_step();
    assert!(accepts(&site, "alice", &phone().code(&site)));
}

#[test]
fn each_line_is_imported_or_refused_with_its_reason() {
    let site = Site::new();
    let lines = format!(
        "HOTP/T30 alice - {HEX}\nHOTP/T30 alice - {HEX}\nHOTP/E/6 bob - {HEX} 7\nHOTP/T30 eve 1234 {HEX}\n\
         HOTP/T30 no-such-user - {HEX}\nHOTP/T60/8 u1 + {HEX}\nHOTP/T30 {HEX}\n"
    );
    let finished = site.totpd_with(&["import", "pam-oath", "-"], &lines);
    assert_eq!(finished.code, 1, "{finished:?}");
    for words in [
        "alice: imported from line 1 of standard input",
        "alice: refused line 2 of standard input: it is a further factor",
        "bob: refused line 3",
        "eve: refused line 4 of standard input: it has a PIN",
        "line 5 of standard input: refused: it names no user",
        "u1: imported from line 6 of standard input (SHA1, 8 digits, 60 s)",
        "line 7 of standard input: refused",
        "2 imported, 0 skipped, 5 refused",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {finished:?}");
    }
    // A secret in the place of a name is not shown.
    assert!(!finished.stdout.contains(HEX) && !finished.stderr.contains(HEX));
    wait_out(&site);
    assert!(accepts(&site, "alice", &phone().code(&site)));
}
