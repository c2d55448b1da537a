//! What `totpd list`, `history`, `report` and `status` print on a terminal, in a pipe, and for
//! programs.

use rexpect::session::spawn_command;
use totpd_e2e::Site;
use totpd_e2e::peer::{from_host, local, refusals};
use totpd_e2e::run::{Finished, run};

/// What a command prints on a terminal of this width, by lines.
fn on_terminal(site: &Site, columns: u16, environment: &[(&str, &str)], words: &str) -> Vec<String> {
    let mut shell = site.command("sh");
    let (totpd, config) = (totpd_e2e::paths::totpd(), site.path("etc/totpd/totpd.toml"));
    shell.arg("-c").arg(format!(
        "stty cols {columns} rows 24 -echo; exec {} --config {} {words}",
        totpd.display(),
        config.display()
    ));
    for name in ["NO_COLOR", "COLORTERM"] {
        shell.env_remove(name);
    }
    shell.envs([("TERM", "xterm-256color"), ("TZ", "Asia/Tokyo")]);
    shell.envs(environment.iter().copied());
    let mut terminal = spawn_command(shell, Some(20_000)).unwrap();
    terminal.exp_eof().unwrap().lines().map(str::to_owned).collect()
}

/// Runs a command with its output in a pipe.
fn in_pipe(site: &Site, words: &[&str]) -> Finished {
    let mut command = site.totpd_command();
    command.env("TZ", "Asia/Tokyo").args(words);
    run(command, "")
}

/// A line without colours.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| line + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// alice is locked, bob has a factor, u1 waits for a first code, and u2 has a ticket.
fn site() -> Site {
    let site = Site::new();
    site.enroll("alice");
    site.enroll("bob");
    site.totpd(&["enroll", "u1"]).assert_success();
    site.totpd(&["enroll", "u2", "--ticket"]).assert_success();
    refusals(&site, 10, |_| from_host("alice", "2001:db8:1234:5678:9abc:def0:1234:5678"), "000000");
    refusals(&site, 1, |_| local("bob"), "000000");
    site
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_name_is_cut() {
    let site = site();
    for words in ["list", "history", "report", "status alice", "status"] {
        for columns in [60, 80, 120] {
            let lines = on_terminal(&site, columns, &[], words);
            let shown: Vec<String> = lines.iter().map(|line| plain(line)).collect();
            for line in &shown {
                // A path or an address is one word, which is never cut.
                let longest_word =
                    line.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
                let limit = usize::from(columns).max(longest_word + 4);
                assert!(line.chars().count() <= limit, "{words} {columns}: {line}");
            }
            assert!(shown.iter().all(|line| !line.contains('…')), "{words}: {shown:#?}");
            let colours = lines.iter().any(|line| line.contains("\u{1b}["));
            assert_eq!(colours, ["list", "history", "report"].contains(&words), "{words}: {lines:#?}");
            let bare = on_terminal(&site, columns, &[("NO_COLOR", "1")], words);
            assert!(bare.iter().all(|line| !line.contains('\u{1b}')), "{words}: {bare:#?}");
        }
    }
}

#[test]
fn a_list_begins_with_users_who_cannot_log_in() {
    let site = site();
    let shown = in_pipe(&site, &["list"]).assert_success().stdout;
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["USER", "STATE", "RECOVERY", "LAST", "LOGIN", "DETAILS"]);
    let users: Vec<(&str, &str)> = lines[1..].iter().map(|line| (line[0], line[1])).collect();
    assert_eq!(users, [("alice", "LOCKED"), ("bob", "active"), ("u1", "pending"), ("u2", "none")], "{shown}");
    // A terminal shows the sums, too.
    let lines = on_terminal(&site, 80, &[], "list");
    assert_eq!(plain(lines.last().unwrap()), "4 users: 1 LOCKED, 1 pending, 1 none, 1 active", "{lines:#?}");
}

#[test]
fn in_a_pipe_each_row_is_one_line_without_colours() {
    let site = site();
    for (words, rows) in [(&["list"][..], 4), (&["history"], site.events().len())] {
        let shown = in_pipe(&site, words).assert_success().stdout;
        assert_eq!(shown.lines().count(), rows + 1, "{words:?}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{words:?}: {shown}");
    }
}

#[test]
fn people_read_local_time_and_programs_read_utc() {
    let site = site();
    let locked = site.status("alice")["locked_until"].as_str().unwrap().to_owned();
    let date = |zone: &str, format: &str| {
        site.run("env", &[&format!("TZ={zone}"), "date", "-d", &locked, format]).stdout.trim().to_owned()
    };
    let (tokyo, utc) = (date("Asia/Tokyo", "+%Y-%m-%d %H:%M JST"), date("UTC", "+%Y-%m-%d %H:%M UTC"));
    for words in [&["list"][..], &["status", "alice"]] {
        let shown = in_pipe(&site, words).assert_success().stdout;
        assert!(shown.contains(&tokyo), "{tokyo}: {shown}");
        let shown = in_pipe(&site, &[words, &["--utc"]].concat()).assert_success().stdout;
        assert!(shown.contains(&utc), "{utc}: {shown}");
    }
    let history = in_pipe(&site, &["history"]).assert_success().stdout;
    assert!(history.lines().skip(1).all(|line| line[20..].starts_with("JST  ")), "{history}");
    let history = in_pipe(&site, &["--utc", "history"]).assert_success().stdout;
    assert!(history.lines().skip(1).all(|line| line[20..].starts_with("UTC  ")), "{history}");
    let time = &in_pipe(&site, &["history", "--json"]).assert_success().json()["events"][0]["time"];
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    assert!(in_pipe(&site, &["status"]).assert_success().stdout.contains(" JST alice by "));
}

#[test]
fn an_empty_table_says_what_to_do_on_standard_error() {
    let site = Site::new();
    let list = site.totpd(&["list"]).assert_success();
    assert_eq!(list.stdout, "");
    assert_eq!(list.stderr, "No user is enrolled. `totpd enroll USER` makes the first.\n");
    let history = site.totpd(&["history", "alice", "--since", "1h"]).assert_success();
    assert_eq!(history.stdout, "");
    assert_eq!(history.stderr, "The history has no event of alice during this time.\n");
    assert_eq!(site.totpd(&["list", "--json"]).assert_success().stdout, "{\"users\":[]}\n");
    assert_eq!(site.totpd(&["list", "-q"]).assert_success().stderr, "");
}

#[test]
fn under_json_a_mistake_in_the_command_line_is_json() {
    let site = Site::new();
    for words in [
        &["--json", "frobnicate"][..],
        &["list", "--json", "--frobnicate"],
        &["history", "-n", "x", "--json"],
        &["unlock", "--json"],
        &["list", "--json", "-q"],
    ] {
        let refused = site.totpd(words);
        let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
        assert_eq!((refused.code, &error["error"]), (2, &"usage".into()), "{refused:?}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains("error:") && !message.contains('\n'), "{message}");
    }
    let text = site.totpd(&["frobnicate"]);
    assert!(text.code == 2 && text.stderr.contains("Usage:"), "{text:?}");
    assert_eq!(site.totpd(&["--json", "--help"]).code, 0);
}

#[test]
fn the_reports_keys_are_words_of_the_audit() {
    let site = site();
    let rows = site.totpd(&["report", "--json"]).assert_success().json()["rows"].clone();
    let outcomes = |user: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["user"] == user).unwrap();
        row["outcomes"][0].clone()
    };
    let bob = outcomes("bob");
    assert_eq!(
        (&bob["outcome"], &bob["reason"], &bob["count"]),
        (&"refused".into(), &"wrong".into(), &1.into()),
        "{bob}"
    );
}
