//! The routes below `/v1/`: authentication, limits, bodies, and one file a resource.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod client_limits;
pub(crate) mod error;
pub(crate) mod router;
pub(crate) mod sessions;
pub(crate) mod totps;
pub(crate) mod user_search;
pub(crate) mod user_view;
pub(crate) mod users;
