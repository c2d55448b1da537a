//! The module's arguments in a PAM configuration file (pam.conf(5)). The module and `totpd doctor`
//! both parse them here.
//!
//! An unknown or malformed argument makes the module refuse every login, so that a spelling mistake
//! cannot silently change what is checked.

use crate::trust::Trust;
use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

/// The daemon's socket, unless the PAM line names another one.
pub const DEFAULT_SOCKET: &str = "/run/totpd/login.sock";

/// The parsed arguments.
///
/// ```
/// use std::time::Duration;
/// use totp_wire::Trust;
/// use totp_wire::pam_args::Args;
///
/// // auth required pam_totp.so timeout=5 server_uid=990
/// let args = Args::parse(&[c"timeout=5", c"server_uid=990"])?;
/// assert_eq!((args.timeout, args.trust), (Duration::from_secs(5), Trust::Uid(990)));
/// assert_eq!(args.tries, 1, "a default");
///
/// let error = Args::parse(&[c"nullok"]).unwrap_err();
/// assert_eq!(error, "argument \"nullok\" is unknown or malformed");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of the PAM line")]
pub struct Args {
    /// `socket=PATH`: the daemon's socket for all users. The socket for root is in the same folder.
    pub socket: PathBuf,
    /// `timeout=SECONDS`: how long to wait for the daemon in total, 1 to 60 seconds. The time in
    /// which the user types is not counted.
    pub timeout: Duration,
    /// `tries=N`: how many prompts one call may show, 1 to 3.
    pub tries: u8,
    /// `server_uid=N`: the uid that the daemon must run as.
    pub trust: Trust,
    /// `first_factor=passed`: the modules above have verified a first factor.
    pub first_factor: bool,
    /// `use_first_pass`: take the code from what an earlier module has asked for, and never prompt.
    pub use_first_pass: bool,
    /// `try_first_pass`: take the code from there, and prompt if it is not a code.
    pub try_first_pass: bool,
    /// `forward_pass`: the user types password and code in one line, and the next module gets the
    /// password.
    pub forward_pass: bool,
    /// `nodelay`: request no delay after a failure (pam_fail_delay(3)).
    pub nodelay: bool,
    /// `debug`: log every step, but never what the user typed.
    pub debug: bool,
    /// `panic=plain|bomb`: panic, in test builds only.
    #[cfg(feature = "fault_injection")]
    pub panic: Option<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            timeout: Duration::from_secs(10),
            tries: 1,
            trust: Trust::RootOrFolderOwner,
            first_factor: false,
            use_first_pass: false,
            try_first_pass: false,
            forward_pass: false,
            nodelay: false,
            debug: false,
            #[cfg(feature = "fault_injection")]
            panic: None,
        }
    }
}

impl Args {
    /// Parses the arguments of a PAM line.
    ///
    /// # Errors
    /// A message for the log that names the argument.
    pub fn parse(words: &[&CStr]) -> Result<Self, String> {
        let mut args = Self::default();
        for word in words {
            let word = word.to_str().map_err(|_| "an argument is no UTF-8".to_owned())?;
            args.read(word).ok_or_else(|| {
                format!("argument \"{}\" is unknown or malformed", crate::text::printable(word, 100))
            })?;
        }
        if args.use_first_pass && args.try_first_pass {
            return Err("use_first_pass and try_first_pass exclude each other".to_owned());
        }
        Ok(args)
    }

    fn read(&mut self, word: &str) -> Option<()> {
        match word.split_once('=') {
            None => *self.flag(word)? = true,
            Some(("socket", path)) => self.socket = Some(PathBuf::from(path)).filter(|p| p.is_absolute())?,
            Some(("timeout", seconds)) => self.timeout = Duration::from_secs(number(seconds, 1, 60)?),
            Some(("tries", tries)) => self.tries = u8::try_from(number(tries, 1, 3)?).ok()?,
            Some(("server_uid", uid)) => {
                self.trust = Trust::Uid(u32::try_from(number(uid, 0, u64::from(u32::MAX) - 1)?).ok()?);
            }
            Some(("first_factor", "passed")) => self.first_factor = true,
            #[cfg(feature = "fault_injection")]
            Some(("panic", kind)) => self.panic = Some(kind.to_owned()),
            Some(_) => return None,
        }
        Some(())
    }

    fn flag(&mut self, word: &str) -> Option<&mut bool> {
        match word {
            "use_first_pass" => Some(&mut self.use_first_pass),
            "try_first_pass" => Some(&mut self.try_first_pass),
            "forward_pass" => Some(&mut self.forward_pass),
            "nodelay" => Some(&mut self.nodelay),
            "debug" => Some(&mut self.debug),
            _ => None,
        }
    }
}

/// Parses a decimal number from `min` to `max`, without a sign or spaces.
fn number(text: &str, min: u64, max: u64) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| is_plain && (min..=max).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_arguments_are_read() {
        let args = Args::parse(&[
            c"socket=/run/x.sock",
            c"timeout=3",
            c"tries=2",
            c"server_uid=990",
            c"first_factor=passed",
            c"try_first_pass",
            c"forward_pass",
            c"nodelay",
            c"debug",
        ])
        .unwrap();
        assert_eq!((args.timeout, args.tries), (Duration::from_secs(3), 2));
        assert_eq!((args.socket, args.trust), (PathBuf::from("/run/x.sock"), Trust::Uid(990)));
        assert!(args.first_factor && args.try_first_pass && args.forward_pass && args.debug);
        assert_eq!(Args::parse(&[]), Ok(Args::default()));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            c"nullok",
            c"socket=",
            c"socket=relative",
            c"timeout=0",
            c"timeout=61",
            c"timeout=+5",
            c"timeout=",
            c"tries=4",
            c"tries=-1",
            c"server_uid=root",
            c"server_uid=4294967295",
            c"first_factor=yes",
            c"first_factor",
            c"debug=1",
            c"Debug",
            c"\xff",
        ] {
            assert!(Args::parse(&[bad]).is_err(), "{bad:?}");
        }
        assert!(Args::parse(&[c"use_first_pass", c"try_first_pass"]).is_err());
    }
}
