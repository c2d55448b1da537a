//! README.md, "Install it": four commands, no file edited, and `apt remove` is the way back.

use super::on_each;
use site::Booted;
use site::booted::APT;
use site::logins::PASSWORD;

#[test]
fn four_commands_require_codes_and_removal_reverts_them() {
    on_each(|release| {
        let mut machine = Booted::packaged(release);
        machine.add_user("alice");
        machine.sh("usermod -aG sudo alice").ok();
        let before = machine.sh("cat /etc/pam.d/sshd /etc/pam.d/sudo; ls /etc/ssh/sshd_config.d").ok().stdout;
        let phone = machine.enroll("alice");
        machine.sh("totpd pam enable sshd sudo --yes --unattended").ok();
        let mut codes = phone.recovery_codes.iter();
        let mut asks = |machine: &Booted, when: &str| {
            let (login, sudo) = (codes.next().unwrap(), codes.next().unwrap());
            assert_ne!(machine.ssh("alice", "000000").code, 0, "{release:?}, {when}");
            assert_eq!(machine.ssh("alice", login).ok().stdout, "alice\n", "{release:?}, {when}");
            assert_ne!(
                machine.sudo("alice", &format!("{PASSWORD}\n000000\n")).code,
                0,
                "{release:?}, {when}"
            );
            let sudo = machine.sudo("alice", &format!("{PASSWORD}\n{sudo}\n"));
            assert_eq!(sudo.ok().stdout, "root\n", "{release:?}, {when}");
        };
        asks(&machine, "installed");
        machine.reboot();
        asks(&machine, "after a reboot");

        machine.sh(&format!("{APT} remove totpd")).ok();
        let after = machine.sh("cat /etc/pam.d/sshd /etc/pam.d/sudo; ls /etc/ssh/sshd_config.d").ok().stdout;
        assert_eq!(after, before, "{release:?}");
        assert_eq!(machine.ssh("alice", "").ok().stdout, "alice\n", "{release:?}: ssh works as before");
        assert_eq!(machine.sudo("alice", &format!("{PASSWORD}\n")).ok().stdout, "root\n", "{release:?}");
        machine.reboot();
        assert_eq!(machine.ssh("alice", "").ok().stdout, "alice\n", "{release:?}: after a reboot, too");
    });
}
