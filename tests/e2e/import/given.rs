//! `totpd enroll USER --secret -`.

use super::{KEY, accepts, phone, reason, wait_out};
use totpd_e2e::Site;

/// The key in hex, as vendors of hardware tokens print it.
const HEX: &str = "31:32:33:34:35:36:37:38:39:30:31:32:33:34:35:36:37:38:39:30";

#[test]
fn a_given_secret_waits_for_a_code_that_was_not_used_elsewhere() {
    let site = Site::new();
    let given = site.totpd_with(&["enroll", "alice", "--secret", "-", "--json"], HEX).assert_success();
    let document = given.json();
    assert_eq!((&document["given"], &document["user"]), (&"hex".into(), &"alice".into()));
    assert!(!format!("{given:?}").contains(KEY), "the secret is not shown again");
    assert_eq!(document["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(site.status("alice")["state"], "pending");
    // The present code may have been used at another verifier a moment ago.
    assert!(!accepts(&site, "alice", &phone().code(&site)));
    assert_eq!(reason(&site, "alice"), "replayed");
    let refused = site.totpd_with(&["confirm", "alice"], &phone().code(&site));
    let why = "it may have been used already, here or elsewhere: wait for the next one";
    assert!(refused.code == 1 && refused.stderr.contains(why), "{refused:?}");
    assert_eq!(site.status("alice")["state"], "pending");
    wait_out(&site);
    site.totpd_with(&["confirm", "alice"], &phone().code(&site)).assert_success();
    assert_eq!(site.status("alice")["state"], "active");
    assert!(!accepts(&site, "alice", &phone().code(&site)));
    site.next_step();
    assert!(accepts(&site, "alice", &phone().code(&site)));
    let history = site.totpd(&["history", "alice", "--json"]).json();
    let events = history["events"].as_array().unwrap();
    let given = events.iter().find(|event| event["event"] == "enroll").unwrap();
    assert_eq!(given["given"], true);
    let record = site.log();
    assert!(!record.contains(KEY) && !record.contains("3132333435"));
}

#[test]
fn an_otpauth_link_brings_its_parameters_along() {
    let site = Site::new();
    let link = format!("otpauth://totp/Old:bob?secret={KEY}&digits=8&period=60&algorithm=SHA256\n");
    let contradicts = site.totpd_with(&["enroll", "bob", "--secret", "-", "--digits", "6"], &link);
    assert!(contradicts.code == 2 && contradicts.stderr.contains("--digits contradicts"), "{contradicts:?}");
    let enrolled = site.totpd_with(&["enroll", "bob", "--secret", "-"], &link).assert_success();
    assert!(enrolled.stdout.contains("an otpauth link"), "{enrolled:?}");
    site.advance(180);
    let mut oathtool = std::process::Command::new("oathtool");
    oathtool.args(["--totp=sha256", "-b", "-d", "8", "-s", "60", "-N", &format!("@{}", site.now()), KEY]);
    let code = totpd_e2e::run::run(oathtool, "").assert_success().stdout;
    site.totpd_with(&["confirm", "bob"], &code).assert_success();
}

#[test]
fn a_bad_given_secret_is_refused_and_never_quoted() {
    let site = Site::new();
    let cases = [
        ("GEZDGNBVGY3TQOJ0GEZDGNBVGY3TQOJQ", "it looks like base32, and character 16"),
        ("2345672345672345", "base32: or hex:"),
        ("GEZDGNBVGY3TQOJQ", "80 bits"),
        ("otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQ&counter=1", "counter-based"),
        ("", "there is no secret"),
    ];
    for (secret, why) in cases {
        let refused = site.totpd_with(&["enroll", "alice", "--secret", "-"], secret);
        assert!(refused.code == 2 && refused.stderr.contains(why), "{secret}: {refused:?}");
        assert!(!refused.stderr.contains("GEZD") && refused.stdout.is_empty(), "{refused:?}");
    }
    let visible = site.totpd(&["enroll", "alice", "--secret", KEY]);
    assert!(visible.code == 2 && visible.stderr.contains("visible to every user"), "{visible:?}");
    assert!(!visible.stderr.contains(KEY));
    let mine = site.totpd_as("alice", &["enroll", "alice", "--secret", "-"], KEY);
    assert!(mine.code == 2 && mine.stderr.contains("only administrators"), "{mine:?}");
    assert_eq!(site.status("alice")["state"], "none");
    let short = ["enroll", "alice", "--secret", "-", "--allow-short"];
    site.totpd_with(&short, "GEZDGNBVGY3TQOJQ").assert_success();
    assert_eq!(site.status("alice")["state"], "pending");
}
