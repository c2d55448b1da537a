//! The HTTP API: one truth with logins, and what it refuses.

mod sdk;
mod truth;
