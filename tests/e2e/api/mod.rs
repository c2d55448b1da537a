//! The HTTP API: one truth with logins, and what it refuses.

mod bad;
mod certificate;
mod credentials;
mod down;
mod paths;
mod size;
mod slow;
mod tokens;
mod truth;
mod values;
mod world;
