//! The HTTP API: one truth with logins, and what it refuses.

mod bad;
mod certificate;
mod credentials;
mod documents;
mod down;
mod fixture;
mod handed;
mod http2;
mod keys;
mod openapi;
mod paths;
mod sdk;
mod sessions;
mod share;
mod size;
mod slow;
mod tokens;
mod truth;
mod unsupported;
mod values;
mod wiped;
