//! Directories behind NSS, for one site: a module of the test's own in C, and a daemon that finds it.

use crate::Site;
use crate::run::run;
use std::process::Command;

/// Builds the module `libnss_NAME.so.2` and puts `nsswitch.conf` into the site.
#[track_caller]
pub fn put(site: &Site, name: &str, source: &str, switch: &str) {
    site.write(&format!("{name}.c"), source);
    let (library, source) = (site.path(&format!("libnss_{name}.so.2")), site.path(&format!("{name}.c")));
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
    assert!(built.unwrap().success());
    site.write("etc/nsswitch.conf", switch);
    let mut mount = site.command("mount");
    mount.arg("--bind").arg(site.path("etc/nsswitch.conf")).arg("/etc/nsswitch.conf");
    run(mount, "").assert_success();
}

/// Starts a daemon that looks users up there.
pub fn start(site: &Site) {
    let mut daemon = site.totpd_command();
    daemon.env("LD_LIBRARY_PATH", &site.root).arg("serve");
    site.start_as(daemon);
}
