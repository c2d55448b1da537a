//! The authentication methods that succeeded in sshd before PAM was asked: the lines of
//! `SSH_AUTH_INFO_0` (sshd_config(5), ExposeAuthInfo; `auth2_update_session_info` in auth2.c), each
//! of the form `method[/submethod] [key-type base64]`.

use core::fmt;
use core::str::FromStr;
use data_encoding::{BASE64, BASE64_NOPAD};
use hmac::digest::Digest;

/// One authentication method that succeeded in sshd.
///
/// ```
/// use totp_core::policy::SshAuth;
/// let auth = SshAuth::parse("keyboard-interactive/pam");
/// assert_eq!(auth.method, "keyboard-interactive");
/// assert!(!auth.is_first_factor(), "it may have been this module");
/// assert!(SshAuth::parse("publickey ssh-ed25519 QUFBQQ==").is_first_factor());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshAuth {
    /// `publickey`, `password`, `keyboard-interactive`, `hostbased`, `gssapi-with-mic`, …
    pub method: String,
    /// The type of the user's key, if there is one: `ssh-ed25519`, `sk-ssh-ed25519@openssh.com`, …
    pub key_type: Option<String>,
    /// The fingerprint of the key or certificate, `SHA256:…`, as ssh-keygen(1) prints it.
    pub fingerprint: Option<String>,
}

impl SshAuth {
    /// Reads a line. A line that was cut short yields the method without a key.
    pub fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let method = method.split('/').next().unwrap_or_default().to_owned();
        let key_type = words.next().filter(|word| !word.is_empty()).map(str::to_owned);
        // After `hostbased` comes the key of the client's host, which all its users share.
        let blob = words
            .next()
            .filter(|_| method == "publickey")
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let fingerprint = blob
            .filter(|blob| !blob.is_empty())
            .map(|blob| format!("SHA256:{}", BASE64_NOPAD.encode(&sha2::Sha256::digest(&blob))));
        // A key type without the key proves nothing.
        let key_type = key_type.filter(|_| fingerprint.is_some());
        Self { method, key_type, fingerprint }
    }

    /// Returns whether the method is a first factor. `none` is not a factor, and
    /// `keyboard-interactive` may have been this module.
    pub fn is_first_factor(&self) -> bool {
        matches!(
            self.method.as_str(),
            "publickey" | "password" | "hostbased" | "gssapi-with-mic" | "gssapi-keyex"
        )
    }
}

/// A condition of a rule on the SSH methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshMatch {
    /// A method by name: `password`, `publickey` (with any key), …
    Method(String),
    /// `publickey:hardware`: a key in a FIDO security key (`sk-…`).
    Hardware,
    /// `publickey:certificate`: a key with an OpenSSH certificate.
    Certificate,
}

/// The methods that a rule can name.
const METHODS: [&str; 6] =
    ["publickey", "password", "hostbased", "gssapi-with-mic", "gssapi-keyex", "keyboard-interactive"];

/// The text is not the name of an SSH method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSshMethod;

impl fmt::Display for InvalidSshMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a method is publickey:hardware, publickey:certificate, {}", METHODS.join(", "))
    }
}

impl core::error::Error for InvalidSshMethod {}

impl SshMatch {
    /// Returns whether one of `methods` meets the condition.
    pub fn matches_any(&self, methods: &[SshAuth]) -> bool {
        let of_type = |wanted: fn(&str) -> bool| {
            methods.iter().any(|m| m.method == "publickey" && m.key_type.as_deref().is_some_and(wanted))
        };
        match self {
            Self::Method(name) => methods.iter().any(|m| m.method == *name),
            Self::Hardware => of_type(|t| t.starts_with("sk-")),
            Self::Certificate => of_type(|t| t.contains("-cert-v0")),
        }
    }

    /// Returns whether this condition is met whenever `other` is.
    pub fn covers(&self, other: &Self) -> bool {
        self == other
            || matches!(self, Self::Method(name) if name == "publickey") && !matches!(other, Self::Method(_))
    }
}

impl FromStr for SshMatch {
    type Err = InvalidSshMethod;

    fn from_str(text: &str) -> Result<Self, InvalidSshMethod> {
        match text {
            "publickey:hardware" => Ok(Self::Hardware),
            "publickey:certificate" => Ok(Self::Certificate),
            name if METHODS.contains(&name) => Ok(Self::Method(name.to_owned())),
            _ => Err(InvalidSshMethod),
        }
    }
}

impl fmt::Display for SshMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method(name) => name,
            Self::Hardware => "publickey:hardware",
            Self::Certificate => "publickey:certificate",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real ed25519 public key.
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIE11jLspEOG69z31y9y3F3QZrJGc9oXb9gT3bNwn9Rle";

    #[test]
    fn hardware_keys_and_certificates_are_known_by_their_type() {
        let is = |wanted: &str, line: &str| {
            wanted.parse::<SshMatch>().unwrap().matches_any(&[SshAuth::parse(line)])
        };
        let plain = format!("publickey ssh-ed25519 {KEY}");
        assert!(is("publickey", &plain));
        assert!(!is("publickey:hardware", &plain) && !is("publickey:certificate", &plain));
        let token = format!("publickey sk-ssh-ed25519@openssh.com {KEY}");
        assert!(is("publickey:hardware", &token) && !is("publickey:certificate", &token));
        let signed = format!("publickey sk-ecdsa-sha2-nistp256-cert-v01@openssh.com {KEY}");
        assert!(is("publickey:hardware", &signed) && is("publickey:certificate", &signed));
        assert!(is("keyboard-interactive", "keyboard-interactive/pam"));
        assert!(is("password", "password") && !is("publickey", "password"));
    }

    #[test]
    fn a_key_type_without_its_key_proves_nothing() {
        for line in
            ["publickey", "publickey sk-ssh-ed25519@openssh.com", "publickey sk-x !", "publickey sk-x "]
        {
            let auth = SshAuth::parse(line);
            assert_eq!((auth.key_type, auth.fingerprint), (None, None), "{line}");
            assert_eq!(auth.method, "publickey");
        }
        let auth = SshAuth::parse(&format!("publickey ssh-ed25519 {KEY}"));
        assert!(auth.fingerprint.is_some_and(|f| f.starts_with("SHA256:") && f.len() == 50));
    }

    #[test]
    fn keyboard_interactive_and_none_are_not_first_factors() {
        for (line, proves) in [
            ("publickey", true),
            ("password", true),
            ("gssapi-with-mic", true),
            ("keyboard-interactive/pam", false),
            ("none", false),
            ("", false),
            ("publickeys", false),
        ] {
            assert_eq!(SshAuth::parse(line).is_first_factor(), proves, "{line}");
        }
    }
}
