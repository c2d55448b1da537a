//! The checks: one function a row, each of which looks at the host and says what it found.

mod clock;
mod daemon;
mod files;
mod module;
mod pam;
mod rules;
pub mod services;
pub mod sshd;
mod sshd_match;
mod store;
mod sudo;
mod units;
mod users;

use super::finding::Finding;
use super::system::Host;

/// Names that are listed in one sentence.
const MOST_NAMES: usize = 10;

/// Everything that there is to find, in no order.
pub fn all(host: &Host) -> Vec<Finding> {
    let checks = [
        services::check,
        pam::check,
        module::check,
        sshd::check,
        sudo::check,
        rules::check,
        files::check,
        store::check,
        units::check,
        daemon::check,
        users::check,
        clock::check,
    ];
    checks.iter().flat_map(|check| check(host)).collect()
}

/// The first of these names, and how many more there are.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST_NAMES).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
