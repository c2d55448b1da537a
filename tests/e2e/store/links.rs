//! Symbolic links that the daemon's user could prepare for commands of root.

use nix::sys::signal::Signal;
use std::os::unix::fs::{MetadataExt, symlink};
use totpd_e2e::peer::login;
use totpd_e2e::run::run;
use totpd_e2e::{Activation, Running, Site};

/// Makes a file of root that no command may change.
fn roots_file(site: &Site) -> std::path::PathBuf {
    let file = site.path("roots");
    std::fs::write(&file, "root's own\n").unwrap();
    file
}

#[track_caller]
fn assert_untouched(file: &std::path::Path) {
    let metadata = std::fs::metadata(file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "the owner of root's file changed");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "root's own\n");
}

#[test]
fn init_follows_no_link_of_the_stores_owner() {
    let script = "
import os, sys
state, target = sys.argv[1], sys.argv[2]
print('ready', flush=True)
names = [os.path.join(state, name) for name in ('totpd.db', 'totpd.db-wal', 'totpd.db-shm')]
while True:
    for name in names:
        try:
            if os.path.lexists(name) and not os.path.islink(name):
                os.rename(name, name + '.away')
                os.symlink(target, name)
        except OSError: pass
";
    for _ in 0..5 {
        let site = Site::without_daemon();
        let target = roots_file(&site);
        let state = site.path("state");
        std::fs::create_dir(&state).unwrap();
        nix::unistd::chown(&state, Some(5011.into()), Some(5011.into())).unwrap();
        let mut swap = site.command_as("u1", "/usr/bin/python3");
        swap.args(["-c", script]).arg(&state).arg(&target);
        let mut swap = Running::start(swap);
        swap.read_line();
        let init = site.totpd(&["init", "--owner", "u1"]);
        drop(swap);
        assert_untouched(&target);
        if init.code == 0 {
            for name in ["state", "etc/totpd/totpd.key", "etc/totpd/store.id"] {
                assert_eq!(std::fs::symlink_metadata(site.path(name)).unwrap().uid(), 5011, "{name}");
            }
        }
    }
}

#[test]
fn init_makes_a_store_that_its_owner_can_serve() {
    let site = Site::without_daemon();
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    nix::unistd::chown(&state, Some(5011.into()), Some(5011.into())).unwrap();
    site.totpd(&["init", "--owner", "u1"]).assert_success();
    assert_eq!(std::fs::metadata(state.join("totpd.db")).unwrap().uid(), 5011);
    Activation { uid: 5011, ..Activation::default() }.start(&site);
    let phone = site.enroll("alice");
    assert!(login(&site, "alice", &phone.code(&site)).is_ok());
}

#[test]
fn a_link_in_place_of_a_lock_file_is_not_followed() {
    let site = Site::new();
    site.end(Signal::SIGTERM);
    let target = roots_file(&site);
    for socket in ["run/login.sock.lock", "run/admin.sock.lock"] {
        let _ = std::fs::remove_file(site.path(socket));
        symlink(&target, site.path(socket)).unwrap();
        let mut serve = site.totpd_command();
        serve.arg("serve");
        let refused = run(serve, "");
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("its lock cannot be made"), "{refused:?}");
        assert_untouched(&target);
        std::fs::remove_file(site.path(socket)).unwrap();
    }
}

#[test]
fn root_serves_no_store_in_another_users_folder() {
    let site = Site::new();
    site.end(Signal::SIGTERM);
    let target = roots_file(&site);
    let (state, log) = (site.path("state"), site.path("state/totpd.db-wal"));
    std::fs::remove_file(&log).unwrap();
    symlink(&target, &log).unwrap();
    nix::unistd::chown(&state, Some(5011.into()), Some(5011.into())).unwrap();
    site.start();
    let status = site.totpd(&["status"]);
    assert!(status.stderr.contains("belongs to uid 5011"), "{status:?}");
    assert_untouched(&target);
}
