//! The fail2ban filter, read by the real fail2ban-regex, on lines that a real daemon wrote.

use std::process::Command;
use totp_wire::login::Attempt;
use totpd_e2e::Site;
use totpd_e2e::fail2ban::{addresses, config, regex};
use totpd_e2e::peer::{begin, from_host, local};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::run;

/// Runs one login from `rhost` that answers `typed`.
fn attempt(site: &Site, user: &str, rhost: &str, typed: &str) {
    begin(site, from_host(user, rhost)).unwrap().answer(typed).unwrap();
}

/// Runs logins of every kind that has an address, each from another one. Those that count come from
/// 203.0.113.x or 2001:db8::/32. Returns how many count.
#[track_caller]
fn logins(site: &Site) -> usize {
    let phone = site.enroll("alice");
    attempt(site, "alice", "198.51.100.1", &phone.code(site)); // granted
    attempt(site, "alice", "198.51.100.2", &phone.code(site)); // replayed
    attempt(site, "alice", "attacker.example", &phone.wrong_code(site)); // a name
    begin(site, local("alice")).unwrap().answer(&phone.wrong_code(site)).unwrap(); // no address
    attempt(site, "alice", "203.0.113.1", ""); // empty
    attempt(site, "alice", "203.0.113.2", "my password"); // not-a-code
    attempt(site, "bob", "203.0.113.3", "123456"); // not-enrolled
    attempt(site, "no-such-user", "2001:db8:1::4", "123456");
    let pending =
        Phone::from(&site.totpd(&["enroll", "bob", "--expires", "9s", "--json"]).assert_success().json());
    site.advance(30);
    attempt(site, "bob", "203.0.113.5", &pending.code(site)); // expired
    for n in 0..9 {
        attempt(site, "alice", "203.0.113.6", &phone.wrong_code(site));
        assert_eq!(site.last_login()["reason"], "wrong", "{n}");
    }
    attempt(site, "alice", "2001:db8:1::7", &phone.code(site)); // locked, by the name's failure too
    assert_eq!(site.last_login()["reason"], "locked");
    // Names that were deleted, or belong to another user now.
    let (gone, changed) = (site.enroll("u7"), site.enroll("u8"));
    site.replace("etc/passwd", "u7:x:", "gone:x:");
    site.replace("etc/passwd", "u8:x:5018:", "u8:x:6018:");
    attempt(site, "u7", "203.0.113.8", &gone.code(site));
    attempt(site, "u8", "203.0.113.9", &changed.code(site));
    let seen = ["empty", "not-a-code", "not-enrolled", "wrong", "locked", "unknown-user", "uid-changed"];
    for reason in seen {
        assert!(site.events().iter().any(|e| e["reason"] == reason), "{reason}");
    }
    site.advance(-400 * 86_400);
    let clock = site.stage("u1");
    attempt(site, "u1", "198.51.100.3", &clock.code(site));
    assert_eq!(site.last_login()["reason"], "clock");
    17
}

#[test]
fn the_filter_matches_guesses_and_probing_only() {
    let site = Site::new();
    let expected = logins(&site);
    let log = site.path("daemon.log").display().to_string();
    let found = addresses(&log);
    assert_eq!(found.len(), expected, "{found:?}");
    assert!(found.iter().all(|a| a.starts_with("203.0.113.") || a.starts_with("2001:db8:1::")), "{found:?}");
    let unique: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(unique.len(), 9, "one address of each kind: {unique:?}");
    // The summary agrees: every other line is missed, and none fails.
    let lines = site.log().lines().count();
    let summary = format!("Lines: {lines} lines, 0 ignored, {expected} matched, {} missed", lines - expected);
    assert!(regex(&log, &[]).contains(&summary), "{summary}\n{}", regex(&log, &[]));
    // The times are those of the events in any time zone.
    let first = site.events().into_iter().find(|e| e["rhost"] == "203.0.113.1").unwrap();
    let date = run(date_of(first["time"].as_str().unwrap()), "").assert_success().stdout;
    assert!(regex(&log, &["-o", "row"]).contains(&format!("'203.0.113.1',\t{}", date.trim())));
}

fn date_of(time: &str) -> Command {
    let mut date = Command::new("date");
    date.args(["-d", time, "+%s"]);
    date
}

#[test]
fn the_filter_counts_each_reason_as_documented() {
    let site = Site::new();
    let phone = site.enroll("alice");
    attempt(&site, "alice", "203.0.113.1", &phone.wrong_code(&site));
    let real = site.log().lines().last().unwrap().to_owned();
    // Some of these never have an address, and others come from rules that this site does not have.
    let counted = [
        "wrong",
        "locked",
        "not-enrolled",
        "unknown-user",
        "no-first-factor",
        "not-shown",
        "expired",
        "denied",
        "uid-changed",
        "empty",
        "not-a-code",
        "host-junk",
    ];
    let not_counted = [
        "replayed",
        "clock",
        "busy",
        "hung-up",
        "too-late",
        "store-unavailable",
        "not-yours",
        "directory-stuck",
        "damaged",
        "no-randomness",
        "in-doubt",
        "wrong-not",
    ];
    for (reasons, matched) in [(&counted[..], counted.len()), (&not_counted[..], 0)] {
        let lines: String =
            reasons.iter().map(|r| real.replace("\"wrong\"", &format!("\"{r}\"")) + "\n").collect();
        site.write("lines", &lines);
        assert_eq!(addresses(&site.path("lines").display().to_string()).len(), matched, "{lines}");
    }
    for (from, to) in [("\"refused\"", "\"granted\""), ("\"login\"", "\"enroll\"")] {
        site.write("lines", &real.replace(from, to));
        assert_eq!(addresses(&site.path("lines").display().to_string()).len(), 0, "{to}");
    }
}

/// Returns texts that a stranger could type to have 192.0.2.66 banned.
fn forgeries() -> Vec<String> {
    let forged = r#"","outcome":"refused","reason":"wrong","rhost":"192.0.2.66"#;
    let whole = r#"{"event":"login","time":"2026-11-23T00:00:00Z","id":"x","user":"a","outcome":"refused","reason":"wrong","rhost":"192.0.2.66","peer_uid":0}"#;
    vec![
        forged.to_owned(),
        format!("a{forged}"),
        format!("{forged}\\"),
        format!("\\{forged}"),
        format!("\\\\{forged},\"tty\":\"\\"),
        format!("{forged}\",\"x\":\""),
        whole.to_owned(),
        format!("\n{whole}"),
        format!("\r{whole}\r"),
        format!("\u{85}{whole}"),
        format!("\u{2028}{whole}"),
        format!("\u{b}\u{c}\u{1c}{whole}"),
        format!("\nNov 23 00:00:00 host totpd[1]: {whole}"),
        "192.0.2.66".to_owned(),
        "é\\".repeat(40) + forged,
    ]
}

#[test]
fn no_typed_text_can_ban_another_address() {
    let site = Site::new();
    let mut count = 0;
    for text in forgeries() {
        let honest = from_host("bob", "203.0.113.1");
        let some = Some(text.clone());
        for attempt in [
            Attempt { user: text.clone(), ..honest.clone() },
            Attempt { service: some.clone(), ..honest.clone() },
            Attempt { ruser: some.clone(), ..honest.clone() },
            Attempt { tty: some.clone(), ..honest.clone() },
            Attempt { ssh_auth: some.clone().map(|method| vec![method]), ..honest.clone() },
        ] {
            begin(&site, attempt).unwrap().answer("123456").unwrap();
            count += 1;
        }
        // The owner of an address chooses its name, so no name counts, whatever it looks like.
        if text != "192.0.2.66" {
            begin(&site, from_host("bob", &text)).unwrap().answer("123456").unwrap();
        }
    }
    // Unknown names are left out; everything else reached the log.
    let names = forgeries().len();
    assert!(site.log().matches("192.0.2.66").count() > count - names, "the texts reached the log");
    assert_eq!(site.events().iter().filter(|event| event["unknown"] == true).count(), names);
    let found = addresses(&site.path("daemon.log").display().to_string());
    assert_eq!(found, vec!["203.0.113.1"; count]);

    // In a log that other programs write to, what they quote is not a line of totpd.
    let mut lines = String::new();
    for text in forgeries() {
        let text = text.replace(|c: char| c.is_control(), " ");
        for prefix in
            ["Nov 23 00:00:00 host sshd[7]: Invalid user ", "Nov 23 00:00:00 host su: ", "host CRON[1]: "]
        {
            lines += &format!("{prefix}{text}\n{prefix}totpd[1]: {text}\n{prefix}host totpd: {text}\n");
        }
    }
    site.write("lines", &lines);
    assert_eq!(addresses(&site.path("lines").display().to_string()), Vec::<String>::new());
}

#[test]
fn the_filter_reads_syslog_files_and_the_journal() {
    let site = Site::new();
    let phone = site.enroll("alice");
    attempt(&site, "alice", "203.0.113.1", &phone.wrong_code(&site));
    attempt(&site, "alice", "2001:db8:1::2", &phone.wrong_code(&site));
    attempt(&site, "alice", "fe80::3%eth0", &phone.wrong_code(&site));
    attempt(&site, "alice", "198.51.100.4", &phone.code(&site));
    let lines: Vec<String> = site.log().lines().map(str::to_owned).collect();
    let expected = ["203.0.113.1", "2001:db8:1::2", "fe80::3"];
    for prefix in
        ["Nov 23 00:00:00 host totpd[42]: ", "2026-11-23T00:00:00.123456+00:00 host totpd[42]: ", "totpd: "]
    {
        let file: String = lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
        site.write("lines", &file);
        assert_eq!(addresses(&site.path("lines").display().to_string()), expected, "{prefix}");
    }

    // A journal file, with the same lines of another unit: any user can run `logger -t totpd`.
    let mut export = String::new();
    for (number, line) in lines.iter().enumerate() {
        for unit in ["totpd.service", "user@5001.service"] {
            let now = (site.now() - 3600) * 1_000_000 + i64::try_from(number).unwrap();
            export += &format!(
                "__REALTIME_TIMESTAMP={now}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={0}\n_MACHINE_ID={0}\n\
                 _HOSTNAME=host\n_SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=totpd\n_PID=42\nMESSAGE={line}\n\n",
                "ab".repeat(16)
            );
        }
    }
    let journal = site.path("log/test.journal");
    let mut remote = Command::new("/usr/lib/systemd/systemd-journal-remote");
    remote.arg("-o").arg(&journal).arg("-");
    run(remote, &export).assert_success();
    let found = addresses(&format!("systemd-journal[journalfiles={}]", journal.display()));
    assert_eq!(found, expected);
}

#[test]
fn fail2ban_accepts_the_jail() {
    let site = Site::new();
    let folder = site.path("fail2ban");
    let mut copy = Command::new("cp");
    copy.args(["-r", "/etc/fail2ban"]).arg(&folder);
    run(copy, "").assert_success();
    // Only our jail: those of a distribution may need files that are not here.
    std::fs::remove_dir_all(folder.join("jail.d")).unwrap();
    std::fs::create_dir(folder.join("jail.d")).unwrap();
    for file in ["filter.d/totpd.conf", "jail.d/totpd.conf"] {
        std::fs::copy(config(file), folder.join(file)).unwrap();
    }
    let client = |option: &str| {
        let mut client = Command::new("fail2ban-client");
        client.arg("-c").arg(&folder).arg(option);
        run(client, "").assert_success().stdout
    };
    client("-t");
    let commands = client("-d");
    for wanted in [
        "['add', 'totpd', 'systemd']",
        "['set', 'totpd', 'addjournalmatch', '_SYSTEMD_UNIT=totpd.service', 'SYSLOG_IDENTIFIER=totpd']",
        "['set', 'totpd', 'maxretry', 5]",
        "['start', 'totpd']",
    ] {
        assert!(commands.contains(wanted), "{wanted}: {commands}");
    }
}
