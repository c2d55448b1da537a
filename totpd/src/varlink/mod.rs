//! The Varlink front end: the sockets of logins, of users and of administrators.
//!
//! ```text
//! acceptor ─▶ dispatch (methods) ─┬─▶ login ─▶ authority ─▶ engine
//!               │                 └─▶ admin | self_service ─▶ engine
//!               └─▶ connection (bytes)
//! ```

pub(crate) mod acceptor;
mod account_error;
pub(crate) mod admin;
pub(crate) mod cancellation;
pub(crate) mod connection;
pub(crate) mod connection_limits;
pub(crate) mod dispatch;
mod grace_time;
pub(crate) mod introspection;
pub(crate) mod login;
pub(crate) mod peer;
mod placement;
pub(crate) mod prompt_history;
pub(crate) mod rate_limit;
pub(crate) mod reply;
pub(crate) mod self_service;
pub(crate) mod server;
pub(crate) mod views;
