//! Unix sockets: made here (`listener`), or handed over by systemd (`activation`).

pub(crate) mod activation;
pub(crate) mod listener;
