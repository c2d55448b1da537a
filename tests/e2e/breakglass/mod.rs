//! Break-glass: one user logs in with one code while the daemon cannot serve.

mod failures;
mod responder;
