//! `org.varlink.service`: the interface by which every Varlink service describes itself.

use crate::message::Method;
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "org.varlink.service";
/// The interface description, in the Varlink language.
pub const DESCRIPTION: &str = include_str!("../interfaces/org.varlink.service.varlink");
/// Error: the service has no such interface.
pub const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
/// Error: the interface has no such method.
pub const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
/// Error: a parameter is missing or has the wrong type or value.
pub const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
/// Error: the caller has no permission for the method.
pub const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";

/// `GetInfo`: asks for a description of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInfo {}

/// The reply to [`GetInfo`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Who makes the program.
    pub vendor: String,
    /// The name of the program.
    pub product: String,
    /// The version of the program.
    pub version: String,
    /// The address of its documentation.
    pub url: String,
    /// The names of the interfaces on this socket.
    pub interfaces: Vec<String>,
}

/// `GetInterfaceDescription`: asks for the description of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInterfaceDescription {
    /// The name of the interface.
    pub interface: String,
}

/// The reply to [`GetInterfaceDescription`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The description, in the Varlink language.
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
