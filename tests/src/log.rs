//! What the daemon of a site has logged.

use crate::Site;
use std::time::{Duration, Instant};
use totp_wire::admin::Daemon;
use totp_wire::{Client, Trust};

impl Site {
    /// Everything the daemon has logged.
    pub fn log(&self) -> String {
        self.wait_for_log();
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// A line is queued before the reply that it is about, and written after it: waits until none is queued. A
    /// daemon that does not answer has ended, or is what the test is about.
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

    /// The audit events so far.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last audit event about a login.
    pub fn last_login(&self) -> serde_json::Value {
        self.events().into_iter().rfind(|event| event["event"] == "login").unwrap_or_default()
    }
}
