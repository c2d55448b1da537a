//! User directories behind NSS, for one site: a module that the test writes in C, and a daemon that
//! uses it.

use crate::Site;
use std::process::Command;

/// Compiles the module `libnss_NAME.so.2`, and puts `nsswitch.conf` into the site.
#[track_caller]
pub fn install(site: &Site, name: &str, source: &str, switch: &str) {
    site.write(&format!("{name}.c"), source);
    let (library, source) = (site.path(&format!("libnss_{name}.so.2")), site.path(&format!("{name}.c")));
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
    assert!(built.unwrap().success());
    site.write("etc/nsswitch.conf", switch);
    let switch = site.path("etc/nsswitch.conf").display().to_string();
    site.run("mount", &["--bind", &switch, "/etc/nsswitch.conf"]).assert_success();
}

/// Starts a daemon that looks users up in the installed module.
#[track_caller]
pub fn start(site: &Site) {
    let mut daemon = site.totpd_command();
    daemon.env("LD_LIBRARY_PATH", &site.root).arg("serve");
    site.start_as(daemon);
}

/// Installs a directory whose every lookup hangs for 40 seconds and then fails.
#[track_caller]
pub fn install_hanging(site: &Site) {
    let source = r"
#include <nss.h>
#include <pwd.h>
#include <grp.h>
#include <unistd.h>
enum nss_status _nss_hang_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **gs, long m, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_getgrnam_r(const char *n, struct group *g, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
";
    install(site, "hang", source, "passwd: files hang\ngroup: files hang\nshadow: files\n");
}
