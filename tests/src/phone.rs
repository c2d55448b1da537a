//! A phone: `oathtool`, which is not ours, computes the codes.

use crate::Site;
use std::process::Command;

/// An enrolled phone, and what its owner wrote down.
#[derive(Clone, Debug)]
pub struct Phone {
    /// The secret in base32.
    pub secret: String,
    /// The recovery codes.
    pub recovery_codes: Vec<String>,
    /// The otpauth URI.
    pub uri: String,
}

impl Phone {
    /// From what `totpd enroll --json` printed.
    pub fn from(document: &serde_json::Value) -> Self {
        let text = |key: &str| document[key].as_str().unwrap().to_owned();
        let codes = document["recovery_codes"].as_array().unwrap();
        Self {
            secret: text("secret"),
            uri: text("uri"),
            recovery_codes: codes.iter().map(|c| c.as_str().unwrap().to_owned()).collect(),
        }
    }

    /// The code it shows at a moment.
    pub fn code_at(&self, unix: i64) -> String {
        let output = Command::new("oathtool")
            .args(["--totp", "-b", "-N", &format!("@{unix}"), &self.secret])
            .output()
            .expect("oathtool is installed by scripts/bootstrap.sh");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The code it shows now by the site's clock.
    pub fn code(&self, site: &Site) -> String {
        self.code_at(site.now())
    }

    /// A code that is wrong for every step near now.
    pub fn wrong_code(&self, site: &Site) -> String {
        let near: Vec<String> = (-2..=2).map(|n| self.code_at(site.now() + 30 * n)).collect();
        (0..10).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }
}
