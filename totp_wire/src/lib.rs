//! The wire between totpd, its PAM module and its command line: [Varlink](https://varlink.org), one
//! JSON object per message, ended by a NUL byte, over a Unix socket.
//!
//! - `interfaces/*.varlink` are the contract; [`login`], [`self_service`], [`admin`] and
//!   [`service`] are its Rust types, and a test compares the two with a parser that is not ours.
//! - [`frame`] cuts bytes into messages with a bound; the daemon and the client share it.
//! - [`client`] is the blocking client of the module and the command line; [`trust`] is how it
//!   knows the server, [`budget`] how it keeps its time, [`pam_args`] what its PAM line says.
//!
//! The crate is loaded into sshd and sudo: no thread, no global state, no environment variable.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod admin;
pub mod budget;
pub mod client;
pub mod frame;
pub mod input_filter;
pub mod login;
pub mod message;
pub mod pam_args;
pub mod process;
pub mod self_service;
pub mod service;
pub mod text;
pub mod trust;

pub use budget::Budget;
pub use client::{CallError, Client};
pub use message::Method;
pub use text::SecretText;
pub use trust::Trust;
