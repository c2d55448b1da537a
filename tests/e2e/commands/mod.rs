//! The `totpd` commands that administrators and scripts run.

mod cli;
mod status;
mod tables;
