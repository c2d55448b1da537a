//! Names of authenticators as calls say them.

use totp_core::authenticator::{AuthenticatorName, Placement};

/// The name of an authenticator, if a call says one.
///
/// # Errors
/// What a name is, for the caller.
pub(crate) fn authenticator_name(name: Option<&str>) -> Result<Option<AuthenticatorName>, String> {
    let Some(name) = name else { return Ok(None) };
    AuthenticatorName::parse(name).map(Some).ok_or_else(|| {
        "the name of an authenticator has 1 to 32 characters: letters, digits, spaces and -_.'()+#/"
            .to_owned()
    })
}

/// What a new factor is to the authenticators that the user has.
///
/// # Errors
/// What is missing or wrong, for the caller.
pub(crate) fn placement(name: Option<&str>, add: Option<bool>) -> Result<Placement, String> {
    match (authenticator_name(name)?, add == Some(true)) {
        (Some(name), true) => Ok(Placement::Add(name)),
        (None, true) => Err("a further authenticator needs a name: --add --name NAME".to_owned()),
        (name, false) => Ok(Placement::Replace(name)),
    }
}
