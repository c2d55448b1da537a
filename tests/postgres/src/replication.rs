//! Streaming replication: a standby, what the primary waits for, and a promotion.

use crate::programs::{as_server_user, run};
use crate::scratch;
use crate::server::Server;
use std::time::{Duration, Instant};

impl Server {
    /// Makes a standby from a base backup of this server, and waits until it streams. `name` is
    /// its `application_name`.
    #[track_caller]
    #[must_use = "dropping it stops the standby"]
    pub fn start_standby(&self, name: &str) -> Server {
        let data = scratch::data(name);
        let mut backup = as_server_user("pg_basebackup");
        backup.arg("--host").arg(self.socket_folder()).args(["--port", &self.port().to_string()]);
        backup.args(["--username=postgres", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        backup.arg("--pgdata").arg(&data);
        run(backup);
        let standby = Server::on_data(data, self.surroundings());
        standby.follow(self, name);
        standby.resume();
        self.wait_for_standby(name, "state = 'streaming'");
        standby
    }

    /// Makes this server, which does not run, a standby of `primary` at its next start.
    pub fn follow(&self, primary: &Server, name: &str) {
        let (host, port) = (primary.socket_folder().display(), primary.port());
        self.write("standby.signal", "");
        self.write(
            "postgresql.auto.conf",
            &format!(
                "primary_conninfo = 'host=''{host}'' port={port} user=postgres application_name={name}'\n\
                 recovery_target_timeline = 'latest'\nsynchronous_standby_names = ''\n"
            ),
        );
    }

    /// Makes every commit wait until this standby has it on its disk (`synchronous_standby_names`),
    /// and waits until the standby is in step.
    #[track_caller]
    pub fn require_standby(&self, name: &str) {
        self.configure(&[("synchronous_standby_names", name)]);
        self.wait_for_standby(name, "sync_state = 'sync'");
    }

    /// Promotes a standby, and waits until it accepts writes.
    #[track_caller]
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t", "{}", self.log());
    }

    /// Waits until `condition` holds for the row of this standby in `pg_stat_replication`.
    #[track_caller]
    pub fn wait_for_standby(&self, name: &str, condition: &str) {
        let query = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND {condition}"
        );
        self.wait_for("postgres", &query, "1");
    }

    /// Waits until a query returns `expected`, for at most a minute.
    #[track_caller]
    pub fn wait_for(&self, database: &str, query: &str, expected: &str) {
        let start = Instant::now();
        while self.try_sql(database, query).as_deref() != Ok(expected) {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "{query} does not become {expected}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
