//! The checks. Each row of docs/reference/doctor.md has one function, which returns its findings.

mod administrators;
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

/// Runs every check. The findings are not sorted.
pub fn all(host: &Host) -> Vec<Finding> {
    let checks = [
        services::check,
        pam::check,
        module::check,
        sshd::check,
        sudo::check,
        rules::check,
        administrators::check,
        files::check,
        store::check,
        units::check,
        daemon::check,
        users::check,
        clock::check,
    ];
    checks.iter().flat_map(|check| check(host)).collect()
}
