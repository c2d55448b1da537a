//! Holes that an attack on policy, remembering, enrolling, self-service and break-glass found before they were
//! released: what holds now.

mod breakglass;
mod directory;
mod hostile_store;
mod links;
mod login;
mod own;

use site::Site;
use site::pamhost::PamHost;

fn service(site: &Site) {
    site.totp_service("x", "nodelay timeout=5");
}

fn login(site: &Site, user: &str, typed: &str) -> i32 {
    PamHost::new(site, "x", user).answer(typed)
}

fn as_alice(site: &Site, arguments: &[&str], input: &str) -> site::Finished {
    site.totpd_as("alice", arguments, input)
}
