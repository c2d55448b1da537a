//! PAM configuration as libpam reads it (pam.conf(5)): lines, includes, and what a stack answers.
//!
//! ```text
//!  /etc/pam.d/sudo ─▶ line    one line: type, control, module, arguments
//!                  ─▶ stack   the lines of one type, with what they include, in libpam's order
//!                  ─▶ dispatch  what the stack answers when each module answers this or that
//! ```
//!
//! `totpd pam` changes it:
//!
//! ```text
//!  plan    the block for a service ─▶ proof   all answers of all modules, by dispatch
//!  sshd    its drop-in             ─▶ trial   what the real libpam is asked in a mount namespace
//!  undo    what is written down before the first edit, and takes every file back
//! ```
//!
//! Nothing here loads a module; `undo` alone changes files.

pub mod block;
pub mod dispatch;
pub mod line;
pub mod locker;
pub mod plan;
pub mod proof;
pub mod sshd;
pub mod stack;
pub mod trial;
pub mod undo;

pub use block::Mode;
pub use dispatch::{Answer, dispatch, dispatch_numbered};
pub use line::{Action, Control, Facility, Line, parse};
pub use stack::{ConfigDirs, Entry, Stack, Trouble};
pub use totp_core::policy::siblings;

/// The file name of our module.
pub const MODULE: &str = "pam_totp.so";
