//! Holes that an attack on policy, remembering, enrolling, self-service and break-glass found before they were
//! released: what holds now.

mod breakglass;
pub(crate) mod directory;
mod hostile_store;
mod links;
mod login;
mod own;

use site::Site;
use site::pamhost::PamHost;
use site::run::run;

/// sshd has verified a key.
const PROOF: &[&str] = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=publickey"];

fn service(site: &Site) {
    site.service("x", &format!("auth required {}\n", site.pam_line("nodelay timeout=5")));
}

fn login(site: &Site, user: &str, typed: &str) -> i32 {
    PamHost::new(site, "x", user).authenticate(&format!("{typed}\n"))
}

fn as_alice(site: &Site, arguments: &[&str], input: &str) -> site::Finished {
    let mut command = site.command_as("alice", site::setup::target().join("debug/totpd"));
    command.arg("--config").arg(site.path("etc/totpd/totpd.toml")).args(arguments);
    run(command, input)
}
