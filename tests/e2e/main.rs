//! End-to-end tests against the real programs. Each makes its own site (see `../src/lib.rs`).
//!
//! A folder is one behaviour, which the first line of its `mod.rs` names; a test's name says what
//! holds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod api;
mod breakglass;
mod commands;
mod configuration;
mod daemon;
mod doctor;
mod enrollment;
mod fleet;
mod helpdesk;
mod hosts;
mod import;
mod installation;
mod local_users;
mod login;
mod observability;
mod pam_enable;
mod policy;
mod self_service;
mod store;
