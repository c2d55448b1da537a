//! A log that nobody reads: the pipe on stderr, the journal's socket, `/dev/log` (invariant 15).

use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};
use totp_wire::login::{Attempt, Verdict};
use totpd_e2e::fail2ban::addresses;
use totpd_e2e::peer::{begin, from_host, local, login, refusals};
use totpd_e2e::run::wait_until;
use totpd_e2e::{BreakGlass, Running, Site};

/// Refusals of one flood.
const FLOOD: usize = 2_000;
/// Far more than a flood takes, which is 2 s.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns an attempt of one of eight strangers, none of whom exceeds the connections of an
/// address.
fn stranger(number: usize) -> Attempt {
    from_host(&format!("u{}", number % 6 + 1), &format!("203.0.113.{}", 100 + number % 8))
}

/// Starts a daemon whose stderr is a pipe that nobody reads.
fn with_unread_pipe(site: &Site) -> File {
    let path = site.path("log.pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let daemon = site.totpd_command();
    let mut command = Command::new("sh");
    command.args(["-c", r#"pipe=$1; shift; exec "$@" 2> "$pipe""#, "sh"]).arg(&path);
    command.arg(daemon.get_program()).args(daemon.get_args()).arg("serve");
    for (name, value) in daemon.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    site.start_as(command);
    reader
}

/// Binds the journal's socket in the site's namespace, and does not read it.
#[track_caller]
fn unread_journal(site: &Site) -> Running {
    let script = r"
import os, socket, sys
os.makedirs('/run/systemd/journal')
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind('/run/systemd/journal/socket')
print('ready', flush=True)
sys.stdin.read()
";
    let mut command = site.command("python3");
    command.args(["-c", script]);
    let mut journal = Running::start(command);
    assert_eq!(journal.read_line(), "ready\n");
    journal
}

/// Starts a daemon whose environment says that its stderr is the journal's.
fn with_journal(site: &Site) {
    let log = File::options().create(true).append(true).open(site.path("daemon.log")).unwrap();
    let log = log.metadata().unwrap();
    let mut command = site.totpd_command();
    command.arg("serve").env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
    site.start_as(command);
}

/// Returns the last row about dropped log lines.
#[track_caller]
fn dropped(site: &Site) -> Option<serde_json::Value> {
    let history = site.totpd(&["history", "-n", "20000", "--json"]).assert_success().json();
    let rows = history["events"].as_array().unwrap();
    rows.iter().find(|row| row["event"] == "log-dropped").map(|row| row["dropped"].clone())
}

/// Asserts that logins work during a flood and after it, and that the dropped lines are counted.
#[track_caller]
fn assert_logins_work(site: &Site) {
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| refusals(site, FLOOD, stranger, "000000"));
        assert_eq!(login(site, "alice", &alice.code(site)), Ok(Verdict::Granted));
        flood.join().unwrap();
    });
    let took = started.elapsed();
    assert!(took < FLOOD_TIMEOUT, "{took:?}");
    assert_eq!(login(site, "bob", &bob.code(site)), Ok(Verdict::Granted));
    wait_until("a row says what was dropped", || dropped(site).is_some());
    let lines = dropped(site).unwrap();
    assert!(lines["sources"].as_u64().is_some_and(|n| n > 100) && lines.get("grants").is_none(), "{lines}");
    let status = site.totpd(&["status", "--json"]).assert_success().json();
    assert!(status["log_lines_dropped"].as_u64().is_some_and(|n| n > 100), "{status}");
    let stopped = Instant::now();
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(8), "{:?}", stopped.elapsed());
}

#[test]
fn logins_work_while_nobody_reads_the_stderr_pipe() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let _pipe = with_unread_pipe(&site);
    assert_logins_work(&site);
}

#[test]
fn logins_work_while_nobody_reads_the_journal_socket() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let _journal = unread_journal(&site);
    with_journal(&site);
    assert_logins_work(&site);
    assert_eq!(site.log(), "", "the log went to the journal");
}

#[test]
fn dropped_log_lines_are_counted_in_a_row_after_the_stop() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let _pipe = with_unread_pipe(&site);
    refusals(&site, 1_600, stranger, "000000");
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
    site.start();
    let lines = dropped(&site).unwrap();
    assert!(lines["sources"].as_u64().is_some_and(|n| n > 100), "{lines}");
}

#[test]
fn a_local_flood_does_not_hide_guesses_of_strangers() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let mut pipe = with_unread_pipe(&site);
    site.enroll("alice");
    let su = || {
        let attempt = Attempt { service: Some("su".into()), real_uid: Some(7102), ..local("alice") };
        // After some attempts the daemon is busy, but only for this caller.
        begin(&site, attempt).and_then(|waiting| waiting.answer("000000"))
    };
    let local = |number: usize| {
        let service = Some(format!("xrdp-{}", number % 4));
        Attempt { service, ruser: None, real_uid: Some(0), ..local("alice") }
    };
    let denied = (0..200).filter(|_| su() == Ok(Verdict::Denied)).count();
    assert!(denied >= 50, "{denied}");
    refusals(&site, FLOOD, local, "000000");
    // Eight strangers flood as well; another one guesses as often as the jail counts.
    refusals(&site, FLOOD, stranger, "000000");
    for _ in 0..5 {
        begin(&site, from_host("alice", "203.0.113.7")).unwrap().answer("000000").unwrap();
    }
    refusals(&site, 200, local, "000000");
    // Now the log is read to its end.
    let lines = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut chunk = [0; 8_192];
        while !String::from_utf8_lossy(&text).contains("totpd: stopping") {
            let count = pipe.read(&mut chunk).unwrap();
            text.extend_from_slice(&chunk[..count]);
        }
        text
    });
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
    std::fs::write(site.path("lines"), lines.join().unwrap()).unwrap();
    let found = addresses(&site.path("lines").display().to_string());
    let of = |address: &str| found.iter().filter(|found| *found == address).count();
    assert_eq!(of("203.0.113.7"), 5, "{found:?}");
    for address in 100..108 {
        assert!(of(&format!("203.0.113.{address}")) >= 5, "{found:?}");
    }
}

#[test]
fn break_glass_works_while_nobody_reads_dev_log() {
    let site = Site::new();
    std::fs::remove_file(site.path("log/sock")).unwrap();
    let _unread = UnixDatagram::bind(site.path("log/sock")).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", site.path("log/sock")).is_ok() {}
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    for _ in 0..100 {
        let refused = begin(&site, local("bob")).unwrap().answer("000000");
        assert_eq!(refused, Ok(Verdict::Denied));
    }
    let started = Instant::now();
    assert_eq!(begin(&site, local("alice")).unwrap().answer(&glass), Ok(Verdict::Granted));
    assert_eq!(responder.finish().code, 0);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let marks = site.read("etc/totpd/breakglass.log");
    assert!(marks.contains("granted") && marks.contains("ended"), "{marks}");
}
