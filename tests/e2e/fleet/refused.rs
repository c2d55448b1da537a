//! Databases and daemons that do not belong together: refused, with the sentence that says which.

use std::process::Command;
use totp_wire::login::Verdict;
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Running, Site};

/// Starts a daemon of the site, and waits until it says `words`. Nobody is let in.
#[track_caller]
fn assert_refuses(site: &Site, words: &str) -> Running {
    let mut command: Command = site.totpd_command();
    command.arg("serve");
    let daemon = Running(site.spawn_daemon(command));
    wait_until(&format!("the log says {words}"), || site.log().contains(words));
    let status = site.totpd(&["status"]);
    assert!(status.code == 1 && (status.stdout + &status.stderr).contains(words), "{words}");
    assert!(begin(site, local("alice")).is_err(), "{words}: a login was begun");
    daemon
}

#[test]
fn a_daemon_with_another_key_or_another_store_is_refused() {
    let fleet = Fleet::new(2);
    let phone = fleet.enroll("alice");
    let [one, two] = &fleet.sites[..] else { panic!("two sites") };
    two.end(nix::sys::signal::Signal::SIGTERM);
    let right = two.read("etc/totpd/totpd.key");
    let right_id = two.read("etc/totpd/store.id");
    // The key and the id of another store.
    let other = Site::on_postgresql();
    other.totpd(&["init"]).assert_success();
    for file in ["etc/totpd/totpd.key", "etc/totpd/store.id"] {
        two.write(file, &other.read(file));
    }
    drop(assert_refuses(two, "but the key belongs to store"));
    two.write("etc/totpd/totpd.key", &right);
    two.write("etc/totpd/store.id", &right_id);
    // A second `init` does not overwrite the store.
    other.write(
        "etc/totpd/totpd.toml",
        &one.read("etc/totpd/totpd.toml")
            .replace(&one.root.display().to_string(), &other.root.display().to_string()),
    );
    other.write("etc/totpd/database-password", &one.read("etc/totpd/database-password"));
    for file in ["etc/totpd/totpd.key", "etc/totpd/store.id"] {
        std::fs::remove_file(other.path(file)).unwrap();
    }
    let again = other.totpd(&["init"]);
    assert!(again.code == 1 && again.stderr.contains("holds a store already"), "{again:?}");
    two.start();
    assert_eq!(login(two, "alice", &phone.code(two)), Ok(Verdict::Granted));
}

#[test]
fn a_full_database_disk_refuses_and_burns_no_code() {
    let fleet = Fleet::new(1);
    let site = &fleet.sites[0];
    let phone = fleet.enroll("alice");
    let database = fleet.database().database();
    // PostgreSQL reports ENOSPC for a statement as 53100; a trigger of the superuser does it for
    // each change of an account.
    database.sql(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER full_disk BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    let code = phone.code(site);
    assert_ne!(login(site, "alice", &code), Ok(Verdict::Granted), "granted without room for the used code");
    database.sql("DROP TRIGGER full_disk ON account");
    site.wait_until_serving();
    assert_eq!(login(site, "alice", &code), Ok(Verdict::Granted), "the code was used up: {}", site.log());
}

#[test]
fn a_host_whose_clock_differs_judges_nothing() {
    let fleet = Fleet::new(1);
    let phone = fleet.enroll("alice");
    // A host beside it that has a clock of its own, a minute ahead.
    let site = &fleet.sites[0];
    site.end(nix::sys::signal::Signal::SIGTERM);
    let faults = totpd_e2e::Faults::new(&site.path("run"));
    faults.clock_offset(site.faults.offset() + 60);
    let mut command = site.totpd_command();
    command.env("TOTPD_FAULTS", &faults.path).arg("serve");
    let daemon = Running(site.spawn_daemon(command));
    wait_until("the daemon says so", || site.log().contains("ahead of that of"));
    let code = phone.code_at(site.now() + 60);
    let verdict = begin(site, local("alice")).and_then(|waiting| waiting.answer(&code));
    assert_ne!(verdict, Ok(Verdict::Granted));
    faults.clock_offset(site.faults.offset());
    site.wait_until_serving();
    assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted), "{}", site.log());
    drop(daemon);
}
