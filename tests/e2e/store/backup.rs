//! Backups of a running daemon, and restores.

use nix::sys::signal::Signal;
use rexpect::session::spawn_command;
use std::path::{Path, PathBuf};
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::{Activation, Finished, Site};

const GRANTED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Granted);
const DENIED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Denied);
const PASSPHRASE: &str = "correct horse battery\n";

#[track_caller]
fn back_up(site: &Site) -> PathBuf {
    let file = site.path("backup.age");
    let made = site
        .totpd_with(&["backup", &file.display().to_string(), "--json"], PASSPHRASE)
        .assert_success()
        .json();
    assert_eq!(made["store_id"], site.read("etc/totpd/store.id").trim());
    file
}

fn restore(site: &Site, file: &Path, more: &[&str]) -> Finished {
    let file = file.display().to_string();
    site.totpd_with(&[&["restore", file.as_str(), "--yes", "--json"], more].concat(), PASSPHRASE)
}

/// Asserts that no temporary file of a backup or restore is left.
#[track_caller]
fn assert_tidy(site: &Site) {
    for folder in [site.root.clone(), site.path("state")] {
        let Ok(files) = std::fs::read_dir(folder) else { continue };
        for file in files {
            let name = file.unwrap().file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with(".totpd-") && name != "backup.db" && name != "restored.db", "{name}");
        }
    }
}

#[test]
fn a_restore_elsewhere_keeps_phones_and_used_codes() {
    let here = Site::new();
    let (alice, bob) = (here.enroll("alice"), here.enroll("bob"));
    assert_eq!(login(&here, "alice", &alice.recovery_codes[0]), GRANTED);
    let file = back_up(&here);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let used = alice.code(&here);
    assert_eq!(login(&here, "alice", &used), GRANTED, "logins go on");
    assert_tidy(&here);
    here.end(Signal::SIGTERM);

    let there = Site::without_daemon();
    there.advance(here.now() - there.now());
    let config = there.path("etc/totpd/totpd.toml");
    // The configuration of the new host is kept, because its paths differ.
    let restored = restore(&there, &file, &[]).assert_success().json();
    assert_eq!((restored["listed"].as_bool(), restored["unknown"].as_u64()), (Some(false), Some(0)));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), there.config());
    assert_tidy(&there);
    there.start();
    assert_eq!(login(&there, "alice", &used), DENIED, "a code that was used after the backup");
    assert_eq!(login(&there, "bob", &bob.code(&there)), DENIED, "a code that may have been used");
    assert_eq!(login(&there, "alice", &alice.recovery_codes[0]), DENIED, "it was spent before the backup");
    there.advance(90);
    assert_eq!(login(&there, "alice", &alice.code(&there)), GRANTED);
    assert_eq!(login(&there, "bob", &bob.code(&there)), GRANTED);
    assert_eq!(login(&there, "alice", &alice.recovery_codes[1]), GRANTED);
    let events = there.totpd(&["history", "--json"]).assert_success().stdout;
    assert!(events.contains("\"restore\""), "{events}");
}

#[test]
fn on_a_bare_host_the_backup_restores_the_configuration() {
    let here = Site::new();
    let alice = here.enroll("alice");
    let file = back_up(&here);
    here.end(Signal::SIGTERM);
    // The same paths, as on a host that was installed again.
    for gone in ["etc/totpd", "state"] {
        std::fs::remove_dir_all(here.path(gone)).unwrap();
    }
    here.run("rm", &["-rf", "/var/log/totpd"]).assert_success();
    restore(&here, &file, &[]).assert_success();
    here.start();
    here.advance(90);
    assert_eq!(login(&here, "alice", &alice.code(&here)), GRANTED);
}

#[test]
fn codes_withdrawn_after_the_backup_stay_withdrawn() {
    for witness in [true, false] {
        let site = Site::new();
        let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
        let file = back_up(&site);
        assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), GRANTED);
        site.totpd(&["revoke", "bob"]).assert_success();
        site.end(Signal::SIGTERM);
        if !witness {
            // The replaced store lists the withdrawals as well.
            site.run("rm", &["-rf", "/var/log/totpd"]).assert_success();
        }
        let restored = restore(&site, &file, &[]).assert_success().json();
        let whose = |n: usize| restored["withdrawn"][n]["user"].as_str().map(str::to_owned);
        assert_eq!((whose(0).as_deref(), whose(1).as_deref(), whose(2)), (Some("alice"), Some("bob"), None));
        site.start();
        site.advance(90);
        assert_eq!(login(&site, "bob", &bob.code(&site)), DENIED);
        assert_eq!(login(&site, "alice", &alice.recovery_codes[0]), DENIED);
        assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
        // The replaced store is not accepted as the store any more.
        site.end(Signal::SIGTERM);
        for suffix in ["-wal", ""] {
            let to = site.path(&format!("state/totpd.db{suffix}"));
            let _ = std::fs::remove_file(&to);
            let _ = std::fs::rename(site.path(&format!("state/before-restore.db{suffix}")), to);
        }
        site.start();
        let status = site.totpd(&["status"]);
        assert!(status.code == 1 && status.stderr.contains("another copy"), "{status:?}");
    }
}

#[test]
fn a_restore_verifies_before_it_replaces_anything() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let file = back_up(&site);
    let serving = restore(&site, &file, &[]);
    assert!(serving.code == 1 && serving.stderr.contains("systemctl stop"), "{serving:?}");
    site.end(Signal::SIGTERM);
    let state = std::fs::read(site.path("state/totpd.db")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let damaged = site.path("damaged.age");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (what, content) in
        [("cut off", &whole[..whole.len() - 100]), ("changed", &changed[..]), ("no age", b"x")]
    {
        std::fs::write(&damaged, content).unwrap();
        let refused = restore(&site, &damaged, &[]);
        assert_eq!(refused.code, 1, "{what}: {refused:?}");
        assert!(refused.stderr.contains("damaged.age"), "{what}: {refused:?}");
    }
    let arguments = ["restore", &file.display().to_string(), "--yes"];
    let wrong = site.totpd_with(&arguments, "another passphrase\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("cannot be decrypted"), "{wrong:?}");
    let unasked = site.totpd_with(&arguments[..2], PASSPHRASE);
    assert!(unasked.code == 2 && unasked.stderr.contains("--yes"), "{unasked:?}");
    let other = Site::new();
    other.end(Signal::SIGTERM);
    let foreign = restore(&other, &file, &[]);
    assert!(foreign.code == 1 && foreign.stderr.contains("belongs to another store"), "{foreign:?}");
    assert_eq!(std::fs::read(site.path("state/totpd.db")).unwrap(), state, "something was replaced");
    assert_tidy(&site);
    site.start();
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
}

#[test]
fn the_passphrase_is_asked_for_twice_and_not_shown() {
    let site = Site::new();
    site.enroll("alice");
    let file = site.path("backup.age");
    let mut command = site.totpd_command();
    command.arg("backup").arg(&file);
    let mut terminal = spawn_command(command, Some(60_000)).unwrap();
    terminal.exp_string("Passphrase for the backup: ").unwrap();
    terminal.send_line(PASSPHRASE.trim()).unwrap();
    let before = terminal.exp_string("Again: ").unwrap();
    terminal.send_line(PASSPHRASE.trim()).unwrap();
    let after = terminal.exp_string("and read it back").unwrap();
    assert!(!before.contains("horse") && !after.contains("horse"), "{before}{after}");
    terminal.exp_eof().unwrap();
    assert!(file.exists());
}

#[test]
fn a_clock_behind_the_backup_restores_nothing() {
    let here = Site::new();
    here.enroll("alice");
    let file = back_up(&here);
    let there = Site::without_daemon();
    there.advance(here.now() - there.now() - 600);
    let refused = restore(&there, &file, &[]);
    assert!(refused.code == 1 && refused.stderr.contains("clock"), "{refused:?}");
    assert!(!there.path("state").exists());
}

#[test]
fn a_refusing_daemon_serves_a_restored_store() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let file = back_up(&site);
    site.end(Signal::SIGTERM);
    std::fs::remove_dir_all(site.path("state")).unwrap();
    site.start();
    assert!(site.totpd(&["status"]).stderr.contains("mounted?"));
    restore(&site, &file, &[]).assert_success();
    site.wait_until_serving();
    site.advance(90);
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
    let nothing = site.totpd(&["restore", "--accept", "--json"]).assert_success().json();
    assert_eq!(nothing["accepted"], false);
}

#[test]
fn only_root_makes_backups_which_overwrite_nothing() {
    let site = Site::new();
    site.enroll("alice");
    let file = back_up(&site);
    let content = std::fs::read(&file).unwrap();
    let again = site.totpd_with(&["backup", &file.display().to_string()], PASSPHRASE);
    assert!(again.code == 1 && again.stderr.contains("already exists"), "{again:?}");
    assert_eq!(std::fs::read(&file).unwrap(), content);
    let short = site.totpd_with(&["backup", &site.path("b").display().to_string()], "short\n");
    assert!(short.code == 2 && !site.path("b").exists(), "{short:?}");
    let file = site.path("home/alice/b").display().to_string();
    assert_eq!(site.totpd_as("alice", &["backup", &file], PASSPHRASE).code, 1);
    // Neither the key nor the database is readable in the file.
    let key = site.read("etc/totpd/totpd.key");
    let secret = key.split('"').nth(5).unwrap().as_bytes();
    assert!(!content.windows(secret.len()).any(|window| window == secret));
    assert!(!content.windows(6).any(|window| window == b"SQLite"));
}

#[test]
fn a_backup_without_the_key_restores_on_the_host_with_the_key() {
    let site = Site::new();
    let alice = site.enroll("alice");
    let (identity, recipient) = {
        // A fixed key pair, because `age-keygen` is not on every host.
        let identity = site.path("identity");
        let pair = (
            "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        );
        std::fs::write(&identity, format!("# a comment\n{}\n", pair.0)).unwrap();
        (identity.display().to_string(), pair.1)
    };
    let file = site.path("backup.age").display().to_string();
    site.totpd(&["backup", &file, "--recipient", recipient, "--without-key"]).assert_success();
    site.end(Signal::SIGTERM);
    std::fs::remove_dir_all(site.path("state")).unwrap();
    let (key, away) = (site.path("etc/totpd/totpd.key"), site.path("key"));
    std::fs::rename(&key, &away).unwrap();
    let without = site.totpd(&["restore", &file, "--identity", &identity, "--yes"]);
    assert!(without.code == 1 && without.stderr.contains("--without-key"), "{without:?}");
    std::fs::rename(&away, &key).unwrap();
    site.totpd(&["restore", &file, "--identity", &identity, "--yes"]).assert_success();
    site.start();
    site.advance(90);
    assert_eq!(login(&site, "alice", &alice.code(&site)), GRANTED);
}

#[test]
fn a_restore_follows_no_link_of_the_daemons_user() {
    let here = Site::new();
    here.enroll("alice");
    let file = back_up(&here);
    let there = Site::without_daemon();
    there.advance(here.now() - there.now());
    let (state, roots) = (there.path("state"), there.path("roots"));
    std::fs::create_dir(&state).unwrap();
    nix::unistd::chown(&state, Some(5011.into()), Some(5011.into())).unwrap();
    std::fs::write(&roots, "root's own\n").unwrap();
    for name in ["totpd.db", "totpd.db-wal", "totpd.db-shm", "restored.db", "before-restore.db"] {
        std::os::unix::fs::symlink(&roots, state.join(name)).unwrap();
    }
    restore(&there, &file, &[]).assert_success();
    let metadata = std::fs::metadata(&roots).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
    assert_eq!(std::fs::read_to_string(&roots).unwrap(), "root's own\n");
    let database = std::fs::symlink_metadata(state.join("totpd.db")).unwrap();
    assert!(database.is_file() && std::os::unix::fs::MetadataExt::uid(&database) == 5011);
    Activation { uid: 5011, ..Activation::default() }.start(&there);
    assert_eq!(there.totpd(&["status"]).code, 0);
}
