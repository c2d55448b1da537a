//! The HTTP API: it shares factors, locks and history with logins, and refuses what it does not
//! support.

mod consistency;
mod credentials;
mod documented_programs;
mod fairness;
mod fixture;
mod generated_clients;
mod health;
mod http2;
mod invalid_bodies;
mod messages;
mod openapi;
mod outages;
mod paths;
mod rate_limit;
mod sdk;
mod session_tokens;
mod sessions;
mod signing_keys;
mod size_limits;
mod slow_clients;
mod socket_activation;
mod tls;
mod unsupported;
mod values;
mod wiped_secrets;
