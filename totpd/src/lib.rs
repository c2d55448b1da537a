//! The daemon and the command line of totpd.
//!
//! ```text
//! Unix sockets ─▶ varlink ─┬─▶ login ─▶ authority ─┐          ┌─▶ totp_core::judge (decides)
//!                          └─▶ admin, self_service ─┼▶ engine ─┼─▶ store (durable, then…)
//! HTTP ─────────▶ http ────────────────────────────┘          └─▶ audit (one event), and the reply
//! ```
//!
//! `breakglass` answers logins when there is no daemon; `cli` speaks to a running daemon over the
//! same sockets; `init` makes the key and the store.
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
pub mod fair_queue;
pub mod file_identity;
pub mod folder;
mod hardening;
mod http;
pub mod init;
pub mod key;
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

/// What the fuzz targets reach of the private parts.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::http::read_bodies;
}
