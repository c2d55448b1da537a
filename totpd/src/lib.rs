//! The daemon and the command line of totpd.
//!
//! ```text
//! sockets ─▶ varlink::connection ─▶ varlink::login ─┐            ┌─▶ totp_core::judge (decides)
//!            peers, limits          varlink::admin ─┼─▶ engine ──┼─▶ store (durable, then…)
//! HTTP ────▶ http::server ────────▶ http::v1 ───────┘            └─▶ audit, and the reply
//! ```
//!
//! `daemon` runs all of this. `breakglass` answers logins without a daemon, `cli` talks to a
//! running daemon over the same sockets, and `init` makes the key and the store.
#![forbid(unsafe_code)]

pub mod audit;
mod authority;
pub mod backup;
pub mod breakglass;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod engine;
mod exact_sleep;
pub mod fair_queue;
pub mod file_identity;
pub mod folder;
mod hardening;
mod http;
pub mod import;
pub mod init;
pub mod key;
pub mod last_run;
mod local_time;
pub mod logging;
pub mod os_random;
pub mod pam_config;
pub mod permission;
pub mod qr;
pub mod seal;
mod sockets;
mod state;
pub mod store;
mod sync;
pub mod units;
pub mod user_directory;
pub mod user_locks;
mod varlink;
pub mod witness;

pub use cli::main;

/// The private functions that fuzz targets call.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::http::read_bodies;
}
