//! `org.varlink.service`: which interfaces a socket offers, and their descriptions.

use crate::varlink::reply::{Bytes, done, failed, read};
use totp_wire::{login, service};

/// The socket that a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// `root.sock`, mode 0600: `org.totpd.Login`, for root's programs alone.
    Root,
    /// `login.sock`, mode 0666: `org.totpd.Login`, `org.totpd.Self`, and `org.totpd.Admin` for members of
    /// `admin_group`.
    Login,
    /// `admin.sock`, mode 0600: `org.totpd.Admin`, for root.
    Admin,
}

const LOGIN: (&str, &str) = (login::INTERFACE, login::DESCRIPTION);
const SELF: (&str, &str) = (totp_wire::self_service::INTERFACE, totp_wire::self_service::DESCRIPTION);
const ADMIN: (&str, &str) = (totp_wire::admin::INTERFACE, totp_wire::admin::DESCRIPTION);

impl SocketKind {
    /// The interfaces of the socket and their texts.
    const fn interfaces(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Root => &[LOGIN],
            Self::Login => &[LOGIN, SELF, ADMIN],
            Self::Admin => &[ADMIN],
        }
    }
}

/// Answers one call of `org.varlink.service`.
pub(crate) fn call(kind: SocketKind, method: &str, parameters: &[u8]) -> Bytes {
    let names = || kind.interfaces().iter().map(|(name, _)| (*name).to_owned());
    match method {
        "GetInfo" => done(&service::Info {
            vendor: "totpd".to_owned(),
            product: "totpd".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: env!("CARGO_PKG_REPOSITORY").to_owned(),
            interfaces: std::iter::once(service::INTERFACE.to_owned()).chain(names()).collect(),
        }),
        "GetInterfaceDescription" => match read::<service::GetInterfaceDescription>(parameters) {
            Err(reply) => reply,
            Ok(call) if call.interface == service::INTERFACE => describe(service::DESCRIPTION),
            Ok(call) => match kind.interfaces().iter().find(|(name, _)| *name == call.interface) {
                Some((_, description)) => describe(description),
                None => failed(service::INTERFACE_NOT_FOUND, "interface", &call.interface),
            },
        },
        _ => failed(service::METHOD_NOT_FOUND, "method", method),
    }
}

fn describe(text: &str) -> Bytes {
    done(&service::Description { description: text.to_owned() })
}
