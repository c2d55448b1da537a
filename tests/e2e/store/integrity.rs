//! A store with a missing, empty or foreign file is refused and reported, and served once the file
//! is restored.

use nix::sys::signal::Signal;
use totp_wire::login::Verdict;
use totpd_e2e::paths::totpd;
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Activation, Site};

/// Asserts that a started daemon refuses and reports these words, and that nothing was created.
#[track_caller]
fn assert_refuses(site: &Site, what: &str, words: &[&str]) {
    site.start();
    let status = site.totpd(&["status"]);
    assert_eq!(status.code, 1, "{what}: {status:?}");
    for word in words {
        assert!(status.stderr.contains(word), "{what}: {status:?}");
    }
    assert!(login(site, "alice", "123456").is_err(), "{what}");
    assert_eq!(site.totpd(&["enroll", "alice"]).code, 1, "{what}");
}

#[test]
fn missing_or_foreign_files_refuse_until_they_are_restored() {
    let site = Site::new();
    let phone = site.enroll("alice");
    site.end(Signal::SIGTERM);
    let (state, key, id) =
        (site.path("state"), site.path("etc/totpd/totpd.key"), site.path("etc/totpd/store.id"));
    let away = site.path("away");

    // The state folder is not mounted: first it is empty, then it does not exist.
    std::fs::rename(&state, &away).unwrap();
    std::fs::create_dir(&state).unwrap();
    assert_refuses(&site, "empty state folder", &["holds no store", "mounted?"]);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "something was created");
    std::fs::remove_dir(&state).unwrap();
    // Restored while the daemon refuses, it is served after a reload.
    std::fs::rename(&away, &state).unwrap();
    site.signal(Signal::SIGHUP);
    site.wait_until_serving();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    site.end(Signal::SIGTERM);

    for (what, file, words) in [
        ("no database", state.join("totpd.db"), ["holds no store", "totpd init"]),
        ("no key", key.clone(), ["is missing", "backup"]),
        ("no id", id.clone(), ["is missing", "records which store"]),
    ] {
        std::fs::rename(&file, &away).unwrap();
        assert_refuses(&site, what, &words);
        site.end(Signal::SIGTERM);
        std::fs::rename(&away, &file).unwrap();
    }

    for (what, content, words) in [
        ("an empty database", Vec::new(), ["is empty", "backup"]),
        ("a damaged database", b"not a database at all".repeat(300), ["is damaged", "left as it is"]),
    ] {
        let file = state.join("totpd.db");
        std::fs::rename(&file, &away).unwrap();
        std::fs::write(&file, &content).unwrap();
        assert_refuses(&site, what, &words);
        site.end(Signal::SIGTERM);
        assert_eq!(std::fs::read(&file).unwrap(), content, "{what}: it was overwritten");
        std::fs::rename(&away, &file).unwrap();
    }

    let right = std::fs::read_to_string(&id).unwrap();
    std::fs::write(&id, "another\n").unwrap();
    assert_refuses(&site, "another id", &["names store another", "belongs to store"]);
    site.end(Signal::SIGTERM);
    std::fs::write(&id, right).unwrap();

    // None of this changed the store.
    site.start();
    site.next_step();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}

#[test]
fn a_store_without_its_write_ahead_log_is_refused() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let code = phone.code(&site);
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
    site.end(Signal::SIGKILL);
    let (log, away) = (site.path("state/totpd.db-wal"), site.path("away"));
    std::fs::rename(&log, &away).unwrap();
    for _ in 0..2 {
        assert_refuses(&site, "no log", &["its log", "is missing", "used codes"]);
        site.end(Signal::SIGKILL);
    }
    std::fs::rename(&away, &log).unwrap();
    let _ = std::fs::remove_file(site.path("state/totpd.db-shm"));
    site.start();
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Denied), "a used code was fresh again");
    // After a clean stop the database is complete without its log.
    site.end(Signal::SIGTERM);
    std::fs::remove_file(&log).unwrap();
    let _ = std::fs::remove_file(site.path("state/totpd.db-shm"));
    site.start();
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Denied));
}

#[test]
fn a_damaged_record_refuses_only_its_user_and_can_be_revoked() {
    let site = Site::new();
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    site.end(Signal::SIGTERM);
    site.sql("UPDATE account SET record = '{}' WHERE name = 'alice'");
    site.start();
    assert_eq!(login(&site, "alice", &alice.code(&site)), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "damaged");
    assert_eq!(login(&site, "bob", &bob.code(&site)), Ok(Verdict::Granted));
    assert!(site.totpd(&["list"]).assert_success().stdout.contains("bob"));
    let refused = site.totpd(&["enroll", "alice"]);
    assert!(refused.stderr.contains("totpd revoke alice"), "{refused:?}");
    site.totpd(&["revoke", "alice"]).assert_success();
    let fresh = site.enroll("alice");
    assert_eq!(login(&site, "alice", &fresh.code(&site)), Ok(Verdict::Granted));
}

#[test]
fn a_store_locked_by_another_process_is_busy_not_failed() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); \
                  db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(); db.execute('ROLLBACK')";
    let mut hold = site.command("/usr/bin/python3");
    hold.args(["-c", script]).arg(site.path("state/totpd.db"));
    let mut hold = totpd_e2e::Running::start(hold);
    hold.read_line();
    let busy = login(&site, "alice", &phone.code(&site));
    assert!(
        matches!(&busy, Err(totp_wire::CallError::Error { name, .. }) if name == totp_wire::login::TIMED_OUT),
        "{busy:?}"
    );
    hold.finish().assert_success();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}

#[test]
fn a_store_of_another_host_is_refused() {
    let (here, there) = (Site::new(), Site::new());
    here.enroll("alice");
    here.end(Signal::SIGTERM);
    there.end(Signal::SIGTERM);
    std::fs::remove_dir_all(here.path("state")).unwrap();
    std::fs::rename(there.path("state"), here.path("state")).unwrap();
    assert_refuses(&here, "another host's store", &["but the key belongs to store"]);
}

#[test]
fn init_makes_folders_that_the_daemons_user_can_enter() {
    let site = Site::without_daemon();
    let config = site.path("new/etc/totpd.toml").display().to_string();
    let mut init = site.command(totpd());
    init.args(["--config", &config, "init", "--owner", "nobody"]);
    let state = site.path("new/var/a/totpd");
    std::fs::create_dir_all(site.path("new/etc")).unwrap();
    site.write("new/etc/totpd.toml", &format!("state_dir = \"{}\"\n", state.display()));
    assert!(init.status().unwrap().success());
    let mode = |path: &str| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(site.path(path)).unwrap()) & 0o777
    };
    assert_eq!((mode("new/var"), mode("new/var/a"), mode("new/var/a/totpd")), (0o755, 0o755, 0o700));
}

#[test]
fn init_never_overwrites_anything() {
    let site = Site::new();
    let again = site.totpd(&["init"]);
    assert_eq!(again.code, 1);
    assert!(
        again.stderr.contains("exists already") && again.stderr.contains("never overwrites"),
        "{again:?}"
    );
    assert_eq!(site.totpd(&["status"]).code, 0);
    let mode = |path: &str| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(site.path(path)).unwrap()) & 0o777
    };
    assert_eq!((mode("state"), mode("state/totpd.db"), mode("etc/totpd/totpd.key")), (0o700, 0o600, 0o400));
}

#[test]
fn a_moved_store_is_written_no_more_and_loses_nothing() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let (state, away, log) = (site.path("state"), site.path("away"), site.path("state/totpd.db-wal"));
    // The whole folder with a copy in its place, or the log alone.
    for log_alone in [false, true] {
        let code = phone.code(&site);
        assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
        if log_alone {
            std::fs::rename(&log, &away).unwrap();
        } else {
            std::fs::rename(&state, &away).unwrap();
            let copied = std::process::Command::new("cp").arg("-a").args([&away, &state]).status();
            assert!(copied.unwrap().success());
        }
        wait_until("the daemon notices", || site.totpd(&["status"]).code == 1);
        assert!(site.totpd(&["status"]).stderr.contains("was moved away or replaced"), "log: {log_alone}");
        assert!(login(&site, "alice", &phone.recovery_codes[0]).is_err());
        assert_eq!(site.end(Signal::SIGTERM), Some(0));
        // The moved store is complete, with or without its log.
        if log_alone {
            std::fs::remove_file(&away).unwrap();
        } else {
            std::fs::remove_dir_all(&state).unwrap();
            let _ = std::fs::remove_file(away.join("totpd.db-wal"));
            std::fs::rename(&away, &state).unwrap();
        }
        let _ = std::fs::remove_file(site.path("state/totpd.db-shm"));
        site.start();
        assert_eq!(login(&site, "alice", &code), Ok(Verdict::Denied), "a used code was fresh again");
        site.next_step();
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
        site.next_step();
    }
}

#[test]
fn a_replaced_store_is_served_after_a_supervised_restart() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    Activation::default().start(&site);
    let phone = site.enroll("alice");
    let (state, away) = (site.path("state"), site.path("away"));
    std::fs::rename(&state, &away).unwrap();
    site.wait_for_daemon_end();
    Activation::default().start(&site);
    assert!(site.totpd(&["status"]).stderr.contains("mounted?"));
    std::fs::rename(&away, &state).unwrap();
    site.wait_until_serving();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}
