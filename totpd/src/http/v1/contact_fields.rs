//! Fields of requests that hold a mail address or a phone number.

use crate::http::v1::error::ApiError;
use totp_core::contact::{MailAddress, PhoneNumber};

/// Reads a mail address.
pub(super) fn email(text: &str) -> Result<MailAddress, ApiError> {
    MailAddress::parse(text).map_err(|_| {
        let message = "Email format is invalid: it is name@domain in ASCII, without a display name, quotes or comments.";
        ApiError::invalid("invalid_email", message)
    })
}

/// Reads a phone number.
pub(super) fn phone_number(text: &str) -> Result<PhoneNumber, ApiError> {
    PhoneNumber::parse(text).map_err(|_| {
        let message = "phone_number format is invalid: it is '+' and up to 15 digits (E.164).";
        ApiError::invalid("invalid_phone_number", message)
    })
}
