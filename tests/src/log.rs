//! The log of a site's daemon, and the audit events in it.

use crate::Site;
use std::time::{Duration, Instant};
use totp_wire::admin::Daemon;
use totp_wire::{Client, Trust};

impl Site {
    /// Returns everything that the daemon has logged.
    pub fn log(&self) -> String {
        self.wait_for_log();
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Waits until no line is queued: a line is queued before the reply that it is about, and
    /// written after it. A daemon that does not answer has ended, or hangs because the test wants
    /// it to.
    fn wait_for_log(&self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let waiting = || {
            let mut client =
                Client::connect(&self.path("run/admin.sock"), Trust::RootOrFolderOwner, deadline).ok()?;
            client.call(&Daemon {}, deadline).ok()?.log_lines_waiting
        };
        while waiting().is_some_and(|lines| lines > 0) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the audit events so far.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the last audit event of a login; null when there is none.
    pub fn last_login(&self) -> serde_json::Value {
        self.events().into_iter().rfind(|event| event["event"] == "login").unwrap_or_default()
    }
}
