//! What a user is told at a login, in words.

use super::Engine;
use crate::clock::{self, rfc3339};
use crate::store::breakglass;
use totp_core::news::News;

impl Engine {
    /// The lines for `user`: what has happened since the last login, and whether break-glass let somebody in.
    pub fn told(&self, user: &str, news: &News) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(at) = breakglass::last_use(&self.config.breakglass_marks, user, clock::now()) {
            lines.push(format!(
                "Break-glass let somebody in as {user} on {}. Ask your administrators.",
                rfc3339(at)
            ));
        }
        for used in news.recovery_uses() {
            lines.push(format!(
                "A recovery code was used on {} from {}. Was it you? If not, call your administrators.",
                rfc3339(used.at),
                used.from
            ));
        }
        if let Some((count, last)) = news.burst() {
            lines.push(format!(
                "{count} codes were refused since your last login, the last on {} from {}.",
                rfc3339(last.at),
                last.from
            ));
        }
        lines
    }
}
