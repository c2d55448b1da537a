//! The daemon: its start and stop, its peers, its conversations and deadlines.

mod concurrency;
mod conversations;
mod deadline;
mod kill;
mod lifecycle;
mod peers;
mod varlink;
