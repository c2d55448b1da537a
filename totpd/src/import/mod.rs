//! Factors of other tools. Each format is a file here that reads text and does no I/O;
//! [`home_file`] reads a file in a home as its owner.
//!
//! ```text
//! file, as its owner ─▶ a format's parser ─▶ Entry ─▶ org.totpd.Admin.Import, one user each
//! ```

pub mod csv;
pub mod entry;
pub mod google_authenticator;
pub mod home_file;
pub mod otpauth;
pub mod pam_oath;
pub mod pskc;
pub mod secret_text;
