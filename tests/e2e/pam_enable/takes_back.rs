//! Unconfirmed changes are reverted by the timer, at the next boot or after Ctrl-C, and later edits
//! of others stay.

use super::*;

#[test]
fn after_a_hang_up_the_timer_keeps_confirmed_services() {
    let (machine, phone) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo --confirm-within 12s");
    machine.sh("kill -HUP $(cat /root/pid)").assert_success();
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[0]).assert_success().stdout, "alice\n");
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0, "still enabled");
    wait_until("the timer has run", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_ne!(key_alone(&machine, "alice").code, 0, "sshd was confirmed");
    for options in ["", "-i"] {
        assert_eq!(sudo(&machine, options, &[PASSWORD]).assert_success().stdout, "root\n", "sudo was not");
    }
    machine.sh("totpd pam disable sshd --yes").assert_success();
    assert_as_before(&machine);
}

#[test]
fn a_login_of_an_ordinary_user_confirms_nothing() {
    let (machine, _) = machine(Release::Bookworm);
    machine.add_user("bob");
    let bob = machine.enroll("bob");
    enable(&machine, "sshd sudo --confirm-within 12s");
    let said = machine.sh("cat /root/enable").stdout;
    assert!(said.contains("Only logins of administrators count: alice\n"), "{said}");
    // The daemon grants both: a login by ssh, and a right code at sudo after a wrong password.
    assert_eq!(machine.ssh("bob", &bob.recovery_codes[0]).assert_success().stdout, "bob\n");
    assert_ne!(machine.sudo("bob", &format!("wrong\n{}\n", bob.recovery_codes[1])).code, 0);
    let history = machine.sh("totpd history bob").assert_success().stdout;
    assert_eq!(history.matches("login granted").count(), 2, "{history}");
    wait_until("the time is up", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn without_a_daemon_the_timer_reverts_everything() {
    let (machine, phone) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo --confirm-within 12s");
    machine.sh("kill -KILL $(cat /root/pid)").assert_success();
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[0]).assert_success().stdout, "alice\n");
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").assert_success();
    wait_until("the timer has run", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn a_reboot_or_power_cut_reverts_unconfirmed_changes() {
    let (mut machine, _) = machine(Release::Trixie);
    enable(&machine, "sshd sudo");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.reboot();
    assert_as_before(&machine);
    enable(&machine, "sshd sudo");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.power_cut();
    assert_as_before(&machine);
    let order =
        machine.sh("journalctl -b -o cat -u totpd-pam-take-back -u ssh --no-pager").assert_success().stdout;
    let at = |words: &str| order.find(words).unwrap_or_else(|| unreachable!("{words}: {order}"));
    assert!(at("as it was before") < at("Server listening"), "{order}");
    // A boot after a confirmed change changes nothing.
    machine.sh("totpd pam enable sudo --yes --unattended").assert_success();
    machine.reboot();
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0, "an unattended change stays");
}

#[test]
fn ctrl_c_reverts_and_keeps_the_edits_of_others() {
    let (machine, _) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo");
    let edit = "sed -i '1i # by somebody else' /etc/pam.d/sudo; sed -i '1i # by somebody else' /etc/ssh/sshd_config.d/00-totpd.conf";
    machine.sh(edit).assert_success();
    machine.sh("kill -INT $(cat /root/pid)").assert_success();
    wait_until("totpd pam enable has ended", || machine.sh("kill -0 $(cat /root/pid)").code != 0);
    let said = machine.sh("cat /root/enable").stdout;
    assert!(said.contains("it was edited since"), "{said}");
    assert_as_before(&machine);
    assert_eq!(machine.sh("head -n1 /etc/pam.d/sudo").stdout, "# by somebody else\n");
    assert_eq!(machine.sh("grep -rl pam_totp /etc/pam.d /etc/ssh").stdout, "");
}

#[test]
fn without_systemd_a_guard_process_reverts() {
    let (machine, _) = machine(Release::Bookworm);
    // As in a container: /run/systemd is what totpd checks.
    let script = "unshare --mount sh -c 'mount -t tmpfs tmpfs /run/systemd
        setsid -f sh -c \"echo \\$\\$ > /root/pid; exec totpd pam enable sudo --yes --confirm-within 12s\" > /root/enable 2>&1'";
    machine.sh("rm -f /root/enable").assert_success();
    machine.sh(script).assert_success();
    wait_until("the files are changed", || machine.sh("cat /root/enable").stdout.contains("Now log in"));
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
    machine.sh("kill -KILL $(cat /root/pid)").assert_success();
    wait_until("the guard has run", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn a_kill_during_the_trial_leaves_no_daemon_and_no_change() {
    let (machine, _) = machine(Release::Bookworm);
    for _ in 0..3 {
        machine.sh("setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable sudo sshd --yes' > /root/enable 2>&1").assert_success();
        let trial = "pgrep -f 'totpd-pam/[.]totpd-trial'";
        wait_until("the trial's daemon runs", || machine.sh(&format!("{trial} -n")).code == 0);
        machine.sh("kill -KILL $(cat /root/pid)").assert_success();
        wait_until("the locker has ended", || machine.sh(trial).code != 0);
    }
    assert_as_before(&machine);
    // The next run removes what they left.
    machine.sh("totpd pam enable sudo --yes --unattended").assert_success();
    assert_eq!(machine.sh("ls -A /var/lib/totpd-pam | grep -c trial").stdout, "0\n");
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
}

#[test]
fn with_a_closed_output_ctrl_c_reverts_everything() {
    let (machine, _) = machine(Release::Bookworm);
    // The reader of the pipe ends after the files have changed.
    machine.sh("rm -f /root/enable; mkfifo /root/pipe").assert_success();
    machine
        .sh("setsid -f sh -c 'grep -m1 \"Now log in\" < /root/pipe > /root/enable' ; \
        setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable sshd sudo --yes > /root/pipe 2>&1'")
        .assert_success();
    wait_until("the files are changed", || machine.sh("cat /root/enable").stdout.contains("Now log in"));
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.sh("kill -INT $(cat /root/pid)").assert_success();
    wait_until("totpd pam enable has ended", || machine.sh("kill -0 $(cat /root/pid)").code != 0);
    assert_as_before(&machine);
}

#[test]
fn a_line_without_its_marks_is_never_the_only_factor() {
    let (machine, phone) = machine(Release::Bookworm);
    machine
        .sh("printf 'PasswordAuthentication no\\n' > /etc/ssh/sshd_config.d/50-c.conf; systemctl restart ssh")
        .assert_success();
    enable(&machine, "sshd");
    machine.sh("sed -i '/totpd/d' /etc/pam.d/sshd; rm /etc/ssh/sshd_config.d/50-c.conf").assert_success();
    assert_eq!(machine.sh("grep -c pam_totp.so /etc/pam.d/sshd").stdout, "1\n");
    machine.sh("kill -KILL $(cat /root/pid)").assert_success();
    for command in ["totpd pam take-back", "totpd pam disable --all --yes"] {
        let finished = machine.sh(command);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stderr.contains("/etc/pam.d/sshd"), "{finished:?}");
        assert_ne!(without_key(&machine, "alice", &[&phone.recovery_codes[0]]).code, 0);
        assert_ne!(key_alone(&machine, "alice").code, 0);
    }
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[1]).assert_success().stdout, "alice\n");
    // After the line is removed, everything can be reverted.
    machine.sh("sed -i 's/^auth.*pam_totp.so/@include common-auth/' /etc/pam.d/sshd; totpd pam disable --all --yes").assert_success();
    machine.sh("totpd pam take-back").assert_success();
    assert_as_before(&machine);
}
