//! End-to-end tests against the real programs. Each makes its own site (see `../src/lib.rs`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

extern crate totpd_e2e as site;

mod api;
mod breakglass;
mod commands;
mod configuration;
mod daemon;
mod doctor;
mod enrollment;
mod hosts;
mod installation;
mod local_users;
mod login;
mod observability;
mod pam_enable;
mod policy;
mod self_service;
mod store;
