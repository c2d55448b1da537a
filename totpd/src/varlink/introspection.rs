//! `org.varlink.service`: which interfaces a socket offers, and their descriptions.

use crate::varlink::reply::{Bytes, done, failed, read};
use totp_wire::{admin, login, self_service, service};

/// The socket that a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// `root.sock`, mode 0600: `org.totpd.Login`, for root's programs alone.
    Root,
    /// `login.sock`, mode 0666: `org.totpd.Login`, `org.totpd.Self`, and `org.totpd.Admin` for
    /// members of administrators' groups.
    Login,
    /// `admin.sock`, mode 0600: `org.totpd.Admin`, for root.
    Admin,
}

const SERVICE: (&str, &str) = (service::INTERFACE, service::DESCRIPTION);
const LOGIN: (&str, &str) = (login::INTERFACE, login::DESCRIPTION);
const SELF: (&str, &str) = (self_service::INTERFACE, self_service::DESCRIPTION);
const ADMIN: (&str, &str) = (admin::INTERFACE, admin::DESCRIPTION);

impl SocketKind {
    /// The interfaces of the socket and their texts.
    pub(crate) const fn interfaces(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Root => &[SERVICE, LOGIN],
            Self::Login => &[SERVICE, LOGIN, SELF, ADMIN],
            Self::Admin => &[SERVICE, ADMIN],
        }
    }

    /// Whether the socket offers the interface.
    pub(crate) fn offers(self, interface: &str) -> bool {
        self.interfaces().iter().any(|(name, _)| *name == interface)
    }
}

/// `GetInfo`: the version, and the interfaces of the socket.
pub(crate) fn info(kind: SocketKind, _parameters: &[u8]) -> Bytes {
    done(&service::Info {
        vendor: "totpd".to_owned(),
        product: "totpd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: env!("CARGO_PKG_REPOSITORY").to_owned(),
        interfaces: kind.interfaces().iter().map(|(name, _)| (*name).to_owned()).collect(),
    })
}

/// `GetInterfaceDescription`: the text of one interface of the socket.
pub(crate) fn description(kind: SocketKind, parameters: &[u8]) -> Bytes {
    let call = match read::<service::GetInterfaceDescription>(parameters) {
        Ok(call) => call,
        Err(reply) => return reply,
    };
    match kind.interfaces().iter().find(|(name, _)| *name == call.interface) {
        Some((_, text)) => done(&service::Description { description: (*text).to_owned() }),
        None => failed(service::INTERFACE_NOT_FOUND, "interface", &call.interface),
    }
}
