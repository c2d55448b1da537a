//! README.md, "Install it": four commands without editing a file, and `apt remove` reverts them.

use super::on_each;
use totpd_e2e::Booted;
use totpd_e2e::booted::APT;
use totpd_e2e::logins::PASSWORD;

#[test]
fn four_commands_require_codes_and_removal_reverts_them() {
    on_each(|release| {
        let mut machine = Booted::packaged(release);
        machine.add_user("alice");
        machine.sh("usermod -aG sudo alice").assert_success();
        let before = machine
            .sh("cat /etc/pam.d/sshd /etc/pam.d/sudo; ls /etc/ssh/sshd_config.d")
            .assert_success()
            .stdout;
        let phone = machine.enroll("alice");
        machine.sh("totpd pam enable sshd sudo --yes --unattended").assert_success();
        let mut codes = phone.recovery_codes.iter();
        let mut asks = |machine: &Booted, when: &str| {
            let (login, sudo) = (codes.next().unwrap(), codes.next().unwrap());
            assert_ne!(machine.ssh("alice", "000000").code, 0, "{release:?}, {when}");
            assert_eq!(machine.ssh("alice", login).assert_success().stdout, "alice\n", "{release:?}, {when}");
            assert_ne!(
                machine.sudo("alice", &format!("{PASSWORD}\n000000\n")).code,
                0,
                "{release:?}, {when}"
            );
            let sudo = machine.sudo("alice", &format!("{PASSWORD}\n{sudo}\n"));
            assert_eq!(sudo.assert_success().stdout, "root\n", "{release:?}, {when}");
        };
        asks(&machine, "installed");
        machine.reboot();
        asks(&machine, "after a reboot");

        machine.sh(&format!("{APT} remove totpd")).assert_success();
        let after = machine
            .sh("cat /etc/pam.d/sshd /etc/pam.d/sudo; ls /etc/ssh/sshd_config.d")
            .assert_success()
            .stdout;
        assert_eq!(after, before, "{release:?}");
        assert_eq!(
            machine.ssh("alice", "").assert_success().stdout,
            "alice\n",
            "{release:?}: ssh works as before"
        );
        assert_eq!(
            machine.sudo("alice", &format!("{PASSWORD}\n")).assert_success().stdout,
            "root\n",
            "{release:?}"
        );
        machine.reboot();
        assert_eq!(
            machine.ssh("alice", "").assert_success().stdout,
            "alice\n",
            "{release:?}: after a reboot, too"
        );
    });
}
