//! A user's phone: `oathtool`, which is not ours, computes the codes.

use crate::Site;
use std::process::Command;

/// An enrolled phone, and the recovery codes that its user wrote down.
#[derive(Clone, Debug)]
pub struct Phone {
    /// The secret in base32.
    pub secret: String,
    /// The recovery codes.
    pub recovery_codes: Vec<String>,
    /// The otpauth URI. Answers of the HTTP API have none.
    pub uri: String,
}

impl Phone {
    /// Reads what `totpd enroll --json` or the HTTP API returned.
    #[track_caller]
    pub fn from(document: &serde_json::Value) -> Self {
        let codes = document["recovery_codes"].as_array().unwrap();
        Self {
            secret: document["secret"].as_str().unwrap().to_owned(),
            uri: document["uri"].as_str().unwrap_or_default().to_owned(),
            recovery_codes: codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// A phone with this key, which may be printed in groups, and without recovery codes.
    pub fn with_key(key: &str) -> Self {
        Self { secret: key.trim().replace(' ', ""), recovery_codes: vec![], uri: String::new() }
    }

    /// Reads the key that an enrollment inside a login has shown. `None` when it showed none.
    pub fn from_shown(text: &str) -> Option<Self> {
        let (_, key) = text.lines().find_map(|line| line.split_once("Or type this key:  "))?;
        Some(Self::with_key(key))
    }

    /// Returns the code that the phone shows at `unix`, in seconds since 1970.
    pub fn code_at(&self, unix: i64) -> String {
        let output = Command::new("oathtool")
            .args(["--totp", "-b", "-N", &format!("@{unix}"), &self.secret])
            .output()
            .expect("oathtool is installed by scripts/bootstrap.sh");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Returns the code that the phone shows at the site's time.
    pub fn code(&self, site: &Site) -> String {
        self.code_at(site.now())
    }

    /// Returns a code that is wrong for every time step near the site's time.
    pub fn wrong_code(&self, site: &Site) -> String {
        let near: Vec<String> = (-2..=2).map(|n| self.code_at(site.now() + 30 * n)).collect();
        (0..10).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

/// Finds the recovery codes in what an enrollment inside a login has shown.
pub fn recovery_codes(shown: &str) -> Vec<String> {
    let is_code = |word: &&str| word.len() == 19 && word.split('-').all(|group| group.len() == 4);
    shown.split_whitespace().filter(is_code).map(str::to_owned).collect()
}
