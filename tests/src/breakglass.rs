//! `totpd breakglass`, as root runs it.

use crate::run::{Running, wait_until};
use crate::site::Site;
use std::process::Command;

/// A responder that has the socket of logins.
#[derive(Debug)]
pub struct BreakGlass {
    /// Its process.
    pub responder: Running,
    /// The code that it accepts once, from alice.
    pub code: String,
}

impl BreakGlass {
    /// Opens break-glass for alice, for this time (`30m`).
    #[track_caller]
    pub fn open(site: &Site, lasts: &str) -> Self {
        Self::open_after(site, ":", lasts)
    }

    /// Opens break-glass for alice in a shell that ran `setup` before.
    #[track_caller]
    pub fn open_after(site: &Site, setup: &str, lasts: &str) -> Self {
        let totpd = site.totpd_command();
        let mut command = Command::new(totpd.get_program());
        let words: Vec<_> = totpd.get_args().collect();
        let program = words.iter().position(|word| *word == "--").unwrap() + 1;
        command.args(&words[..program]).args(["sh", "-c", &format!("{setup}; exec \"$@\"; :"), "sh"]);
        command.args(&words[program..]).args(["breakglass", "alice", "--for", lasts, "--json"]);
        for (name, value) in totpd.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut responder = Running::start(command);
        let line = responder.read_line();
        let Ok(document) = serde_json::from_str::<serde_json::Value>(&line) else {
            panic!("break-glass did not open: {:?}", responder.finish())
        };
        let code = document["code"].as_str().unwrap().to_owned();
        let socket = site.path("run/login.sock");
        wait_until("the responder has the socket", || socket.exists());
        Self { responder, code }
    }

    /// Kills the responder, which then cleans nothing up.
    pub fn kill(self) {
        drop(self.responder);
    }
}
