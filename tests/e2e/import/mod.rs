//! Factors that come from elsewhere: hardware tokens, pam_google_authenticator, pam_oath.

mod given;
mod google_authenticator;
mod hostile;
mod lists;
mod pam_oath;
mod pskc;

use std::os::unix::fs::PermissionsExt;
use totpd_e2e::Site;
use totpd_e2e::phone::Phone;

/// Writes a file into the home of a user, who owns it.
fn write_home(site: &Site, user: &str, name: &str, content: &str) {
    let path = site.path("home").join(user).join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let uid = totpd_e2e::users::uid_of(user).unwrap();
    nix::unistd::chown(&path, Some(uid.into()), Some(uid.into())).unwrap();
}

/// Whether `totpd verify` accepts a code now.
fn accepts(site: &Site, user: &str, code: &str) -> bool {
    site.totpd_with(&["verify", user], code).code == 0
}

/// The reason of the latest refusal of the user.
fn reason(site: &Site, user: &str) -> String {
    let history = site.totpd(&["history", user, "--json"]).assert_success().json();
    let events = history["events"].as_array().unwrap();
    events.iter().find_map(|event| event["reason"].as_str()).unwrap_or_default().to_owned()
}

/// A file of pam_google_authenticator with this key.
fn google_file(key: &str) -> String {
    format!("{key}\n\" RATE_LIMIT 3 30\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n12345678\n")
}

/// Two steps later no code counts as used any more.
fn wait_out(site: &Site) {
    site.next_step();
    site.next_step();
}

const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn phone() -> Phone {
    Phone::with_key(KEY)
}
