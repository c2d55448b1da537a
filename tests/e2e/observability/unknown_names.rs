//! A password typed at a prompt for a name is stored nowhere (invariant 17).

use nix::sys::signal::Signal;
use totp_wire::login::{Attempt, Verdict};
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::paths::script;
use totpd_e2e::peer::{begin, from_host, local};
use totpd_e2e::phone::Phone;
use totpd_e2e::shell::Shell;
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::{BreakGlass, Site};

/// A password. It could be a name as well: only a directory can tell that it is not.
const TYPED: &str = "Tr0ub4dor-and-3";

/// Returns everything that this project writes, as one text.
fn written(site: &Site) -> String {
    let mut all = site.log();
    for line in site.syslog().iter().filter(|line| line.contains("totp")) {
        all += line;
    }
    all += &site.totpd(&["history", "-n", "1000", "--json"]).stdout;
    all += &site.totpd(&["history"]).stdout;
    all += &site.totpd(&["report"]).stdout;
    for file in std::fs::read_dir(site.path("state")).unwrap() {
        all += &String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap());
    }
    all + &std::fs::read_to_string(site.path("etc/totpd/breakglass.log")).unwrap_or_default()
}

/// Returns the refusals of unknown names.
#[track_caller]
fn unknown(site: &Site) -> Vec<serde_json::Value> {
    let events = site.events().into_iter().filter(|event| event["unknown"] == true);
    events.inspect(|event| assert_eq!(event["user"], "", "{event}")).collect()
}

fn service(site: &Site, name: &str) {
    site.totp_service(name, "nodelay");
}

#[test]
fn a_password_typed_as_the_name_at_sshd_is_not_stored() {
    let site = Site::new();
    site.enroll("alice");
    let settings = "AuthenticationMethods keyboard-interactive:pam\n";
    let sshd = Sshd::start_with(&site, Setup { settings, ..Setup::default() });
    assert!(!sshd.lets_in(TYPED, &["123456"]));
    assert!(!sshd.lets_in("alice", &["no code"]));
    site.wait_for_syslog("refused user=alice id=");
    site.wait_for_syslog("refused id=");
    let event = unknown(&site).pop().unwrap();
    assert_eq!((&event["service"], &event["rhost"]), (&"sshd".into(), &"127.0.0.1".into()));
    assert!(event["reason"].is_string() && event["id"].is_string(), "{event}");
    assert!(!written(&site).contains(TYPED));
    // sshd itself logs the name.
    assert!(sshd.log().contains(TYPED));
}

#[test]
fn a_password_typed_as_the_name_at_login_is_not_stored() {
    let site = Site::new();
    service(&site, "login");
    let line = format!("{} login", script("console.py").display());
    let mut asked = 0;
    let ran = Shell::of(&site, "root").answer(&line, |_, prompt| {
        asked += 1;
        match (asked, prompt) {
            (1, "login: ") => Some(TYPED.to_owned()),
            (2, "Verification code: ") => Some("123456".to_owned()),
            _ => None,
        }
    });
    assert_eq!(ran.answered, 2, "{ran:?}");
    site.wait_for_syslog("refused id=");
    assert_eq!(unknown(&site).pop().unwrap()["service"], "login");
    assert!(!written(&site).contains(TYPED));
}

#[test]
fn a_password_typed_as_the_name_at_su_is_not_stored() {
    let site = Site::new();
    service(&site, "su");
    let ran = Shell::of(&site, "alice").run(&format!("su {TYPED}"), &[("code: ", "123456")]);
    assert_ne!(ran.status, Some(0), "{ran:?}");
    // A program that looks names up later than su does, and sets PAM_RUSER as polkit's helper does.
    let su = |ruser: &str| Attempt { service: Some("su".into()), ruser: Some(ruser.into()), ..local(TYPED) };
    for ruser in ["alice", TYPED] {
        assert_eq!(begin(&site, su(ruser)).unwrap().answer("123456"), Ok(Verdict::Denied));
    }
    let rusers: Vec<_> = unknown(&site).iter().rev().map(|event| event["ruser"].clone()).take(2).collect();
    assert_eq!(rusers, [serde_json::Value::Null, "alice".into()]);
    assert!(!written(&site).contains(TYPED));
}

#[test]
fn rules_monitoring_and_reports_store_no_unknown_name() {
    let rules = "[[login.rule]]\nname = \"watch\"\nservices = [\"watched\"]\naction = \"require\"\nmode = \"monitor\"\n\
                 [[login.rule]]\nservices = [\"closed\"]\naction = \"deny\"\n";
    let site = Site::with_rules(rules);
    for service in ["watched", "closed"] {
        let attempt = Attempt {
            service: Some(service.into()),
            first_factor: Some(true),
            ..from_host(TYPED, "192.0.2.1")
        };
        let waiting = begin(&site, attempt).unwrap();
        if waiting.step.verdict.is_none() {
            waiting.answer("123456").unwrap();
        }
    }
    let outcomes: Vec<_> = unknown(&site).iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["exempt", "refused"]);
    let report = site.totpd(&["report"]).assert_success().stdout;
    assert!(report.contains("(unknown)"), "{report}");
    assert!(!written(&site).contains(TYPED));
}

#[test]
fn break_glass_and_a_missing_daemon_store_no_unknown_name() {
    let site = Site::new();
    service(&site, "x");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    assert_eq!(PamHost::new(&site, "x", TYPED).answer("123456"), code::AUTH_ERR);
    assert_eq!(PamHost::new(&site, "x", "alice").answer(&glass), code::SUCCESS);
    responder.finish();
    site.wait_for_syslog("granted user=alice id=");
    let text = written(&site);
    site.end(Signal::SIGTERM);
    std::fs::remove_file(site.path("run/login.sock")).ok();
    assert_eq!(PamHost::new(&site, "x", TYPED).answer("123456"), code::AUTHINFO_UNAVAIL);
    site.wait_for_syslog("; refusing");
    let said = site.syslog().concat();
    assert!(!text.contains(TYPED) && !said.contains(TYPED), "{said}");
}

#[test]
fn while_a_directory_hangs_only_known_names_are_stored() {
    let site = Site::without_daemon();
    totpd_e2e::directory::install_hanging(&site);
    site.totpd(&["init"]).assert_success();
    totpd_e2e::directory::start(&site);
    begin(&site, from_host(TYPED, "192.0.2.1")).unwrap().answer("123456").unwrap_err();
    assert_eq!(unknown(&site).pop().unwrap()["reason"], "busy");
    begin(&site, from_host("alice", "192.0.2.1")).unwrap().answer("123456").unwrap();
    assert_eq!(site.last_login()["user"], "alice");
    assert!(!written(&site).contains(TYPED));
}

#[test]
fn a_deleted_user_is_still_named() {
    let site = Site::new();
    let phone: Phone = site.enroll("u8");
    assert_eq!(begin(&site, local("u8")).unwrap().answer(&phone.code(&site)), Ok(Verdict::Granted));
    site.replace("etc/passwd", "u8:x:", "gone:x:");
    let refused = || {
        begin(&site, local("u8")).unwrap().answer("123456").unwrap();
        let event = site.last_login();
        (event["user"].clone(), event["reason"].clone())
    };
    assert_eq!(refused(), ("u8".into(), "unknown-user".into()));
    // The record is deleted as well, as by `users.delete` of an application: the history has a
    // grant of the name.
    site.end(Signal::SIGTERM);
    site.sql("DELETE FROM account");
    site.start();
    assert_eq!(refused(), ("u8".into(), "not-enrolled".into()));
}
