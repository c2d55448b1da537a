//! PAM configuration as libpam reads it (pam.conf(5)): lines, includes, and what a stack answers.
//!
//! ```text
//!  /etc/pam.d/sudo ─▶ line    one line: type, control, module, arguments
//!                  ─▶ stack   the lines of one type, with what they include, in libpam's order
//!                  ─▶ dispatch  what the stack answers when each module answers this or that
//! ```
//!
//! Nothing here changes a file, and nothing loads a module.

pub mod dispatch;
pub mod line;

pub mod stack;

pub use dispatch::{Answer, dispatch};
pub use line::{Action, Control, Facility, Line, parse};
pub use stack::{ConfigDirs, Entry, Stack, Trouble};
pub use totp_core::policy::siblings;

/// The file name of our module.
pub const MODULE: &str = "pam_totp.so";
