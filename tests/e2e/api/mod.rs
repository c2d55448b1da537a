//! The HTTP API: one truth with logins, and what it refuses.

mod documents;
mod handed;
mod keys;
mod sdk;
mod sessions;
mod truth;
