//! Removing and purging: not while a PAM stack names the module, and no secret without a
//! confirmation.

use super::{NO_STACKS, STACKS, on_each, secrets};
use totpd_e2e::Booted;
use totpd_e2e::booted::APT;

#[test]
fn a_module_in_use_by_a_pam_stack_is_not_removed() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        machine.add_user("alice");
        let phone = machine.enroll("alice");
        machine.sh(STACKS).assert_success();
        machine.sh("cp /etc/pam.d/sshd /etc/pam.d/sshd.bak").assert_success();
        machine.sh("usermod -aG sudo alice; totpd pam enable su --yes --unattended").assert_success();
        for how in ["remove", "purge"] {
            let refused = machine.sh(&format!("{APT} {how} totpd"));
            assert_ne!(refused.code, 0, "{release:?}");
            // apt gives dpkg a terminal, which adds carriage returns.
            let said = refused.stdout.replace('\r', "");
            assert!(said.contains("NOT REMOVED") && said.contains("    /etc/pam.d/sudo\n"), "{said}");
            assert!(!said.contains("sshd.bak"), "{said}");
        }
        // Everything is installed as before.
        machine
            .sh("grep -q 'BEGIN totpd' /etc/pam.d/su && grep -q '^auth.*pam_totp' /etc/pam.d/su")
            .assert_success();
        assert!(
            machine
                .sh("dpkg-query -W -f '${Status}' totpd")
                .assert_success()
                .stdout
                .ends_with("ok installed")
        );
        assert_eq!(
            machine.ssh("alice", &phone.recovery_codes[0]).assert_success().stdout,
            "alice\n",
            "{release:?}"
        );

        machine.sh(NO_STACKS).assert_success();
        let before = secrets(&machine);
        machine.sh(&format!("{APT} remove totpd")).assert_success();
        machine
            .sh("! ls /usr/bin/totpd /usr/lib/*/security/pam_totp.so /run/totpd 2>/dev/null")
            .assert_success();
        assert_eq!(machine.sh("systemctl is-system-running").stdout, "running\n", "{release:?}");
        assert_eq!(
            machine.ssh("alice", "").assert_success().stdout,
            "alice\n",
            "{release:?}: ssh works as before"
        );
        assert_eq!(
            machine.sudo("alice", &format!("{}\n", totpd_e2e::logins::PASSWORD)).assert_success().stdout,
            "root\n"
        );

        // Without a terminal the secrets stay, and the same package finds them again.
        let purged = machine.sh(&format!("{APT} purge totpd")).assert_success();
        assert!(purged.stdout.contains("totpd: kept /var/lib/totpd"), "{purged:?}");
        let key_and_id = |sums: String| sums.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(key_and_id(secrets(&machine)), key_and_id(before), "{release:?}");
        machine.sh(&format!("{APT} install /root/totpd.deb")).assert_success();
        assert!(machine.sh("totpd status alice").assert_success().stdout.contains("active"), "{release:?}");

        // A confirmation deletes them.
        machine.sh("echo 'totpd totpd/purge-secrets boolean true' | debconf-set-selections").assert_success();
        machine.sh(&format!("{APT} purge totpd")).assert_success();
        machine.sh("! ls -d /etc/totpd /var/lib/totpd /var/log/totpd 2>/dev/null").assert_success();
        assert_eq!(machine.ssh("alice", "").assert_success().stdout, "alice\n", "{release:?}");
    });
}
