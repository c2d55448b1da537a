//! Self-service: how users change their own factor, and what malware that runs as them cannot do.

mod changes;
mod delay;
mod malware;
