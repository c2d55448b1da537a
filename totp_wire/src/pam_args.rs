//! The arguments of the PAM line, as the module reads them and `totpd doctor` checks them. An
//! unknown or malformed one refuses: a misspelt option must not silently mean something else.

use crate::trust::Trust;
use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon listens unless the line says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/totpd/login.sock";

/// The checked arguments.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the PAM line")]
pub struct Args {
    /// `socket=PATH`, the one for everybody; root's own lies beside it.
    pub socket: PathBuf,
    /// `timeout=SECONDS` of daemon time in all, 1 to 60; waiting for the person is not counted.
    pub timeout: Duration,
    /// `tries=N` prompts in one call, 1 to 3.
    pub tries: u8,
    /// `server_uid=N`
    pub trust: Trust,
    /// `first_factor=passed`
    pub first_factor: bool,
    /// `use_first_pass`: never prompt.
    pub use_first_pass: bool,
    /// `try_first_pass`: prompt when what is there is no code.
    pub try_first_pass: bool,
    /// `forward_pass`: password and code are typed in one line.
    pub forward_pass: bool,
    /// `nodelay`: ask libpam for no delay after a failure, as pam_unix has it.
    pub nodelay: bool,
    /// `debug`: log every step (never what was typed).
    pub debug: bool,
    /// `panic=plain|bomb`, in test builds.
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
    /// Reads the words of a line; the error is the sentence for the log.
    ///
    /// # Errors
    /// The sentence that names the argument.
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

/// A plain decimal number within bounds: no sign, no blank.
fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| plain && (least..=most).contains(n))
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
