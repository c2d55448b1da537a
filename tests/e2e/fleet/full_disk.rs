//! The database's disk is full: a small file system of its own holds the tables, or the WAL.

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Site};
use totpd_test_postgres::Shutdown;

/// Runs a script as root in the mount namespace of this thread, which the server shares.
#[track_caller]
fn sh(script: &str, folder: &Path) {
    let done = std::process::Command::new("sh").args(["-ec", script, "sh"]).arg(folder).status();
    assert!(done.unwrap().success(), "{script}");
}

/// A site with a server, and an empty file system for it. Both are gone with this thread.
#[track_caller]
fn site_with_disk(mebibytes: u32) -> (Fleet, PathBuf) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    sh("mount --make-rprivate /", Path::new("/"));
    let fleet = Fleet::new(1);
    let disk = fleet.sites[0].path("disk");
    let mount = format!("mkdir $1; mount -t tmpfs -o size={mebibytes}m,mode=0700,uid=nobody tmpfs $1");
    sh(&mount, &disk);
    (fleet, disk)
}

/// Fills the disk, and logs in until a code is refused. Returns that code.
#[track_caller]
fn refused_code(site: &Site, phone: &Phone, disk: &Path) -> String {
    sh("! dd if=/dev/zero of=$1/filler bs=4k 2>/dev/null", disk);
    for _ in 0..5_000 {
        let code = phone.code(site);
        if login(site, "alice", &code) != Ok(Verdict::Granted) {
            return code;
        }
        site.next_step();
    }
    panic!("the disk never became full");
}

#[test]
fn without_room_for_tables_logins_are_refused_and_burn_no_code() {
    let (fleet, disk) = site_with_disk(40);
    let (site, server, name) = (&fleet.sites[0], fleet.server(), &fleet.database().name);
    let phone = fleet.enroll("alice");
    site.end(Signal::SIGTERM);
    server.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", disk.display()));
    server.sql("postgres", &format!("ALTER DATABASE {name} SET TABLESPACE small"));
    site.start();
    let code = refused_code(site, &phone, &disk);
    assert!(server.log().contains("No space left on device"), "{}", server.log());
    let status = site.totpd(&["status"]).assert_success().stdout;
    assert!(status.contains("no room on the disk of the PostgreSQL server"), "{status}");
    assert!(site.log().contains("no room on the disk of the PostgreSQL server"));
    let refused = site.totpd(&["enroll", "bob"]);
    assert!(refused.code == 1 && refused.stderr.contains("Make room there"), "{refused:?}");
    let again = login(site, "alice", &code);
    assert_ne!(again, Ok(Verdict::Granted), "granted without room for the used code");
    sh("rm $1/filler", &disk);
    site.wait_until_serving();
    assert_eq!(login(site, "alice", &code), Ok(Verdict::Granted), "the code was used up: {}", site.log());
    assert_eq!(login(site, "alice", &code), Ok(Verdict::Denied), "accepted twice");
    assert!(!site.totpd(&["status"]).assert_success().stdout.contains("no room"));
}

#[test]
fn without_room_for_the_wal_no_code_works_twice() {
    let (fleet, disk) = site_with_disk(80);
    let (site, server) = (&fleet.sites[0], fleet.server());
    let phone = fleet.enroll("alice");
    server.stop(Shutdown::Fast);
    let wal = server.data_folder().join("pg_wal");
    sh(&format!("mv {0} $1/; ln -s $1/pg_wal {0}", wal.display()), &disk);
    server.resume();
    site.wait_until_serving();
    let code = refused_code(site, &phone, &disk);
    assert!(server.log().contains("No space left on device"), "{}", server.log());
    wait_until("the daemon says that there is no server", || {
        let status = site.totpd(&["status"]);
        status.code != 0 && (status.stdout + &status.stderr).contains("the store cannot be used now")
    });
    // An administrator makes room and starts PostgreSQL again.
    sh("rm $1/filler", &disk);
    server.kill();
    server.resume();
    site.wait_until_serving();
    let again = (0..3).filter(|_| login(site, "alice", &code) == Ok(Verdict::Granted)).count();
    assert!(again <= 1, "the code was accepted {again} times");
    site.next_step();
    assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted), "{}", site.log());
}
