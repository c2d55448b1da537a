//! The HTTP API: one truth with logins, and what it refuses.

mod keys;
mod sdk;
mod truth;
