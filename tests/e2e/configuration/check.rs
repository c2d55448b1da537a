//! `totpd config check` reads files as the daemon's user does. A daemon that cannot use a file
//! names the command that fixes it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use totpd_e2e::paths::target;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Activation, Site};

const NOBODY: u32 = 65534;

fn chown(path: &Path, uid: u32) {
    nix::unistd::chown(path, Some(nix::unistd::Uid::from_raw(uid)), None).unwrap();
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes a site whose daemon runs as nobody.
#[track_caller]
fn site() -> Site {
    let site = Site::without_daemon();
    site.totpd(&["init", "--owner", "nobody"]).assert_success();
    mode(&site.faults.path, 0o666);
    chown(&site.path("run"), NOBODY);
    site
}

#[test]
fn config_check_reads_files_as_the_daemons_user() {
    let site = site();
    site.totpd(&["config", "check", "--strict"]).assert_success();
    let (key, config) = (site.path("etc/totpd/totpd.key"), site.path("etc/totpd/totpd.toml"));
    let (id, store, folder) =
        (site.path("etc/totpd/store.id"), site.path("state/totpd.db"), site.path("etc/totpd"));
    let says = |words: &[String]| {
        let check = site.totpd(&["config", "check"]);
        for words in words {
            assert_eq!(check.code, 1, "{check:?}");
            assert!(check.stdout.contains(words), "{words}: {check:?}");
        }
    };
    chown(&key, 0);
    says(&[
        format!("{} belongs to root (mode 0400), and the daemon runs as nobody", key.display()),
        format!("Run: chown nobody: {}", key.display()),
    ]);
    chown(&key, NOBODY);
    mode(&key, 0o644);
    says(&[format!("chmod 0400 {}", key.display())]);
    mode(&key, 0o400);
    chown(&store, 0);
    says(&[format!("Run: chown nobody: {}", store.display())]);
    chown(&store, NOBODY);
    chown(&id, 0);
    mode(&id, 0o600);
    says(&[format!("Run: chown nobody: {}", id.display())]);
    chown(&id, NOBODY);
    mode(&config, 0o600);
    says(&[format!("Run: chmod 0644 {}", config.display())]);
    mode(&config, 0o644);
    mode(&folder, 0o700);
    says(&[
        format!("cannot pass through it to {}", config.display()),
        format!("chmod a+x {}", folder.display()),
    ]);
    mode(&folder, 0o755);
    site.totpd(&["config", "check", "--strict"]).assert_success();
}

#[test]
fn config_check_names_services_that_do_not_exist() {
    let site = site();
    let rules = "[[login.rule]]\nservices = [\"ssh\", \"su\"]\naction = \"deny\"\n";
    site.service("sshd", "auth required pam_deny.so\n");
    site.service("su", "auth required pam_deny.so\n");
    site.write_config(rules);
    let check = site.totpd(&["config", "check"]).assert_success();
    let said = "names a PAM service that has no file in /etc/pam.d: ssh. Is it sshd?";
    assert!(check.stdout.contains(said), "{check:?}");
    // totpd itself added su-l.
    assert!(!check.stdout.contains("su-l"), "{check:?}");
    assert_eq!(site.totpd(&["config", "check", "--strict"]).code, 1);
}

#[test]
fn a_daemon_that_cannot_read_a_file_names_the_fix() {
    let site = site();
    let (key, store) = (site.path("etc/totpd/totpd.key"), site.path("state/totpd.db"));
    chown(&key, 0);
    chown(&store, 0);
    Activation { uid: NOBODY, ..Activation::default() }.start(&site);
    for file in [&key, &store] {
        let cure = "and the daemon runs as nobody, which cannot";
        let command = format!("Run: chown nobody: {}", file.display());
        wait_until("the daemon reports the problem", || {
            let status = site.totpd(&["status"]).stderr;
            assert!(!status.contains("damaged"), "{status}");
            status.contains(cure) && status.contains(&command)
        });
        chown(file, NOBODY);
    }
    site.wait_until_serving();
}

#[test]
fn a_read_only_state_folder_is_reported() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    // A read-only mount of the folder, as a unit's sandbox makes it.
    let state = site.path("state").display().to_string();
    let mount = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#;
    site.run("sh", &["-c", mount, "sh", &state]).assert_success();
    site.start();
    let status = site.totpd(&["status"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stderr.contains(&format!("ReadWritePaths={state}")), "{status:?}");
    assert!(!status.stderr.contains("Error code"), "{status:?}");
    site.run("umount", &[&state]).assert_success();
    site.wait_until_serving();
}

#[test]
fn config_check_warns_of_service_names_in_capitals() {
    let site = Site::new();
    // libpam converts a service's name to lower case, so this rule never matches.
    site.configure("[[login.rule]]\nservices = [\"SSHD\"]\naction = \"deny\"\n");
    let check = site.totpd(&["config", "check", "--strict"]);
    assert!(check.code == 1 && check.stdout.contains("lower case"), "{check:?}");
}

#[test]
fn a_warning_of_config_check_does_not_stop_a_reload() {
    let unit = std::fs::read_to_string(target().join("../config/systemd/totpd.service")).unwrap();
    let site = Site::new();
    // A file for many hosts: this one does not have the user.
    site.configure("[[login.rule]]\nusers = [\"elsewhere\"]\naction = \"deny\"\n");
    // systemd runs the second ExecReload= line only when the first one succeeds
    // (systemd.service(5)).
    assert!(unit.contains("ExecReload=/usr/bin/totpd config check\nExecReload=/bin/kill -HUP"));
    assert_eq!(site.totpd(&["config", "check"]).code, 0);
}
