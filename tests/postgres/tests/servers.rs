//! The servers start, replicate, fail over and go away.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use totpd_test_postgres::{Certificates, Server, Shutdown, shared};

/// Connects by TCP as the owner of a database, who types `password`.
fn connect(url: &str, password: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.env("PGPASSWORD", password).args(["-X", "-At", url, "-c"]);
    let output = psql.arg(
        "SELECT current_user, coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '')",
    );
    let output = output.output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    Err(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_database_has_an_owner_with_a_password() {
    let (one, two) = (shared().create_database(), shared().create_database());
    let owner = &one.name;
    assert_eq!(connect(&one.url(), &one.password), Ok(format!("{owner}|")));
    assert_eq!(connect(&one.socket_url(), ""), Ok(format!("{owner}|")));
    let refused = connect(&one.url(), &two.password).unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    one.sql("CREATE TABLE a (id int)");
    assert_eq!(two.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'a'"), "0");
}

#[test]
fn a_standby_takes_over_with_every_row() {
    let primary = Server::start();
    let database = primary.create_database();
    let standby = primary.start_standby("standby_1");
    primary.require_standby("standby_1");
    database.sql("CREATE TABLE kept (id int); INSERT INTO kept SELECT generate_series(1, 100)");
    primary.kill();
    let there = database.on(&standby);
    let refused = standby.try_sql(&there.name, "INSERT INTO kept VALUES (101)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    standby.promote();
    there.sql("INSERT INTO kept VALUES (101)");
    assert_eq!(there.sql("SELECT count(*) FROM kept"), "101");
}

#[test]
fn a_killed_server_comes_back_with_what_was_committed() {
    let server = Server::start();
    let database = server.create_database();
    database.sql("CREATE TABLE kept (id int)");
    for _ in 0..2 {
        database.sql("INSERT INTO kept VALUES (1)");
        server.kill();
        assert!(server.try_sql("postgres", "SELECT 1").is_err());
        server.resume();
    }
    server.stop(Shutdown::Immediate);
    server.resume();
    server.restart();
    assert_eq!(database.sql("SELECT count(*) FROM kept"), "2");
}

#[test]
fn a_commit_waits_for_a_frozen_standby() {
    let primary = Server::start();
    let standby = primary.start_standby("standby_1");
    primary.require_standby("standby_1");
    standby.freeze();
    let mut waiting = primary.psql("postgres").args(["-c", "CREATE TABLE a (id int)"]).spawn().unwrap();
    primary.wait_for("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1");
    assert!(waiting.try_wait().unwrap().is_none());
    standby.thaw();
    assert!(waiting.wait().unwrap().success());
}

#[test]
fn a_server_with_a_certificate_speaks_tls() {
    let (server, authority) = (Server::start(), Certificates::new());
    let database = server.create_database();
    server.enable_tls(&authority, "IP:127.0.0.1");
    let url = |root: &Certificates| {
        format!("{}?sslmode=verify-full&sslrootcert={}", database.url(), root.root().display())
    };
    let answer = connect(&url(&authority), &database.password).unwrap();
    assert_eq!(answer, format!("{}|TLSv1.3", database.name));
    let refused = connect(&url(&Certificates::new()), &database.password).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    server.enable_tls(&authority, "DNS:elsewhere");
    assert!(connect(&url(&authority), &database.password).is_err());
}
