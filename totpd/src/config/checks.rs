//! Checks of single values, from the file, the command line or the wire.

use totp_core::new_factor::MAX_PENDING_LIFETIME;
use totp_core::{Digits, Params, Period};

/// Checks algorithm, digits and period from a file, the command line or the wire.
///
/// # Errors
/// What is allowed.
pub fn params(
    algorithm: Option<&str>,
    digits: Option<u8>,
    period: Option<u64>,
    defaults: Params,
) -> Result<Params, String> {
    Ok(Params {
        algorithm: algorithm.map_or(Ok(defaults.algorithm), str::parse).map_err(|e| e.to_string())?,
        digits: digits.map_or(Ok(defaults.digits), Digits::try_from).map_err(|e| e.to_string())?,
        period: period.map_or(Ok(defaults.period), Period::try_from).map_err(|e| e.to_string())?,
    })
}

/// Checks the lifetime of a pending enrollment, in seconds: 1 s to 30 days.
///
/// # Errors
/// What is allowed.
pub fn lifetime(seconds: u64) -> Result<u64, String> {
    if (1..=MAX_PENDING_LIFETIME).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("an enrollment may wait 1s to 30d for its first code".to_owned())
    }
}

/// Checks an issuer: 1 to 64 bytes, no colon (apps end the issuer there), no control character.
///
/// # Errors
/// What is allowed.
pub fn checked_issuer(issuer: &str) -> Result<String, String> {
    if issuer.is_empty() || issuer.len() > 64 || issuer.chars().any(|c| c == ':' || c.is_control()) {
        return Err("an issuer has 1 to 64 bytes and neither ':' nor control characters".to_owned());
    }
    Ok(issuer.to_owned())
}
