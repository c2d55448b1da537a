//! A site of its own for each test: users, PAM services, a log, sshd and a daemon in a mount namespace.
//! Nothing on the host is changed. Needs root (`make test` sees to it).
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

pub mod api;
pub mod booted;
pub mod directory;
pub mod faults;
pub mod log;
pub mod logins;
pub mod network;
pub mod pamhost;
pub mod peer;
pub mod phone;
pub mod polkit;
pub mod qr;
pub mod run;
pub mod setup;
pub mod shell;
pub mod ssh;
pub mod trixie;
pub mod unit;
pub mod xrdp;

/// Whether the long form of a test was asked for: `make test-long`.
#[expect(clippy::disallowed_methods, reason = "a test run is told so by its environment")]
pub fn is_long() -> bool {
    std::env::var_os("TOTPD_LONG").is_some()
}

pub use api::Api;
pub use booted::{Booted, Release};
pub use faults::Faults;
pub use phone::Phone;
pub use run::{Finished, Running};
pub use setup::Site;
pub use shell::Shell;
pub use trixie::Trixie;
