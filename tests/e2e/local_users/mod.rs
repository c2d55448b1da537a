//! What other users of the machine can do: by floods, through setuid programs, through services that run as root.

mod flood;
mod history;
mod strangers;

use totpd_e2e::Site;
use totpd_e2e::pamhost::PamHost;

/// A stack of ours alone under each of these names.
fn services(site: &Site, names: &[&str]) {
    for name in names {
        site.totp_service(name, "nodelay");
    }
}

/// The return code of a setuid program that `caller` runs against `user`.
fn run_against(site: &Site, service: &str, caller: &str, user: &str, typed: &str) -> i32 {
    PamHost::new(site, service, user).started_by(caller).answer(typed)
}
