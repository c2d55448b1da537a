//! The HTTP API: one truth with logins, and what it refuses.

mod bad;
mod credentials;
mod paths;
mod truth;
mod values;
mod world;
