//! The library of the end-to-end tests (`e2e/`): a site for each test with its users, PAM services,
//! log, sshd and daemon, in a mount namespace. Nothing on the host is changed. The tests need root,
//! which `make test` sees to.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

pub mod activation;
pub mod api;
pub mod booted;
pub mod breakglass;
mod daemon;
pub mod database;
pub mod directory;
pub mod fail2ban;
pub mod faults;
pub mod fleet;
mod log;
pub mod logins;
mod namespace;
pub mod network;
pub mod pamhost;
pub mod paths;
pub mod peer;
pub mod phone;
pub mod polkit;
pub mod qr;
pub mod run;
pub mod shell;
mod site;
pub mod ssh;
mod store;
pub mod trixie;
pub mod unit;
pub mod users;
pub mod xrdp;

pub use activation::Activation;
pub use api::Api;
pub use booted::{Booted, Release};
pub use breakglass::BreakGlass;
pub use faults::Faults;
pub use fleet::Fleet;
pub use phone::Phone;
pub use run::{Finished, Running};
pub use shell::Shell;
pub use site::Site;
pub use trixie::Trixie;

/// Returns `long` in `make test-long`, and `short` otherwise.
pub fn short_or_long<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// Returns whether `make test-long` runs the tests in their long form.
#[expect(clippy::disallowed_methods, reason = "only the environment reaches a test")]
pub fn is_long() -> bool {
    std::env::var_os("TOTPD_LONG").is_some()
}

/// Returns whether every site has its store on PostgreSQL: `TOTPD_STORE=postgresql`.
#[expect(clippy::disallowed_methods, reason = "only the environment reaches a test")]
pub fn is_on_postgresql() -> bool {
    match std::env::var("TOTPD_STORE").as_deref() {
        Ok("postgresql") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("TOTPD_STORE is sqlite or postgresql, and not {other}"),
    }
}
