//! What other local users can do: by floods, through setuid programs, and through services that run
//! as root.

mod flood;
mod history;
mod strangers;

use totpd_e2e::Site;
use totpd_e2e::pamhost::PamHost;

/// Writes a PAM service with our module alone under each of these names.
fn services(site: &Site, names: &[&str]) {
    for name in names {
        site.totp_service(name, "nodelay");
    }
}

/// Returns the result of a setuid program that `caller` runs for `user`.
fn run_against(site: &Site, service: &str, caller: &str, user: &str, typed: &str) -> i32 {
    PamHost::new(site, service, user).started_by(caller).answer(typed)
}
