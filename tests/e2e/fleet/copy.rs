//! `totpd store copy`: a site moves from SQLite to PostgreSQL and back, and no code works in both.

use nix::sys::signal::Signal;
use totp_wire::login::Verdict;
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Running, Site};

/// A site whose store is SQLite in `state`, with a database beside it that is empty; and the
/// configuration that names the database.
fn site_in_sqlite() -> (Site, String) {
    let site = Site::on_postgresql();
    let with_database = site.read("etc/totpd/totpd.toml");
    let without: String = with_database
        .lines()
        .filter(|line| !line.starts_with("store."))
        .map(|line| format!("{line}\n"))
        .collect();
    site.write("etc/totpd/totpd.toml", &without);
    site.totpd(&["init"]).assert_success();
    (site, with_database)
}

fn url(site: &Site) -> String {
    site.database.as_ref().unwrap().database().url()
}

/// Asserts that `used` is refused, and that the phone's next code and a recovery code work.
#[track_caller]
fn assert_same_factor(site: &Site, phone: &Phone, used: &str, recovery_code: &str) -> String {
    assert_eq!(login(site, "alice", used), Ok(Verdict::Denied), "a used code works again");
    site.next_step();
    let code = phone.code(site);
    assert_eq!(login(site, "alice", &code), Ok(Verdict::Granted), "{}", site.log());
    assert_eq!(login(site, "alice", recovery_code), Ok(Verdict::Granted));
    assert_eq!(login(site, "alice", recovery_code), Ok(Verdict::Denied));
    code
}

#[test]
fn a_store_moves_to_postgresql_and_back() {
    let (site, with_database) = site_in_sqlite();
    site.start();
    let phone = site.enroll("alice");
    let pending = site.stage("bob");
    let code = phone.code(&site);
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
    let state = site.path("state").display().to_string();
    let events = |site: &Site| site.totpd(&["history", "--json"]).assert_success().json()["events"].take();
    let before = events(&site);

    // A running daemon's store is not copied.
    site.write("etc/totpd/totpd.toml", &with_database);
    let refused = site.totpd(&["store", "copy", &state, &url(&site)]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("systemctl stop"), "{refused:?}");
    site.end(Signal::SIGTERM);

    let copied = site.totpd(&["store", "copy", &state, &url(&site), "--json"]).assert_success().json();
    assert!(copied["rows"].as_u64().unwrap() >= 4, "{copied}");
    site.start();
    let after = events(&site);
    let (copy, earlier) = after.as_array().unwrap().split_first().unwrap();
    assert_eq!((copy["event"].as_str(), copy["outcome"].as_str()), (Some("copy"), Some("done")));
    assert_eq!(earlier, before.as_array().unwrap());
    let code = assert_same_factor(&site, &phone, &code, &phone.recovery_codes[0]);
    // An enrollment that waits for its first code goes on waiting.
    assert_eq!(login(&site, "bob", &pending.code(&site)), Ok(Verdict::Granted));
    let served = site.totpd(&["store", "copy", &url(&site), "/nowhere"]);
    assert!(served.code == 1 && served.stderr.contains("in use"), "{served:?}");
    site.end(Signal::SIGTERM);

    // The first store is closed: its codes would be fresh.
    let closed = site.totpd(&["store", "copy", &state, &url(&site)]);
    assert!(closed.code == 1 && closed.stderr.contains("was copied before"), "{closed:?}");

    // And back, into another folder.
    std::fs::create_dir(site.path("back")).unwrap();
    let back = site.path("back").display().to_string();
    site.totpd(&["store", "copy", &url(&site), &back]).assert_success();
    let without: String = with_database
        .lines()
        .filter(|line| !line.starts_with("store."))
        .map(|line| format!("{}\n", line.replace(&state, &back)))
        .collect();
    // The database is closed now, and a daemon that still has its URL refuses.
    let daemon = site.spawn_daemon({
        let mut command = site.totpd_command();
        command.arg("serve");
        command
    });
    let mut daemon = Running(daemon);
    wait_until("the daemon refuses", || site.log().contains("copied to"));
    assert_ne!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    let _ = daemon.0.kill();
    drop(daemon);
    site.write("etc/totpd/totpd.toml", &without);
    site.start();
    assert_same_factor(&site, &phone, &code, &phone.recovery_codes[1]);
}

#[test]
fn a_killed_copy_is_not_served_and_goes_on() {
    let (site, with_database) = site_in_sqlite();
    site.start();
    let phone = site.enroll("alice");
    site.end(Signal::SIGTERM);
    // Enough rows that the copy is killed between two transactions.
    site.run(
        "python3",
        &[
            "-c",
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1])\n\
             db.execute(\"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
             INSERT INTO history (at, name, event) SELECT 5, 'x', '{}' FROM n\"); db.commit()",
            &site.path("state/totpd.db").display().to_string(),
        ],
    )
    .assert_success();
    site.write("etc/totpd/totpd.toml", &with_database);
    let state = site.path("state").display().to_string();
    let mut command = site.totpd_command();
    command.args(["store", "copy", &state, &url(&site)]);
    let copy = Running::start(command);
    let database = site.database.as_ref().unwrap().database();
    let server = database.server();
    wait_until("rows arrive", || {
        server.try_sql(&database.name, "SELECT count(*) > 1000 FROM history").as_deref() == Ok("t")
    });
    copy.signal(Signal::SIGKILL);
    drop(copy);
    let half: u64 = database.sql("SELECT count(*) FROM history").parse().unwrap();
    assert!(half < 30_000, "the copy was not interrupted");
    let copied = site.totpd(&["store", "copy", &state, &url(&site), "--json"]).assert_success().json();
    assert!(copied["resumed"].as_u64().unwrap() >= half, "{copied}");
    site.start();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}

#[test]
fn a_killed_copy_out_of_postgresql_goes_on() {
    let (site, with_database) = site_in_sqlite();
    let without = site.read("etc/totpd/totpd.toml");
    let state = site.path("state").display().to_string();
    site.write("etc/totpd/totpd.toml", &with_database);
    site.totpd(&["store", "copy", &state, &url(&site)]).assert_success();
    site.start();
    let phone = site.enroll("alice");
    site.end(Signal::SIGTERM);
    let database = site.database.as_ref().unwrap().database();
    database.sql("INSERT INTO history (at, name, event) SELECT 5, 'x', '{}' FROM generate_series(1, 60000)");
    let target = site.path("copied");
    std::fs::create_dir(&target).unwrap();
    let mut command = site.totpd_command();
    command.args(["store", "copy", &url(&site), &target.display().to_string()]);
    let copy = Running::start(command);
    wait_until("rows arrive", || {
        let sizes = std::fs::read_dir(&target).unwrap().filter_map(|file| file.ok()?.metadata().ok());
        sizes.map(|file| file.len()).sum::<u64>() > 800_000
    });
    copy.signal(Signal::SIGKILL);
    drop(copy);
    // Nobody serves half of it.
    site.write("etc/totpd/totpd.toml", &without.replace(&state, &target.display().to_string()));
    let mut serve = site.totpd_command();
    serve.arg("serve");
    let daemon = Running(site.spawn_daemon(serve));
    wait_until("the log says why", || site.log().contains("is an unfinished copy"));
    assert!(begin(&site, local("alice")).is_err(), "half of a store is served");
    drop(daemon);
    site.write("etc/totpd/totpd.toml", &with_database);
    let target = target.display().to_string();
    let copied = site.totpd(&["store", "copy", &url(&site), &target, "--json"]).assert_success().json();
    assert!(copied["resumed"].as_u64().unwrap() > 0, "{copied}");
    site.write("etc/totpd/totpd.toml", &without.replace(&state, &target));
    site.start();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted), "{}", site.log());
    let moved = site.totpd(&["history", "x", "-n", "1", "--json"]).assert_success().json();
    assert_eq!(moved["events"].as_array().unwrap().len(), 1, "{moved}");
}
