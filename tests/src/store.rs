//! The store of a site as others can change it: by SQL, and by a disk that is full.

use crate::run::{run, wait_until};
use crate::site::Site;
use std::process::Command;

/// `FILE SQL`: executes the statements, and prints the first value that the last one returns.
const EXECUTE: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
*statements, last = sys.argv[2].strip().split(';\\n')
for sql in statements:
    db.execute(sql)
row = db.execute(last).fetchone()
print(row[0] if row else '')
db.close()
";

impl Site {
    /// Executes SQL statements on the store, as a process that can write the file and has no key.
    /// Returns the first value of the last statement. A semicolon at the end of a line ends a
    /// statement.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        if let Some(site) = &self.database {
            let text = site.database().sql(statements);
            return text
                .lines()
                .next_back()
                .unwrap_or_default()
                .split('|')
                .next()
                .unwrap_or_default()
                .to_owned();
        }
        let mut python = Command::new("python3");
        python.args(["-c", EXECUTE]).arg(self.path("state/totpd.db")).arg(statements);
        run(python, "").assert_success().stdout.trim_end().to_owned()
    }

    /// Returns everything that the store holds, as somebody reads it who has no key.
    #[track_caller]
    pub fn stored(&self) -> Vec<u8> {
        let Some(site) = &self.database else { return std::fs::read(self.path("state/totpd.db")).unwrap() };
        let tables = ["meta", "account", "history", "session", "client", "signing_key"];
        let all: String = tables.iter().map(|table| format!("TABLE {table};")).collect();
        site.database().sql(&all).into_bytes()
    }

    /// Waits until a change is being made durable, while syncs are delayed. `syncs` is their number
    /// before the change.
    #[track_caller]
    pub fn wait_for_commit(&self, syncs: i64) {
        // PostgreSQL syncs for its own reasons too: what a standby needs to know, every 15 seconds.
        let commits = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
        wait_until("a commit has begun", || match &self.database {
            None => self.faults.syncs() > syncs,
            Some(site) => site.database().sql(commits) != "0",
        });
    }

    /// Makes a site whose state folder is a file system of 14 MiB, with a store and without a
    /// daemon.
    #[track_caller]
    pub fn on_small_disk() -> Self {
        let site = Self::on_sqlite();
        std::fs::create_dir(site.path("state")).unwrap();
        let state = site.path("state").display().to_string();
        site.run("mount", &["-t", "tmpfs", "-o", "size=14m,mode=0700", "tmpfs", &state]).assert_success();
        site.totpd(&["init"]).assert_success();
        site
    }

    /// Fills the disk of [`Self::on_small_disk`].
    #[track_caller]
    pub fn fill_disk(&self) {
        let filler = format!("of={}", self.path("state/filler").display());
        let filled = self.run("dd", &["if=/dev/zero", &filler, "bs=4k"]);
        assert_ne!(filled.code, 0, "dd fails when the disk is full");
    }

    /// Gives the room back that [`Self::fill_disk`] took.
    #[track_caller]
    pub fn free_disk(&self) {
        self.run("rm", &[&self.path("state/filler").display().to_string()]).assert_success();
    }
}
