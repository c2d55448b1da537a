//! Logins by code: what the module returns, real sshd and sudo, replay, locks and clocks.

mod automation;
mod broken_servers;
mod clock;
mod directory;
mod lockout;
mod pam_results;
mod races;
mod repeated_prompts;
mod robots;
mod sshd;
mod sudo;
mod typed_codes;
mod unavailable;
