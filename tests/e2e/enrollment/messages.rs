//! What an enrollment inside a login shows, for the longest names and issuers.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code, result};

#[test]
fn an_enrollment_at_login_works_for_the_longest_name() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let user = "ж".repeat(120);
    site.append("etc/passwd", &format!("{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", &user).option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{finished:?}");
    assert!(finished.stdout.contains("Or type this key"), "{finished:?}");
}

#[test]
fn the_enrollment_link_is_never_truncated() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\ndigits = 8\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", "bob").option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    let link = finished.stdout.lines().find(|line| line.contains("otpauth://")).unwrap().to_owned();
    assert!(link.ends_with("&digits=8"), "{link}");
}

#[test]
fn a_link_too_long_for_pam_is_left_out_and_the_key_is_shown() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let user = "firstname.lastname@department.corp.example";
    site.append("etc/passwd", &format!("{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\ndigits = 8\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", user).option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(!finished.stdout.contains("otpauth://"), "{finished:?}");
    assert!(finished.stdout.contains("Or type this key"), "{finished:?}");
}

#[test]
fn the_longest_issuer_enrolls_user_names_of_any_length() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let passwd = site.read("etc/passwd");
    let mut codes = Vec::new();
    for (length, letter) in [(60, "a"), (120, "a"), (180, "a"), (255, "a"), (30, "ж"), (60, "ж"), (90, "ж")]
    {
        let user = letter.repeat(length);
        site.write("etc/passwd", &format!("{passwd}{user}:x:5099:5099::/home/alice:/bin/sh\n"));
        let host = PamHost::new(&site, "x", &user).option(SSH_KEY);
        codes.push((length, letter, host.authenticate("000000\n000000\n000000\n")));
    }
    assert!(codes.iter().all(|(.., c)| *c == code::AUTH_ERR), "{codes:?}");
}
