//! The policy: who is asked for a code, who passes, and whom it only monitors.

mod reload;
mod remember;
mod rollout;
mod rules;
