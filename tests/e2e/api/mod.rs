//! The HTTP API: one truth with logins, and what it refuses.

mod sessions;
mod truth;
