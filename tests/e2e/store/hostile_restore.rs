//! A hostile store: what the daemon's user could prepare for root's `restore`.

use nix::sys::signal::Signal;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use totpd_e2e::Site;
use totpd_e2e::paths::{native, totpd};
use totpd_e2e::run::run;

const PASSPHRASE: &str = "correct horse battery\n";
/// Far more than a disk has: a hole in a file takes no room.
const HUGE: u64 = 4 << 40;

/// Replaces the table that `restore` reads by a view that never ends.
const TRAP: &str = "
ALTER TABLE meta RENAME TO real;
CREATE VIEW meta (key, value) AS
  WITH RECURSIVE endless (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless)
  SELECT key, value FROM real UNION ALL SELECT 'withdrawal.' || n, zeroblob(100000000) FROM endless
";

#[track_caller]
fn backed_up() -> (Site, String) {
    let site = Site::new();
    site.enroll("alice");
    let file = site.path("backup.age").display().to_string();
    site.totpd_with(&["backup", &file], PASSPHRASE).assert_success();
    site.end(Signal::SIGTERM);
    (site, file)
}

/// Restores with a memory limit that is far more than a restore needs.
fn restore(site: &Site, file: &str) -> totpd_e2e::Finished {
    let mut command = site.command("prlimit");
    command.arg("--as=1500000000").arg(totpd());
    command.arg("--config").arg(site.path("etc/totpd/totpd.toml")).args(["restore", file, "--yes", "--json"]);
    command.env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &site.faults.path);
    run(command, PASSPHRASE)
}

#[test]
fn a_restore_runs_no_code_of_the_replaced_store() {
    let (site, file) = backed_up();
    site.sql(TRAP);
    let restored = restore(&site, &file).assert_success().json();
    assert_eq!(restored["listed"], false, "its list is not trusted");
    site.start();
    assert_eq!(site.status("alice")["state"], "active");
}

#[test]
fn a_restore_neither_reads_nor_copies_holes() {
    let (site, file) = backed_up();
    let lengthen = |path: &str| {
        let file = std::fs::OpenOptions::new().write(true).open(site.path(path)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(HUGE).unwrap();
        move || file.set_len(length).unwrap()
    };
    // Refused before the file fills the memory.
    let shorten = lengthen("etc/totpd/store.id");
    let refused = restore(&site, &file);
    assert!(refused.code == 1 && refused.stderr.contains("store.id"), "{refused:?}");
    shorten();
    for path in ["state/totpd.db", "state/totpd.db-wal"] {
        drop(lengthen(path));
    }
    // The end of the log has content again.
    let mut log = std::fs::OpenOptions::new().append(true).open(site.path("state/totpd.db-wal")).unwrap();
    log.write_all(b"the end").unwrap();
    restore(&site, &file).assert_success();
    assert_eq!(site.path("state/before-restore.db").metadata().unwrap().len(), HUGE);
    assert!(site.path("state/totpd.db").metadata().unwrap().blocks() < 100_000);
    site.start();
    assert_eq!(site.status("alice")["state"], "active");
}
