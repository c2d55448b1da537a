//! The helpdesk: what lets in a user without their phone, and who may do it.

mod passcode;
mod roles;

use totpd_e2e::Site;

/// Makes a passcode for `user` with these further arguments, as root.
#[track_caller]
fn passcode(site: &Site, user: &str, more: &[&str]) -> String {
    let arguments = [&["passcode", user, "--json"], more].concat();
    let document = site.totpd(&arguments).assert_success().json();
    document["passcode"].as_str().unwrap().to_owned()
}
