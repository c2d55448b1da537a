//! `totpd enroll`.

use std::path::PathBuf;
use std::time::Duration;

/// An enrollment to make.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Enroll {
    /// The login name [default: oneself]
    pub user: Option<String>,
    /// Make a ticket instead, with which the user can enroll once, or change the factor without a
    /// delay
    #[arg(long, conflicts_with_all = ["issuer", "algorithm", "digits", "period", "qr"])]
    pub ticket: bool,
    /// The user has lost the phone: the ticket needs no code of the factor in use
    #[arg(long, requires = "ticket")]
    pub lost: bool,
    /// The name of the authenticator, such as "work phone": replace this one of several, or with
    /// --add name the new one; with --ticket, the one that it is bound to
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Make a further authenticator beside those in use; a user has three at most
    #[arg(long, requires = "name", conflicts_with = "ticket")]
    pub add: bool,
    /// How long the enrollment waits for its first code: 1s to 30d [default: from the
    /// configuration, 24h]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// The name that the app shows [default: from the configuration, the host's name]
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// SHA1, SHA256 or SHA512; only SHA1 works in every app
    #[arg(long)]
    pub algorithm: Option<String>,
    /// Digits of a code: 6, 7 or 8
    #[arg(long)]
    pub digits: Option<u8>,
    /// Seconds of a time step: 15 to 120
    #[arg(long)]
    pub period: Option<u64>,
    /// The form of the QR code: utf8, ascii, png:FILE, svg:FILE or none [default: what the terminal
    /// shows]
    #[arg(long, value_name = "FORM")]
    pub qr: Option<QrForm>,
    /// Take the secret from standard input instead of making one: base32, hex or an otpauth link.
    /// Only `-` is accepted
    #[arg(long, value_name = "-", allow_hyphen_values = true, conflicts_with_all = ["ticket", "qr"])]
    pub secret: Option<SecretSource>,
    /// Accept a secret of 80 to 127 bits too
    #[arg(long, requires = "secret")]
    pub allow_short: bool,
}

/// Where a given secret comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `-`
    StandardInput,
    /// Anything else, which may be the secret and is not kept.
    CommandLine,
}

impl std::str::FromStr for SecretSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::StandardInput } else { Self::CommandLine })
    }
}

/// The form of a QR code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrForm {
    /// On the terminal, in Unicode half blocks.
    Utf8,
    /// On the terminal, two ASCII characters for each module.
    Ascii,
    /// A PNG file.
    Png(PathBuf),
    /// An SVG file.
    Svg(PathBuf),
    /// No QR code.
    None,
}

impl std::str::FromStr for QrForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "utf8" => Ok(Self::Utf8),
            None if text == "ascii" => Ok(Self::Ascii),
            None if text == "none" => Ok(Self::None),
            Some(("png", file)) if !file.is_empty() => Ok(Self::Png(file.into())),
            Some(("svg", file)) if !file.is_empty() => Ok(Self::Svg(file.into())),
            _ => Err("the form is utf8, ascii, png:FILE, svg:FILE or none".to_owned()),
        }
    }
}
