//! Unix sockets: bound here (`listener`), or inherited from systemd (`activation`).

pub(crate) mod activation;
pub(crate) mod listener;
