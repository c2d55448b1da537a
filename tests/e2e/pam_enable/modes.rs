//! The modes `monitor` and `rules`, other configurations of a host, and what is refused.

use super::*;

#[test]
fn monitor_locks_nobody_out_without_a_daemon() {
    let (machine, phone) = machine(Release::Bookworm);
    // `monitor` needs no factor.
    machine.sh("totpd revoke alice").assert_success();
    enable(&machine, "sshd sudo --mode monitor");
    assert_eq!(key_alone(&machine, "alice").assert_success().stdout, "alice\n");
    assert_eq!(key_alone(&machine, "root").assert_success().stdout, "root\n");
    assert_eq!(without_key(&machine, "alice", &[PASSWORD]).assert_success().stdout, "alice\n");
    assert_eq!(sudo(&machine, "", &[PASSWORD, "000000"]).assert_success().stdout, "root\n");
    assert_ne!(sudo(&machine, "", &["wrong", &phone.recovery_codes[0]]).code, 0, "the password decides");
    wait_until("both are confirmed by any event", || {
        machine.sh("cat /root/enable").stdout.contains("every service is confirmed")
    });
    let history = machine.sh("totpd history").assert_success().stdout;
    assert!(history.contains(", sshd") && history.contains(", sudo"), "{history}");
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").assert_success();
    assert_as_before(&machine);
}

#[test]
fn rules_exempt_after_a_right_password_or_a_key_alone() {
    let (machine, phone) = machine(Release::Bookworm);
    machine.add_user("bob");
    let rule = "[[login.rule]]\nusers = [\"bob\"]\naction = \"exempt\"\n";
    machine
        .sh_with("cat >> /etc/totpd/totpd.toml; systemctl start totpd; systemctl reload totpd", rule)
        .assert_success();
    machine.sh("totpd pam enable sshd sudo --mode rules --yes --unattended").assert_success();
    let bob = |lines: &str| machine.sudo("bob", lines);
    assert_eq!(bob(&format!("{PASSWORD}\n")).assert_success().stdout, "root\n", "exempt");
    assert_ne!(bob("wrong\n").code, 0);
    assert_eq!(machine.ssh("bob", "never asked").assert_success().stdout, "bob\n", "exempt by a key");
    assert_eq!(
        without_key(&machine, "bob", &[PASSWORD]).assert_success().stdout,
        "bob\n",
        "exempt by a password"
    );
    assert_ne!(without_key(&machine, "bob", &["wrong"]).code, 0);
    let codes = &phone.recovery_codes;
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
    assert_eq!(sudo(&machine, "-i", &[PASSWORD, &codes[0]]).assert_success().stdout, "root\n");
    assert_eq!(machine.ssh("alice", &codes[1]).assert_success().stdout, "alice\n");
    assert_eq!(without_key(&machine, "alice", &[PASSWORD, &codes[2]]).assert_success().stdout, "alice\n");
    for answers in [&[codes[3].as_str()][..], &["wrong", &codes[3]], &[PASSWORD]] {
        assert_ne!(without_key(&machine, "alice", answers).code, 0);
    }
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").assert_success();
    for user in ["alice", "bob"] {
        assert_ne!(machine.ssh(user, "x").code, 0);
        assert_ne!(without_key(&machine, user, &[PASSWORD]).code, 0);
    }
}

#[test]
fn on_a_key_only_host_a_code_alone_does_not_log_in() {
    let (machine, phone) = machine(Release::Trixie);
    let cloud = "printf 'PasswordAuthentication no\\n' > /etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh";
    machine.sh(cloud).assert_success();
    let monitor = machine.sh("totpd pam enable sshd --mode monitor --yes");
    assert!(monitor.stderr.contains("nothing that monitor could watch"), "{monitor:?}");
    machine.sh("totpd pam enable sshd --yes --unattended").assert_success();
    let codes = &phone.recovery_codes;
    for answers in [&[codes[0].as_str()][..], &[PASSWORD, &codes[0]], &[&codes[0], PASSWORD]] {
        assert_ne!(without_key(&machine, "alice", answers).code, 0);
    }
    assert_ne!(key_alone(&machine, "alice").code, 0);
    assert_ne!(machine.ssh("alice", PASSWORD).code, 0);
    // A second sshd uses the same PAM stack, and has seen no key.
    let second = "printf 'Port 2222\\nUsePAM yes\\nPasswordAuthentication no\\nKbdInteractiveAuthentication yes\\n\
                  PidFile none\\n' > /etc/ssh/second; $(command -v sshd) -f /etc/ssh/second";
    machine.sh(second).assert_success();
    let code_alone = format!(
        "CODE='{}' SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force setsid -w ssh -p 2222 -o PubkeyAuthentication=no \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 alice@127.0.0.1 id -un \
         < /dev/null",
        codes[0]
    );
    let refused = machine.sh(&code_alone);
    assert!(refused.code != 0 && refused.stderr.contains("Permission denied"), "{refused:?}");
    assert_eq!(machine.ssh("alice", &codes[0]).assert_success().stdout, "alice\n");
    // Changing both ways at once would open one of them for a moment.
    machine.sh("rm /etc/ssh/sshd_config.d/50-cloud-init.conf").assert_success();
    let other = machine.sh("totpd pam enable sshd --mode rules --yes");
    assert!(other.stderr.contains("Run first: totpd pam disable sshd"), "{other:?}");
}

#[test]
fn enable_refuses_while_nobody_could_undo_a_mistake() {
    let (machine, _) = machine(Release::Bookworm);
    let refused = |why: &str| {
        let finished = machine.sh("totpd pam enable sudo --yes");
        assert_ne!(finished.code, 0);
        assert!(finished.stderr.contains(why), "{why}: {finished:?}");
        assert_as_before(&machine);
        assert_ne!(machine.sh("test -e /var/lib/totpd-pam/pending").code, 0);
    };
    machine.sh("gpasswd -d alice sudo").assert_success();
    refused("Enroll one first: totpd enroll");
    machine.sh("usermod -aG sudo alice; systemctl stop totpd.service 'totpd*.socket'").assert_success();
    refused("start it first");
    machine.sh("systemctl start totpd").assert_success();
    // Without the boot unit, a power cut would keep the change.
    machine
        .sh("rm /usr/lib/systemd/system/totpd-pam-take-back.service; systemctl daemon-reload")
        .assert_success();
    refused("totpd-pam-take-back.service is not");
    // The trial finds a module that cannot be loaded.
    machine
        .sh("systemctl stop totpd.service; echo broken > $(find /usr/lib -name pam_totp.so)")
        .assert_success();
    machine.sh("systemctl start totpd.socket totpd").assert_success();
    refused("the trial of sudo");
}

#[test]
fn pam_auth_update_neither_duplicates_nor_loses_the_block() {
    let (machine, phone) = machine(Release::Bookworm);
    let profile = "Name: a profile of somebody\nDefault: yes\nPriority: 900\nAuth-Type: Additional\nAuth:\n\toptional\tpam_echo.so\n";
    machine
        .sh_with(
            "cat > /usr/share/pam-configs/somebody; pam-auth-update --package --enable somebody",
            profile,
        )
        .assert_success();
    assert!(machine.sh("cat /etc/pam.d/common-auth").stdout.contains("pam_echo.so"));
    machine.sh("totpd pam enable sudo --yes --unattended").assert_success();
    let asks = |code: &str| {
        assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
        assert_eq!(sudo(&machine, "-i", &[PASSWORD, code]).assert_success().stdout, "root\n");
        assert_eq!(
            machine.sh("grep -c pam_totp.so /etc/pam.d/sudo /etc/pam.d/common-auth").stdout,
            "/etc/pam.d/sudo:1\n/etc/pam.d/common-auth:0\n"
        );
    };
    asks(&phone.recovery_codes[0]);
    machine
        .sh("pam-auth-update --package --remove somebody; rm /usr/share/pam-configs/somebody")
        .assert_success();
    assert!(!machine.sh("cat /etc/pam.d/common-auth").stdout.contains("pam_echo.so"));
    asks(&phone.recovery_codes[1]);
    machine.sh("totpd pam disable sudo --yes").assert_success();
    assert_as_before(&machine);
    // A profile that asks for a code itself is refused.
    let ours =
        "Name: totpd\nDefault: yes\nPriority: 1\nAuth-Type: Additional\nAuth:\n\trequired\tpam_totp.so\n";
    machine
        .sh_with("cat > /usr/share/pam-configs/t; pam-auth-update --package --enable t", ours)
        .assert_success();
    let refused = machine.sh("totpd pam enable sudo --yes");
    assert!(refused.stderr.contains("common-auth:"), "{refused:?}");
}

#[test]
fn enable_all_changes_known_services_and_names_the_rest() {
    let (machine, phone) = machine(Release::Trixie);
    machine
        .sh("printf 'auth sufficient pam_unix.so\\nauth required pam_deny.so\\n' > /etc/pam.d/odd")
        .assert_success();
    machine.sh("mkdir -p /usr/lib/pam.d; cp /etc/pam.d/sudo /usr/lib/pam.d/packaged").assert_success();
    // The exemption of an automated client stays.
    machine.sh("printf 'Match User robot\\n AuthenticationMethods publickey\\nMatch all\\n' > /etc/ssh/sshd_config.d/10-robots.conf").assert_success();
    machine.add_user("robot");
    let said = machine.sh("totpd pam enable --all --yes --unattended").assert_success().stdout;
    assert!(said.contains("not changed: odd: "), "{said}");
    assert!(said.contains("su-l: includes /etc/pam.d/su"), "{said}");
    let status = machine.sh("totpd pam status").assert_success().stdout;
    for service in ["login", "sshd", "su", "su-l", "sudo", "sudo-i", "chsh"] {
        assert!(
            status.contains(&format!("\n{service}: require"))
                || status.starts_with(&format!("{service}: require")),
            "{status}"
        );
    }
    assert!(status.contains("odd: asks for no code"), "{status}");
    // A package's file is unchanged, and a copy in /etc overrides it until it is disabled.
    assert!(status.contains("packaged: require"), "{status}");
    let lines = machine.sh("grep -c totp /usr/lib/pam.d/packaged /etc/pam.d/packaged").stdout;
    assert_eq!(lines, "/usr/lib/pam.d/packaged:0\n/etc/pam.d/packaged:3\n");
    machine.sh("totpd pam disable packaged --yes").assert_success();
    assert_ne!(machine.sh("ls /etc/pam.d/packaged").code, 0);
    assert_eq!(key_alone(&machine, "robot").assert_success().stdout, "robot\n");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    // su to alice needs alice's password and code, also for a login shell; su by root asks nothing.
    let su = |options: &str, lines: &str| {
        machine.sh_with(&format!("runuser -u robot -- su {options} alice -c 'id -un'"), lines)
    };
    let codes = &phone.recovery_codes;
    assert_eq!(
        su("", &format!("{PASSWORD}\n{}\n", codes[0])).assert_success().stdout.lines().last(),
        Some("alice")
    );
    assert_eq!(
        su("-", &format!("{PASSWORD}\n{}\n", codes[1])).assert_success().stdout.lines().last(),
        Some("alice")
    );
    assert_ne!(su("-", &format!("{PASSWORD}\n000000\n")).code, 0);
    assert_eq!(machine.sh("su - alice -c 'id -un'").assert_success().stdout, "alice\n");
    machine.sh("totpd pam disable su --yes").assert_success();
    assert_eq!(su("-", &format!("{PASSWORD}\n")).assert_success().stdout, "alice\n");
    assert_ne!(key_alone(&machine, "alice").code, 0, "sshd goes on asking");
}

#[test]
fn an_sshd_with_socket_activation_keeps_listening() {
    let (machine, phone) = machine(Release::Trixie);
    machine.sh("systemctl disable --now ssh; systemctl enable --now ssh.socket").assert_success();
    assert_eq!(key_alone(&machine, "alice").assert_success().stdout, "alice\n");
    machine
        .sh("systemctl is-active ssh.service && totpd pam enable sshd --yes --unattended")
        .assert_success();
    machine.sh("systemctl is-active ssh.service ssh.socket").assert_success();
    assert_ne!(key_alone(&machine, "alice").code, 0);
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[0]).assert_success().stdout, "alice\n");
    machine.sh("totpd pam disable sshd --yes && systemctl is-active ssh.service").assert_success();
    assert_eq!(key_alone(&machine, "alice").assert_success().stdout, "alice\n");
    machine.sh("! journalctl -u ssh | grep 'Cannot bind'").assert_success();
}
