//! Broken installations on a booted machine: what systemd and totpd report, and that nobody is
//! locked out.

use super::booted::{enroll, installed, sudo};
use totpd_e2e::Booted;
use totpd_e2e::run::wait_until;

/// Starts the service and its sockets again, as at a boot.
#[track_caller]
fn restart_as_at_boot(machine: &Booted) {
    machine
        .sh("systemctl stop 'totpd*'; systemctl start totpd.socket totpd.service; totpd --help")
        .assert_success();
}

#[test]
fn a_typo_at_boot_locks_nobody_out_and_systemctl_shows_it() {
    let machine = installed();
    let phone = enroll(&machine, "alice");
    let reload = machine.sh("echo '[login' >> /etc/totpd/totpd.toml; systemctl reload totpd");
    assert_ne!(reload.code, 0, "{reload:?}");
    restart_as_at_boot(&machine);
    let status = machine.sh("systemctl status --no-pager totpd").assert_success().stdout;
    assert!(status.contains("Status: \"THE LAST GOOD CONFIGURATION IS IN USE"), "{status}");
    let status = machine.sh("totpd status").assert_success().stdout;
    assert!(status.starts_with("THE LAST GOOD CONFIGURATION IS IN USE since 20"), "{status}");
    let login = sudo(&machine, &phone.recovery_codes[0]).assert_success();
    assert_eq!(login.stdout, "root\n");
    assert!(machine.journal().contains("THE LAST GOOD CONFIGURATION IS IN USE"));
    let copy = machine.sh("stat -c '%U %a' /var/lib/totpd/last-good.toml").assert_success().stdout;
    assert_eq!(copy, "totpd 600\n");
    // A file that is missing for a moment, as while an editor saves it, does not make a host
    // unconfigured. The daemon checks every five seconds.
    let away = "mv /etc/totpd/totpd.toml /root/; sleep 6; mv /root/totpd.toml /etc/totpd/; totpd status";
    let status = machine.sh(away).assert_success().stdout;
    assert!(status.starts_with("THE LAST GOOD CONFIGURATION IS IN USE since 20"), "{status}");
    machine.sh("sed -i '$d' /etc/totpd/totpd.toml").assert_success();
    wait_until("the file is in use again", || !machine.sh("totpd status").stdout.contains("LAST GOOD"));
    let status = machine.sh("systemctl status --no-pager totpd").assert_success().stdout;
    assert!(status.contains("Status: \"serving store"), "{status}");
    assert_eq!(sudo(&machine, &phone.recovery_codes[1]).assert_success().stdout, "root\n");
}

#[test]
fn a_file_the_daemon_cannot_use_is_reported_with_a_fix() {
    let machine = installed();
    // Without an owner, root would own files that the daemon has to read.
    let init = machine.sh("mv /etc/totpd/totpd.key /root/; totpd init");
    assert!(init.code == 2 && init.stderr.contains("Run: totpd init --owner totpd"), "{init:?}");
    machine.sh("mv /root/totpd.key /etc/totpd/").assert_success();
    for (broken, said, cure) in [
        ("chown root /etc/totpd/totpd.key", "belongs to root (mode 0400), and the daemon runs as totpd", ""),
        ("chown root: /var/lib/totpd/totpd.db", "chown totpd: /var/lib/totpd/totpd.db", ""),
        ("chmod 700 /etc/totpd", "chmod a+x /etc/totpd", "chmod 755 /etc/totpd"),
    ] {
        machine.sh(broken).assert_success();
        let check = machine.sh("totpd config check");
        assert!(check.code == 1 && check.stdout.contains(said), "{broken}: {check:?}");
        restart_as_at_boot(&machine);
        wait_until("the daemon reports the problem", || {
            let status = machine.sh("totpd status; systemctl status --no-pager totpd");
            format!("{}{}", status.stdout, status.stderr).contains(said)
        });
        // The command that the message names.
        let run =
            check.stdout.lines().find_map(|line| line.split_once("Run: ")).map(|(_, run)| run.to_owned());
        machine.sh(if cure.is_empty() { run.as_deref().unwrap() } else { cure }).assert_success();
        wait_until("the daemon serves", || machine.sh("totpd status").code == 0);
        machine.sh("totpd config check").assert_success();
    }
    // A state folder that the unit does not list in ReadWritePaths=.
    let moved = "set -e
        systemctl stop 'totpd*'
        mv /var/lib/totpd /srv/totpd; sed -i 's|^state_dir.*|state_dir = \"/srv/totpd\"|' /etc/totpd/totpd.toml
        systemctl start totpd.socket totpd.service";
    machine.sh(moved).assert_success();
    let status = machine.sh("totpd status");
    assert!(status.code == 1 && status.stderr.contains("ReadWritePaths=/srv/totpd"), "{status:?}");
}

#[test]
fn restarts_and_a_late_mount_lock_nobody_out() {
    let machine = installed();
    let phone = enroll(&machine, "alice");
    // By default, systemd starts a socket at most five times in ten seconds.
    let restarts = "for n in 1 2 3 4 5 6 7 8; do
        systemctl stop totpd.service; systemctl restart totpd.socket totpd-root.socket totpd-admin.socket
        done; systemctl is-active totpd.socket totpd-root.socket totpd-admin.socket";
    machine.sh(restarts).assert_success();
    assert_eq!(sudo(&machine, &phone.recovery_codes[0]).assert_success().stdout, "root\n");
    // The units wait for a late mount of the state folder (nofail, network), and never serve what
    // is below it.
    let late = "set -e; systemctl stop 'totpd*' 2>/dev/null
        cp -a /var/lib/totpd /srv/store; cd /etc/systemd/system
        printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=sleep 3\n' > late.service
        printf '[Unit]\nDefaultDependencies=no\nWants=late.service\nAfter=late.service\n[Mount]\nWhat=/srv/store\n\
            Where=/var/lib/totpd\nOptions=bind\n' > var-lib-totpd.mount
        systemctl daemon-reload
        systemctl start --no-block var-lib-totpd.mount totpd.socket totpd-root.socket totpd-admin.socket totpd.service
        until systemctl is-active totpd.service; do sleep 0.1; done
        mountpoint /var/lib/totpd";
    machine.sh(late).assert_success();
    assert_eq!(sudo(&machine, &phone.recovery_codes[1]).assert_success().stdout, "root\n");
}
