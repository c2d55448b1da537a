//! A typo in `totpd.toml` at the next start neither locks users out nor lets them in: the daemon
//! serves with the last good configuration, in which every exemption is off.

use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::run::{Finished, wait_until};
use totpd_e2e::{Activation, Phone, Site};

const RULES: &str = r#"
[[login.rule]]
users = ["bob"]
action = "exempt"

[[login.rule]]
users = ["u1"]
action = "require"
mode = "monitor"

[[login.rule]]
users = ["u2"]
action = "deny"

[[login.rule]]
users = ["u3"]
action = "enroll"

[[login.rule]]
users = ["u4"]
action = "require"
mode = "off"
"#;

/// Makes a site that served with these rules, enrolls alice, root and u2, and stops its daemon.
#[track_caller]
fn stopped() -> (Site, [Phone; 3]) {
    let site = Site::with_rules(RULES);
    // As in config/pam.d/sudo-rules: exempt users pass by the line after ours.
    let line = site.pam_line("first_factor=passed nodelay");
    site.service("x", &format!("auth required {line}\nauth required pam_permit.so\n"));
    let phones = ["alice", "root", "u2"].map(|user| site.enroll(user));
    for user in ["bob", "u1", "u4"] {
        assert_eq!(PamHost::new(&site, "x", user).authenticate(""), code::SUCCESS, "{user}");
    }
    site.end(Signal::SIGTERM);
    (site, phones)
}

fn break_file(site: &Site) {
    site.write("etc/totpd/totpd.toml", &format!("{}{RULES}[login\nprompt = \"x\"\n", site.config()));
}

fn fix_file(site: &Site) {
    site.write_config(RULES);
}

fn login(site: &Site, user: &str, answer: &str) -> Finished {
    PamHost::new(site, "x", user).run(&["authenticate"], &format!("{answer}\n"))
}

fn outcome(site: &Site, user: &str, answer: &str) -> i32 {
    result(&login(site, user, answer), "authenticate")
}

#[test]
fn a_typo_at_the_next_start_asks_everybody_and_locks_nobody_out() {
    let (site, [alice, root, u2]) = stopped();
    break_file(&site);
    site.start();

    let status = site.totpd(&["status"]).assert_success().stdout;
    let first = status.lines().next().unwrap();
    assert!(first.starts_with("THE LAST GOOD CONFIGURATION IS IN USE since 20"), "{status}");
    assert!(first.contains("totpd.toml:26:7: "), "the broken place: {status}");
    let json = site.totpd(&["status", "--json"]).assert_success().json();
    assert_eq!(json["configuration"]["in_use"], "last_good", "{json}");
    assert_eq!(json["state"], "serving");
    assert!(json["configuration"]["why"].as_str().unwrap().contains("totpd.toml:26:7: "), "{json}");
    wait_until("the log reports it", || site.log().contains("THE LAST GOOD CONFIGURATION IS IN USE"));

    // Users with a code get in.
    assert_eq!(outcome(&site, "alice", &alice.code(&site)), code::SUCCESS);
    // Users who were exempt, monitored or to be enrolled are asked, and refused without a factor.
    for user in ["bob", "u1", "u3", "u4"] {
        let login = login(&site, user, "123456");
        assert_eq!(result(&login, "authenticate"), code::AUTH_ERR, "{user}: {login:?}");
        assert!(login.stdout.contains("Verification code"), "{user} was not asked: {login:?}");
    }
    // A rule that denies still denies, with or without a code.
    assert_eq!(outcome(&site, "u2", &u2.code(&site)), code::AUTH_ERR);
    // Each login of root shows it, and no other login does.
    let shown = login(&site, "root", &root.code(&site));
    assert!(
        shown.stdout.contains("last good configuration since") && shown.stdout.contains(":26:7"),
        "{shown:?}"
    );
    site.next_step();
    assert!(!login(&site, "alice", &alice.code(&site)).stdout.contains("last good"));

    // Another mistake is reported, and the daemon goes on.
    site.write("etc/totpd/totpd.toml", "surprise = 1\n");
    site.write_config("surprise = 1\n");
    wait_until("the other mistake is reported", || {
        site.totpd(&["status"]).stdout.contains("unknown field `surprise`")
    });
    // The fixed file is used again without a reload.
    fix_file(&site);
    wait_until("the file is in use again", || {
        site.totpd(&["status", "--json"]).json()["configuration"]["in_use"] == "file"
    });
    assert_eq!(PamHost::new(&site, "x", "bob").authenticate(""), code::SUCCESS);
    assert!(!site.totpd(&["status"]).assert_success().stdout.contains("LAST GOOD"));
}

#[test]
fn an_untrusted_last_good_copy_is_not_used() {
    let (site, [alice, ..]) = stopped();
    let copy = site.path("state/last-good.toml");
    let content = std::fs::read_to_string(&copy).unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let other = Site::with_rules("");
    let foreign = std::fs::read_to_string(other.path("state/last-good.toml")).unwrap();
    drop(other);
    break_file(&site);
    for (put, bits, owner, why) in [
        (Some(content.replace("deny", "exempt")), 0o600, 0, "is damaged"),
        (Some(content[..content.len() / 2].to_owned()), 0o600, 0, "is damaged"),
        (Some(foreign), 0o600, 0, "belongs to another store"),
        (Some(content.clone()), 0o644, 0, "daemon's user alone"),
        (Some(content.clone()), 0o600, 5003, "cannot be used"),
        (None, 0, 0, "is missing"),
    ] {
        let _ = std::fs::remove_file(&copy);
        if let Some(put) = &put {
            std::fs::write(&copy, put).unwrap();
            mode(&copy, bits);
            nix::unistd::chown(&copy, Some(nix::unistd::Uid::from_raw(owner)), None).unwrap();
        }
        site.start();
        let status = site.totpd(&["status"]);
        assert_eq!(status.code, 1, "{why}: {status:?}");
        assert!(status.stderr.contains("refuses every login") && status.stderr.contains(why), "{status:?}");
        assert_eq!(outcome(&site, "alice", &alice.code(&site)), code::AUTHINFO_UNAVAIL, "{why}");
        for user in ["bob", "u1", "u4"] {
            assert_eq!(outcome(&site, user, ""), code::AUTHINFO_UNAVAIL, "{why}: {user}");
        }
        site.end(Signal::SIGTERM);
    }
    // A valid copy is not used when others can change the configuration file.
    std::fs::write(&copy, &content).unwrap();
    mode(&copy, 0o600);
    let file = site.path("etc/totpd/totpd.toml");
    mode(&file, 0o666);
    site.start();
    // Log lines go through a queue, and may arrive after the replies.
    wait_until("the log reports it", || site.log().contains("other users can change this file"));
    assert_eq!(outcome(&site, "alice", &alice.code(&site)), code::AUTHINFO_UNAVAIL);
    mode(&file, 0o644);
    site.wait_until_serving();
    assert_eq!(outcome(&site, "alice", &alice.code(&site)), code::SUCCESS);
}

#[test]
fn an_unwritable_last_good_copy_stops_no_login() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    // A folder in place of the copy.
    std::fs::create_dir_all(site.path("state/last-good.toml/x")).unwrap();
    site.start();
    let phone = site.enroll("alice");
    wait_until("the log reports it", || site.log().contains("cannot be stored as the last good one"));
    assert_eq!(
        totpd_e2e::peer::login(&site, "alice", &phone.code(&site)),
        Ok(totp_wire::login::Verdict::Granted)
    );
}

#[test]
fn a_broken_reload_changes_neither_rules_nor_copy() {
    let (site, _) = stopped();
    site.start();
    let before = std::fs::read(site.path("state/last-good.toml")).unwrap();
    break_file(&site);
    site.signal(Signal::SIGHUP);
    wait_until("the reload is refused", || site.log().contains("the old configuration stays in force"));
    // The rules of before are still in force, exemptions included.
    assert_eq!(PamHost::new(&site, "x", "bob").authenticate(""), code::SUCCESS);
    assert_eq!(std::fs::read(site.path("state/last-good.toml")).unwrap(), before);
    assert_eq!(site.totpd(&["status", "--json"]).assert_success().json()["configuration"]["in_use"], "file");
}

#[test]
fn changed_socket_paths_need_a_restart_of_the_daemon() {
    let (site, [alice, ..]) = stopped();
    break_file(&site);
    Activation::default().start(&site);
    assert!(site.totpd(&["status"]).assert_success().stdout.contains("LAST GOOD"));
    let api = site.path("run/http.sock");
    site.write(
        "etc/totpd/totpd.toml",
        &format!("{}{RULES}[http]\nlisten = \"{}\"\n", site.config(), api.display()),
    );
    site.wait_for_daemon_end();
    wait_until("the log reports it", || site.log().contains("names other places"));
    Activation::default().start(&site);
    wait_until("the API answers", || site.totpd(&["status"]).stdout.contains("the HTTP API answers on"));
    assert_eq!(outcome(&site, "alice", &alice.code(&site)), code::SUCCESS);
}

#[test]
fn of_many_reloads_the_last_configuration_is_kept() {
    let (site, _) = stopped();
    site.start();
    for number in 0..5 {
        site.configure(&format!("[login]\nprompt = \"Code {number}: \"\n"));
    }
    wait_until("the last configuration is stored", || {
        let kept = std::fs::read_to_string(site.path("state/last-good.toml")).unwrap_or_default();
        kept.contains("\"Code 4: \"")
    });
}
