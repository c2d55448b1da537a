//! `org.varlink.service`: what every Varlink service answers about itself.

use crate::message::Method;
use serde::{Deserialize, Serialize};

/// The interface's name.
pub const INTERFACE: &str = "org.varlink.service";
/// The interface's text.
pub const DESCRIPTION: &str = include_str!("../interfaces/org.varlink.service.varlink");
/// Error: no such interface here.
pub const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
/// Error: no such method in the interface.
pub const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
/// Error: a parameter is missing or of the wrong kind.
pub const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
/// Error: the peer may not do this.
pub const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";

/// Asks who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInfo {}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Where to read about it.
    pub url: String,
    /// The interfaces of this socket.
    pub interfaces: Vec<String>,
}

/// Asks for the text of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInterfaceDescription {
    /// Its name.
    pub interface: String,
}

/// The text of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The text.
    pub description: String,
}

impl Method for GetInfo {
    const NAME: &'static str = "org.varlink.service.GetInfo";
    type Reply = Info;
}

impl Method for GetInterfaceDescription {
    const NAME: &'static str = "org.varlink.service.GetInterfaceDescription";
    type Reply = Description;
}
