//! Reads and changes PAM configuration, and evaluates it as libpam does (pam.conf(5)).
//!
//! ```text
//!  /etc/pam.d/sudo ─▶ line    one line: type, control, module, arguments
//!                  ─▶ stack   the lines of one type, with what they include, in libpam's order
//!                  ─▶ dispatch  whether the stack succeeds for given answers of its modules
//! ```
//!
//! `totpd pam` changes the files:
//!
//! ```text
//!  plan    the block for a service ─▶ proof   all answers of all modules, by dispatch
//!  sshd    its drop-in             ─▶ trial   test logins by the real libpam in a mount namespace
//!  undo    restores every file, by what is stored before the first edit
//! ```
//!
//! Nothing here loads a module, and only `undo` changes files.

pub mod anchor;
mod authenticators;
pub mod block;
pub mod dispatch;
pub mod line;
pub mod locker;
pub mod no_logins;
pub(crate) mod one_field;
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

/// The file name of totpd's module.
pub const MODULE: &str = "pam_totp.so";
