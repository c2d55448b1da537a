//! Installing: on a running system everything is ready, and in a chroot no secret is made.

use super::{STACKS, on_each, secrets};
use totpd_e2e::Booted;
use totpd_e2e::booted::{APT, package};

#[test]
fn an_installed_package_serves_and_asks_for_codes() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        // After the first of four commands, no file was edited and nobody is asked.
        let modes = machine
            .sh("stat -c '%n %a %U' /etc/totpd/* /var/lib/totpd /run/totpd/*.sock")
            .assert_success()
            .stdout;
        for line in [
            "/etc/totpd/store.id 644 totpd",
            "/etc/totpd/totpd.key 400 totpd",
            "/etc/totpd/totpd.toml 644 root",
            "/var/lib/totpd 700 totpd",
            "/run/totpd/admin.sock 600 root",
            "/run/totpd/login.sock 666 root",
            "/run/totpd/root.sock 600 root",
        ] {
            assert!(modes.lines().any(|l| l == line), "{release:?}: {line} is not in {modes}");
        }
        let enabled = machine.sh("systemctl is-enabled totpd.service totpd.socket totpd-root.socket totpd-admin.socket totpd-init.service");
        assert_eq!(enabled.assert_success().stdout, "enabled\n".repeat(5), "{release:?}");
        machine.add_user("alice");
        assert_eq!(
            machine.ssh("alice", "").assert_success().stdout,
            "alice\n",
            "{release:?}: no login was changed"
        );

        let phone = machine.enroll("alice");
        machine.sh(STACKS).assert_success();
        assert_ne!(machine.ssh("alice", "000000").code, 0, "{release:?}");
        let code = phone.code_at(machine.now() + 30);
        assert_eq!(machine.ssh("alice", &code).assert_success().stdout, "alice\n", "{release:?}");
        assert_ne!(machine.ssh("alice", &code).code, 0, "{release:?}: a code works once");
        let code = format!("{}\n", phone.recovery_codes[0]);
        assert_eq!(machine.sudo("alice", &code).assert_success().stdout, "root\n", "{release:?}");
        assert_ne!(machine.sudo("alice", &code).code, 0, "{release:?}");
        let journal = machine.journal();
        assert!(!journal.contains("code=killed") && !journal.contains("code=dumped"), "{journal}");

        // Only a host that never had a configuration is served with the defaults.
        machine.sh("rm /etc/totpd/totpd.toml; systemctl restart totpd").assert_success();
        let missing = machine.sh("totpd config check");
        assert!(
            missing.stderr.contains("the file is missing, but this host had one"),
            "{release:?}: {}",
            missing.stderr
        );
        machine
            .sh("rm /var/lib/totpd/last-good.toml; systemctl restart totpd; totpd config check")
            .assert_success();
        let status = machine.sh("totpd status").assert_success().stdout;
        assert!(status.contains("serves"), "{release:?}: {status}");
        machine.sh("ln -s nowhere /etc/totpd/totpd.toml; systemctl restart totpd").assert_success();
        let code = format!("{}\n", phone.recovery_codes[1]);
        assert_ne!(
            machine.sudo("alice", &code).code,
            0,
            "{release:?}: a link to nowhere is a broken configuration"
        );
        machine
            .sh("rm /etc/totpd/totpd.toml; touch /etc/totpd/totpd.toml; systemctl restart totpd")
            .assert_success();
        assert_eq!(machine.sudo("alice", &code).assert_success().stdout, "root\n", "{release:?}");
    });
}

#[test]
fn a_chroot_gets_no_key_and_its_first_boot_makes_one() {
    on_each(|release| {
        let mut machine = Booted::bare(release);
        machine.copy(&package("totpd.deb"), "/root/totpd.deb");
        // An image while it is built: the system's files without a running systemd.
        let script = format!(
            "set -e
            mkdir /image
            mount --bind / /image
            mount -t tmpfs tmpfs /image/run
            mount -t proc proc /image/proc
            chroot /image sh -c '{APT} install /root/totpd.deb' > /root/install.log 2>&1 || {{ cat /root/install.log >&2; exit 1; }}
            umount /image/proc /image/run /image"
        );
        machine.sh(&script).assert_success();
        let made = machine.sh("ls /etc/totpd /var/lib/totpd /var/log/totpd 2>/dev/null | grep -v :").stdout;
        assert_eq!(made.trim(), "", "{release:?}: an image holds no secret");
        machine.reboot();
        machine.sh("totpd status").assert_success();
        let start = "systemctl start totpd.socket totpd-root.socket totpd-admin.socket && totpd status";
        let stop = "systemctl stop 'totpd*.socket' totpd.service";
        let before = secrets(&machine);
        assert_eq!(before.lines().count(), 3, "{before}");
        // Later boots create nothing, even when one of the three files is not mounted.
        let init = "systemctl start totpd-init.service && totpd init --owner totpd --if-missing";
        machine.sh(&format!("{stop}; {init}")).assert_success();
        let closed = secrets(&machine);
        for hidden in ["/etc/totpd/totpd.key", "/etc/totpd/store.id", "/var/lib/totpd/totpd.db"] {
            machine.sh(&format!("mv {hidden} /root/hidden && {init} && [ ! -e {hidden} ]")).assert_success();
            machine.sh(&format!("mv /root/hidden {hidden}")).assert_success();
            assert_eq!(secrets(&machine), closed, "{release:?}: {hidden}");
        }
        // An interrupted first boot left no witness and no store.
        let script = "mkdir /root/w; mv /var/log/totpd/* /root/w; mv /var/lib/totpd/totpd.db /root/hidden
            totpd init --owner totpd --if-missing; mv /root/hidden /var/lib/totpd/totpd.db; mv /root/w/* /var/log/totpd/";
        let said = machine.sh(script).stdout;
        assert!(
            said.contains("rm /etc/totpd/totpd.key /etc/totpd/store.id && totpd init --owner totpd"),
            "{said}"
        );
        machine.sh(start).assert_success();
        // All three are missing and a witness exists: this is not a new host.
        let script = "set -e
            systemctl stop 'totpd*.socket' totpd.service
            mkdir -p /var/log/totpd /root/away; touch /var/log/totpd/withdrawals-x
            mv /etc/totpd/totpd.key /etc/totpd/store.id /var/lib/totpd/totpd.db* /root/away
            systemctl start totpd-init.service
            ! ls /etc/totpd/totpd.key /etc/totpd/store.id /var/lib/totpd/totpd.db";
        machine.sh(script).assert_success();
        let said = machine.sh("journalctl --sync; journalctl -o cat -u totpd-init").assert_success().stdout;
        assert!(said.contains("nothing was made, because /var/log/totpd/withdrawals-x exists"), "{said}");
    });
}
