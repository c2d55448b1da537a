//! The units of the package: sockets that stay, an unmounted store, and `varlinkctl`.

use super::{STACKS, on_each};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Booted, Release};

#[test]
fn thirty_failed_starts_leave_the_sockets_alive() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        machine.add_user("alice");
        let phone = machine.enroll("alice");
        machine.sh(STACKS).assert_success();
        // First a broken file, then a socket that the units do not have: with the latter the daemon
        // cannot even refuse, and ends at each start.
        for broken in ["= broken", "login_socket = \"/run/totpd/other.sock\""] {
            let script = format!(
                "cp -n /etc/totpd/totpd.toml /root/good.toml
                grep -v ^login_socket /root/good.toml > /root/broken.toml
                (echo '{broken}'; cat /root/broken.toml) > /etc/totpd/totpd.toml
                systemctl restart totpd || true
                for attempt in $(seq 30); do
                    runuser -u alice -- sudo -k -S true < /dev/null > /root/sudo.$attempt 2>&1 && echo in &
                done
                wait"
            );
            assert_eq!(machine.sh(&script).assert_success().stdout, "", "{release:?}: {broken}");
        }
        let active =
            machine.sh("systemctl is-active totpd.socket totpd-root.socket totpd-admin.socket").stdout;
        assert_eq!(active, "active\n".repeat(3), "{release:?}");
        machine
            .sh("cp /root/good.toml /etc/totpd/totpd.toml; systemctl try-reload-or-restart totpd || true")
            .assert_success();
        wait_until("the daemon serves", || machine.sh("totpd status").code == 0);
        let code = format!("{}\n", phone.recovery_codes[0]);
        assert_eq!(
            machine.sudo("alice", &code).assert_success().stdout,
            "root\n",
            "{release:?}: without reset-failed"
        );
    });
}

#[test]
fn an_unmounted_store_is_noticed() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        machine.add_user("alice");
        let phone = machine.enroll("alice");
        machine.sh(STACKS).assert_success();
        let script = "set -e
            systemctl stop totpd.service
            cp -a /var/lib/totpd /store
            rm /var/lib/totpd/*
            mount -t tmpfs -o mode=0700,uid=totpd,gid=totpd tmpfs /var/lib/totpd
            cp -a /store/. /var/lib/totpd
            systemctl start totpd.service";
        machine.sh(script).assert_success();
        let sudo = |place: usize| machine.sudo("alice", &format!("{}\n", phone.recovery_codes[place]));
        assert_eq!(sudo(0).assert_success().stdout, "root\n", "{release:?}");
        // A plain umount fails, because the daemon has files open there. A lazy one is noticed.
        let plain = machine.sh("umount /var/lib/totpd");
        assert_ne!(plain.code, 0, "{release:?}: {plain:?}");
        machine.sh("umount -l /var/lib/totpd").assert_success();
        wait_until("the daemon refuses", || {
            machine.sh("totpd status").stderr.contains("the daemon refuses every login")
        });
        assert_ne!(sudo(1).code, 0, "{release:?}");
    });
}

#[test]
fn varlinkctl_speaks_to_the_sockets() {
    // systemd 257 has `varlinkctl`.
    let machine = Booted::packaged(Release::Trixie);
    for socket in ["login", "root", "admin"] {
        let info = machine.sh(&format!("varlinkctl info /run/totpd/{socket}.sock")).assert_success().stdout;
        assert!(info.contains("totpd") && info.contains("org.varlink.service"), "{info}");
    }
    machine.sh("varlinkctl introspect /run/totpd/login.sock org.totpd.Login").assert_success();
}
