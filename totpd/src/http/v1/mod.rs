//! The routes below `/v1/`, and those for monitors: authentication, limits, bodies, and one file
//! for each kind of resource.

pub(crate) mod auth;
mod base_url;
pub(crate) mod body;
pub(crate) mod client_limits;
mod contact_fields;
pub(crate) mod error;
mod error_pages;
mod error_types;
pub(crate) mod health;
mod openapi;
mod rate_limit;
mod readiness;
mod refusal;
pub(crate) mod request_id;
pub(crate) mod router;
mod session_args;
mod session_view;
pub(crate) mod sessions;
pub(crate) mod totp_authentication;
pub(crate) mod totps;
pub(crate) mod user_contacts;
pub(crate) mod user_search;
mod user_view;
pub(crate) mod users;
