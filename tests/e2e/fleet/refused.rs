//! Databases and daemons that do not belong together: refused, with the sentence that says which.

use std::process::Command;
use totp_wire::login::Verdict;
use totpd_e2e::database::SiteDatabase;
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Fleet, Running, Site, api};
use totpd_test_postgres::Certificates;

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
fn what_a_daemon_cannot_use_it_names_and_lets_nobody_in() {
    let fleet = Fleet::without_daemons(1);
    let site = &fleet.sites[0];
    site.start();
    let phone = fleet.enroll("alice");
    site.end(nix::sys::signal::Signal::SIGTERM);
    let (server, database) = (fleet.server(), fleet.database().database());
    let refused_with = |file: &str, from: &str, to: &str, words: &str| {
        let right = site.read(file);
        site.write(file, &right.replace(from, to));
        assert_ne!(site.read(file), right);
        drop(assert_refuses(site, words));
        site.write(file, &right);
    };
    let password = &fleet.database().password;
    refused_with("etc/totpd/database-password", password, "hunter2", "refuses the password of the user");
    assert!(!site.log().contains("hunter2"));
    let name = format!("/{}?", fleet.database().name);
    refused_with("etc/totpd/totpd.toml", &name, "/nowhere?", "has no database nowhere");
    refused_with(
        "etc/totpd/totpd.toml",
        &format!(":{}/", server.port()),
        ":1/",
        "127.0.0.1:1 cannot be reached",
    );

    // The key of this store, and another secret in it.
    let other = Site::on_postgresql();
    other.totpd(&["init"]).assert_success();
    let secret = |site: &Site| site.read("etc/totpd/totpd.key").split('"').nth(5).unwrap().to_owned();
    refused_with("etc/totpd/totpd.key", &secret(site), &secret(&other), "another key");
    // The database of another store.
    let place = |site: &SiteDatabase| {
        let (name, port) = (&site.name, site.server.port());
        format!("{name}@127.0.0.1:{port}/{name}")
    };
    let (own, there) = (place(fleet.database()), place(other.database.as_ref().unwrap()));
    let right = site.read("etc/totpd/database-password");
    site.write("etc/totpd/database-password", &other.read("etc/totpd/database-password"));
    refused_with("etc/totpd/totpd.toml", &own, &there, "but the key belongs to store");
    site.write("etc/totpd/database-password", &right);

    // A server that is not the one that the authority vouches for.
    let (authority, another) = (Certificates::new(), Certificates::new());
    server.enable_tls(&authority, "IP:127.0.0.1");
    std::fs::copy(another.root(), site.path("etc/totpd/ca.pem")).unwrap();
    let verify = format!("sslmode=verify-full&sslrootcert={}", site.path("etc/totpd/ca.pem").display());
    refused_with("etc/totpd/totpd.toml", "sslmode=disable", &verify, "certificate of 127.0.0.1");

    database.sql("INSERT INTO refinery_schema_history VALUES (99, 'future', '', '0')");
    drop(assert_refuses(site, "newer"));
    database.sql("DELETE FROM refinery_schema_history WHERE version = 99");
    server.configure(&[("default_transaction_read_only", "on")]);
    drop(assert_refuses(site, "accepts no writes"));
    server.configure(&[("default_transaction_read_only", "off")]);
    site.start();
    assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted));
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

#[test]
fn without_the_database_the_api_refuses_and_uses_no_code() {
    let fleet = Fleet::without_daemons(1);
    let site = &fleet.sites[0];
    site.write_config(&api::socket(site));
    site.start();
    let app = Api::new(site, "admin");
    let (user, phone) = app.enrolled(site, "alice");
    let code = phone.code(site);
    fleet.server().kill();
    app.authenticate(&user, &code).assert_error(503, "server_unavailable");
    app.get(&format!("/v1/users/{user}")).assert_error(503, "server_unavailable");
    fleet.server().resume();
    site.wait_until_serving();
    app.authenticate(&user, &code).assert_success();
    app.authenticate(&user, &code).assert_error(401, "totp_code_already_authenticated");
}

#[test]
fn backups_are_left_to_postgresql_and_doctor_names_what_is_lost() {
    let fleet = Fleet::new(1);
    let site = &fleet.sites[0];
    let file = site.path("backup.totpd").display().to_string();
    for words in [["backup", &file], ["restore", &file]] {
        let refused = site.totpd(&words);
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("PostgreSQL's own tools"), "{refused:?}");
        assert!(!site.path("backup.totpd").exists());
    }
    let found = site.totpd(&["doctor", "--json"]).json();
    let notice =
        found["findings"].as_array().unwrap().iter().find(|one| one["id"] == "daemon-notice").cloned();
    assert!(notice.is_some_and(|notice| notice.to_string().contains("waits for no standby")), "{found}");
}
