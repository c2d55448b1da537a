//! The responder of break-glass: one user, one code, an alert, and the socket is returned.

use nix::sys::signal::Signal;
use totpd_e2e::pamhost::{PamHost, code, login, result};
use totpd_e2e::run::wait_until;
use totpd_e2e::{BreakGlass, Site};

#[test]
fn without_a_daemon_one_user_gets_in_once_by_break_glass() {
    let site = Site::without_daemon();
    site.totp_service("x", "nodelay");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    assert_eq!(login(&site, "bob", &glass), code::AUTH_ERR);
    assert_eq!(login(&site, "alice", "123456"), code::AUTH_ERR);
    assert_eq!(login(&site, "alice", "AAAA-AAAA-AAAA-AAAA"), code::AUTH_ERR);
    let finished =
        PamHost::new(&site, "x", "alice").run(&["authenticate"], &format!("{}\n", glass.to_lowercase()));
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
    assert!(finished.stdout.contains("error: Break-glass: this login is recorded"), "{finished:?}");
    assert_eq!(responder.finish().code, 0);
    assert!(!site.path("run/login.sock").exists(), "there was no socket before");
    assert_eq!(login(&site, "alice", &glass), code::AUTHINFO_UNAVAIL);
    // An alert (auth.alert is 4 * 8 + 1), and a record that stays.
    assert!(
        site.syslog()
            .iter()
            .any(|l| l.starts_with("<33>") && l.contains("breakglass") && l.contains("granted"))
    );
    let marks = site.read("etc/totpd/breakglass.log");
    let outcomes: Vec<&str> =
        ["started", "granted", "ended"].into_iter().filter(|o| marks.contains(o)).collect();
    assert_eq!(outcomes.len(), 3, "{marks}");
    assert!(!marks.contains(&glass) && !site.syslog().join("").contains(&glass));
}

#[test]
fn break_glass_returns_the_socket_and_is_announced_at_login() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    assert_eq!(
        login(&site, "bob", &bob.code(&site)),
        code::AUTH_ERR,
        "nobody else, not with a right code either"
    );
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    // The daemon, which saw none of it, serves again; bob's code was not used up.
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
    let finished =
        PamHost::new(&site, "x", "alice").run(&["authenticate"], &format!("{}\n", alice.code(&site)));
    assert!(finished.stdout.contains("error: Break-glass let somebody in as alice on "), "{finished:?}");
    assert!(site.totpd(&["status"]).assert_success().stdout.contains("break-glass was used on this host"));
}

#[test]
fn break_glass_ends_by_a_signal_and_runs_only_once() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let bob = site.enroll("bob");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "1h");
    let second = site.totpd(&["breakglass", "bob"]);
    assert!(second.code == 1 && second.stderr.contains("open already"), "{second:?}");
    responder.signal(Signal::SIGTERM);
    assert_eq!(responder.finish().code, 0);
    assert_eq!(login(&site, "alice", &glass), code::AUTH_ERR);
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_responder_whose_socket_was_replaced_reports_it_and_ends() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let bob = site.enroll("bob");
    let BreakGlass { responder, .. } = BreakGlass::open(&site, "1h");
    assert!(site.totpd(&["status"]).assert_success().stdout.contains("break-glass is open"));
    // A restart of the socket unit does the same.
    site.end(Signal::SIGTERM);
    for socket in ["run/login.sock", "run/root.sock"] {
        std::fs::remove_file(site.path(socket)).unwrap();
    }
    site.start();
    let ended = responder.finish();
    assert!(ended.code == 1 && ended.stderr.contains("the code no longer works"), "{ended:?}");
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn the_daemon_recovers_the_socket_of_a_killed_responder() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let bob = site.enroll("bob");
    let BreakGlass { responder, .. } = BreakGlass::open(&site, "1h");
    drop(responder);
    assert_eq!(login(&site, "bob", "123456"), code::SYSTEM_ERR);
    wait_until("the daemon has recovered the socket", || site.log().contains("is given back"));
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn only_root_opens_break_glass_for_root_programs_only() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let refused = site.totpd_as("alice", &["breakglass", "alice"], "");
    assert!(refused.code == 1 && refused.stderr.contains("only root"), "{refused:?}");
    let slip = site.totpd(&["breakglass", "alcie"]);
    assert!(slip.code == 1 && slip.stderr.contains("--directory-user"), "{slip:?}");
    for bad in ["10s", "25h", "soon"] {
        assert_eq!(site.totpd(&["breakglass", "alice", "--for", bad]).code, 2, "{bad}");
    }
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    let own = PamHost::new(&site, "x", "alice").run_as("alice");
    assert_ne!(own.answer(&glass), code::SUCCESS);
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
}
