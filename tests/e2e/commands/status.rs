//! `totpd status`, `list` and `explain`, and what they report while the daemon hangs.

use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::peer::{from_host, local, login, refusals};

#[test]
fn status_shows_who_is_enrolled_locked_and_refused() {
    let site = Site::new();
    site.enroll("alice");
    site.totpd(&["enroll", "bob"]).assert_success();
    site.totpd(&["enroll", "u1", "--ticket"]).assert_success();
    refusals(&site, 10, |_| local("alice"), "000000");
    let json = site.totpd(&["status", "--json"]).assert_success().json();
    let overview = &json["overview"];
    for (what, count) in [("enrolled", 1), ("pending", 1), ("locked", 1), ("tickets", 1)] {
        assert_eq!(overview[what], count, "{what}: {json}");
    }
    assert!(overview["refused"].as_u64().unwrap() >= 10 && overview["schema"] == 7, "{json}");
    assert_eq!(overview["locked_users"][0], "alice");
    assert_eq!(overview["refusals"].as_array().unwrap().len(), 3);
    assert_eq!((&json["configuration"]["in_use"], &json["state"]), (&"file".into(), &"serving".into()));
    let text = site.totpd(&["status"]).assert_success().stdout;
    for line in
        ["users: 1 enrolled, 1 pending, 1 open tickets", "locked: 1 (alice)", "refused in the last 24 h: 1"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    // Expired items are not counted.
    site.totpd(&["unlock", "alice"]).assert_success();
    site.totpd(&["revoke", "u1"]).assert_success();
    site.advance(2 * 24 * 3600);
    let overview = site.totpd(&["status", "--json"]).assert_success().json()["overview"].clone();
    for what in ["pending", "locked", "tickets", "refused"] {
        assert_eq!(overview[what], 0, "{what}: {overview}");
    }
    assert_eq!(overview["enrolled"], 1);
}

#[test]
fn status_says_within_two_seconds_that_the_daemon_hangs() {
    let site = Site::new();
    let pid = site.daemon_pid();
    site.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let status = site.totpd(&["status"]);
    let took = start.elapsed();
    let json = site.totpd(&["status", "--json"]);
    site.signal(Signal::SIGCONT);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(status.code, 3, "{status:?}");
    let said = format!("totpd (pid {pid}) hangs");
    assert!(
        status.stderr.contains(&said) && status.stderr.contains(&format!("kill -CONT {pid}")),
        "{status:?}"
    );
    assert_eq!((json.code, &json.json()["state"]), (3, &"hangs".into()));
    site.totpd(&["status"]).assert_success();
}

#[test]
fn status_and_list_report_changed_and_deleted_users() {
    let site = Site::new();
    for user in ["alice", "bob", "u1"] {
        site.enroll(user);
    }
    site.totpd(&["enroll", "u2", "--ticket"]).assert_success();
    // The name alice has another uid now, and bob was deleted.
    let passwd = site.read("etc/passwd");
    let lines = passwd.lines().filter(|line| !line.starts_with("bob:"));
    let changed: String = lines.map(|line| line.replace("alice:x:5001:", "alice:x:7001:") + "\n").collect();
    site.write("etc/passwd", &changed);
    let list = site.totpd(&["list"]).assert_success().stdout;
    let line =
        |user: &str| list.lines().find(|line| line.starts_with(user)).unwrap_or_else(|| panic!("{list}"));
    assert!(
        line("alice").contains("REFUSED")
            && line("alice").contains("enrolled as uid 5001, and the name now has uid 7001"),
        "{list}"
    );
    assert!(line("bob").contains("GONE") && line("bob").contains("no such user on this host"), "{list}");
    assert_eq!(line("u1").split_whitespace().collect::<Vec<_>>(), ["u1", "active", "10", "-"], "{list}");
    assert!(line("u2").contains("none ") && line("u2").contains("an open ticket until"), "{list}");
    let alice = site.totpd(&["status", "alice"]).assert_success().stdout;
    assert!(alice.contains("totpd revoke alice"), "{alice}");
    assert_eq!(site.status("bob")["host_user"], "gone");
    assert_eq!(
        (&site.status("alice")["host_user"], &site.status("alice")["uid_now"]),
        (&"changed".into(), &7001.into())
    );
}

#[test]
fn status_reports_locks_logins_and_a_refusing_clock() {
    let site = Site::new();
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(totp_wire::login::Verdict::Granted));
    assert!(site.status("alice")["last_login"].is_string());
    let from = |_| from_host("alice", "192.0.2.9");
    refusals(&site, 10, from, "000000");
    let status = site.totpd(&["status", "alice"]).assert_success().stdout;
    for words in
        ["LOCKED for all other sources (others)", "`totpd unlock alice` ends it", "last login that passed"]
    {
        assert!(status.contains(words), "{words}: {status}");
    }
    assert!(!status.contains("no login in the history"), "{status}");
    site.advance(-3600);
    for command in [&["status", "alice"][..], &["list"]] {
        let said = site.totpd(command).assert_success().stdout;
        assert!(said.contains("EVERY CODE IS REFUSED") && said.contains("totpd trust-clock"), "{said}");
    }
}

#[test]
fn users_read_when_their_own_lock_ends_in_local_time() {
    let site = Site::new();
    site.enroll("alice");
    refusals(&site, 10, |_| from_host("alice", "192.0.2.9"), "000000");
    let mut command = site.command_as("alice", "env");
    command.args(["TZ=Asia/Tokyo"]).arg(totpd_e2e::paths::totpd());
    command.arg("--config").arg(site.path("etc/totpd/totpd.toml")).arg("status");
    let status = totpd_e2e::run::run(command, "").assert_success().stdout;
    let until = site.status("alice")["locked_until"].as_str().unwrap().to_owned();
    let tokyo = site.run("env", &["TZ=Asia/Tokyo", "date", "-d", &until, "+%H:%M"]).stdout;
    for words in ["not logged in from lately, until ", tokyo.trim(), "minutes)", "totpd unlock alice"] {
        assert!(status.contains(words), "{words}: {status}");
    }
    assert!(!status.contains("(others)"), "{status}");
}

#[test]
fn explain_says_why_nothing_will_be_remembered() {
    let rule = |by: &str| {
        format!("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"{by}\"\n")
    };
    let site = Site::with_rules(&rule("ssh-key"));
    site.enroll("alice");
    let explain = |words: &[&str]| {
        let said = site.totpd(&[&["explain", "alice"], words].concat()).assert_success().stdout;
        (said.contains("would be remembered"), said.contains("nothing is remembered"), said)
    };
    let ssh = ["sshd", "--rhost", "192.0.2.1", "--ssh-auth"];
    let (remembered, hindered, said) = explain(&[&ssh[..], &["publickey"]].concat());
    assert!(remembered && !hindered, "{said}");
    let (remembered, hindered, said) = explain(&[&ssh[..], &["password"]].concat());
    assert!(!remembered && hindered && said.contains("by its key"), "{said}");
    let (remembered, hindered, said) = explain(&["sudo", "--first-factor"]);
    assert!(!remembered && hindered && said.contains("no address"), "{said}");
    let (_, hindered, said) = explain(&["sshd", "--rhost", "192.0.2.1"]);
    assert!(hindered && said.contains("first factor is proved"), "{said}");
    site.configure(&rule("session"));
    for (words, held) in [
        (&["sudo", "--first-factor"][..], true),
        (&["login", "--first-factor"], false),
        (&[&ssh[..], &["publickey"]].concat(), false),
    ] {
        let (remembered, hindered, said) = explain(words);
        assert_eq!((remembered, hindered), (held, !held), "{words:?}: {said}");
    }
}
