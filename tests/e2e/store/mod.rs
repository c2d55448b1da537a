//! The store: damage, full disks, backups, and copies of an older state.

mod backup;
mod disk;
mod hostile_restore;
mod integrity;
mod links;
mod witness;
