//! End-to-end tests against the real programs. Each makes a site of its own (see `../src/lib.rs`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod api;
mod attack;
mod automation;
mod backup;
mod breakglass;
mod cli;
mod clock;
mod crowd;
mod deadline;
mod disk;
mod enrolling;
mod fail2ban;
mod flood;
mod history;
mod hosts;
mod kill;
mod local_users;
mod memory;
mod own;
mod pam_servers;
mod pam_table;
mod peers;
mod policy;
mod qr;
mod races;
mod remember;
mod rollout;
mod self_service;
mod serve;
mod sshd;
mod sudo;
mod unknown_names;
mod unread_log;
mod varlink;
mod witness;
