//! The configuration: checks of it, and the last good one.

mod check;
mod last_good;
