//! What no login confirms is taken back: by the timer, at the next boot, after Ctrl-C; and later edits of others stay.

use super::*;

#[test]
fn with_the_terminal_gone_the_timer_keeps_what_is_confirmed() {
    let (machine, phone) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo --confirm-within 12s");
    machine.sh("kill -HUP $(cat /root/pid)").ok();
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[0]).ok().stdout, "alice\n");
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0, "not yet");
    wait_until("the timer has looked", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_ne!(key_alone(&machine, "alice").code, 0, "sshd was confirmed");
    for options in ["", "-i"] {
        assert_eq!(sudo(&machine, options, &[PASSWORD]).ok().stdout, "root\n", "sudo was not");
    }
    machine.sh("totpd pam disable sshd --yes").ok();
    assert_as_before(&machine);
}

#[test]
fn a_login_of_somebody_who_administers_nothing_keeps_nothing() {
    let (machine, _) = machine(Release::Bookworm);
    machine.add_user("bob");
    let bob = machine.enroll("bob");
    enable(&machine, "sshd sudo --confirm-within 12s");
    let said = machine.sh("cat /root/enable").stdout;
    assert!(said.contains("Only a login of an administrator counts: alice\n"), "{said}");
    // Both are granted: a whole login by ssh, and at sudo a right code after a wrong password.
    assert_eq!(machine.ssh("bob", &bob.recovery_codes[0]).ok().stdout, "bob\n");
    assert_ne!(machine.sudo("bob", &format!("wrong\n{}\n", bob.recovery_codes[1])).code, 0);
    let history = machine.sh("totpd history bob").ok().stdout;
    assert_eq!(history.matches("login granted").count(), 2, "{history}");
    wait_until("the time is up", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn without_a_daemon_the_timer_takes_everything_back() {
    let (machine, phone) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo --confirm-within 12s");
    machine.sh("kill -KILL $(cat /root/pid)").ok();
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[0]).ok().stdout, "alice\n");
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").ok();
    wait_until("the timer has looked", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn a_reboot_or_a_power_cut_takes_back_what_is_not_confirmed() {
    let (mut machine, _) = machine(Release::Trixie);
    enable(&machine, "sshd sudo");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.reboot();
    assert_as_before(&machine);
    enable(&machine, "sshd sudo");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.power_cut();
    assert_as_before(&machine);
    let order = machine.sh("journalctl -b -o cat -u totpd-pam-take-back -u ssh --no-pager").ok().stdout;
    let at = |words: &str| order.find(words).unwrap_or_else(|| unreachable!("{words}: {order}"));
    assert!(at("as it was before") < at("Server listening"), "{order}");
    // The next boot has nothing to do, and changes nothing.
    machine.sh("totpd pam enable sudo --yes --unattended").ok();
    machine.reboot();
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0, "unattended: it stays");
}

#[test]
fn ctrl_c_takes_back_and_somebody_elses_edit_stays() {
    let (machine, _) = machine(Release::Bookworm);
    enable(&machine, "sshd sudo");
    let edit = "sed -i '1i # by somebody else' /etc/pam.d/sudo; sed -i '1i # by somebody else' /etc/ssh/sshd_config.d/00-totpd.conf";
    machine.sh(edit).ok();
    machine.sh("kill -INT $(cat /root/pid)").ok();
    wait_until("it ends", || machine.sh("kill -0 $(cat /root/pid)").code != 0);
    let said = machine.sh("cat /root/enable").stdout;
    assert!(said.contains("somebody has edited it since"), "{said}");
    assert_as_before(&machine);
    assert_eq!(machine.sh("head -n1 /etc/pam.d/sudo").stdout, "# by somebody else\n");
    assert_eq!(machine.sh("grep -rl pam_totp /etc/pam.d /etc/ssh").stdout, "");
}

#[test]
fn where_there_is_no_systemd_a_process_of_its_own_takes_back() {
    let (machine, _) = machine(Release::Bookworm);
    // As in a container: nothing else of systemd is looked at.
    let script = "unshare --mount sh -c 'mount -t tmpfs tmpfs /run/systemd
        setsid -f sh -c \"echo \\$\\$ > /root/pid; exec totpd pam enable sudo --yes --confirm-within 12s\" > /root/enable 2>&1'";
    machine.sh("rm -f /root/enable").ok();
    machine.sh(script).ok();
    wait_until("the files are changed", || machine.sh("cat /root/enable").stdout.contains("Now log in"));
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
    machine.sh("kill -KILL $(cat /root/pid)").ok();
    wait_until("the guard has looked", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_as_before(&machine);
}

#[test]
fn killed_in_the_trial_it_leaves_no_daemon_and_no_change() {
    let (machine, _) = machine(Release::Bookworm);
    for _ in 0..3 {
        machine.sh("setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable sudo sshd --yes' > /root/enable 2>&1").ok();
        let trial = "pgrep -f 'totpd-pam/[.]totpd-trial'";
        wait_until("the trial's daemon runs", || machine.sh(&format!("{trial} -n")).code == 0);
        machine.sh("kill -KILL $(cat /root/pid)").ok();
        wait_until("it is gone", || machine.sh(trial).code != 0);
    }
    assert_as_before(&machine);
    // What they left is taken away by the next one.
    machine.sh("totpd pam enable sudo --yes --unattended").ok();
    assert_eq!(machine.sh("ls -A /var/lib/totpd-pam | grep -c trial").stdout, "0\n");
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0);
}

#[test]
fn with_its_output_gone_ctrl_c_takes_everything_back() {
    let (machine, _) = machine(Release::Bookworm);
    // The pipe's reader ends once the files are changed.
    machine.sh("rm -f /root/enable; mkfifo /root/pipe").ok();
    machine
        .sh("setsid -f sh -c 'grep -m1 \"Now log in\" < /root/pipe > /root/enable' ; \
        setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable sshd sudo --yes > /root/pipe 2>&1'")
        .ok();
    wait_until("the files are changed", || machine.sh("cat /root/enable").stdout.contains("Now log in"));
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.sh("kill -INT $(cat /root/pid)").ok();
    wait_until("it ends", || machine.sh("kill -0 $(cat /root/pid)").code != 0);
    assert_as_before(&machine);
}

#[test]
fn a_line_that_lost_its_marks_is_never_the_only_factor() {
    let (machine, phone) = machine(Release::Bookworm);
    machine
        .sh("printf 'PasswordAuthentication no\\n' > /etc/ssh/sshd_config.d/50-c.conf; systemctl restart ssh")
        .ok();
    enable(&machine, "sshd");
    machine.sh("sed -i '/totpd/d' /etc/pam.d/sshd; rm /etc/ssh/sshd_config.d/50-c.conf").ok();
    assert_eq!(machine.sh("grep -c pam_totp.so /etc/pam.d/sshd").stdout, "1\n");
    machine.sh("kill -KILL $(cat /root/pid)").ok();
    for command in ["totpd pam take-back", "totpd pam disable --all --yes"] {
        let finished = machine.sh(command);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stderr.contains("/etc/pam.d/sshd"), "{finished:?}");
        assert_ne!(without_key(&machine, "alice", &[&phone.recovery_codes[0]]).code, 0);
        assert_ne!(key_alone(&machine, "alice").code, 0);
    }
    assert_eq!(machine.ssh("alice", &phone.recovery_codes[1]).ok().stdout, "alice\n");
    // Once the line is out, everything goes.
    machine.sh("sed -i 's/^auth.*pam_totp.so/@include common-auth/' /etc/pam.d/sshd; totpd pam disable --all --yes").ok();
    machine.sh("totpd pam take-back").ok();
    assert_as_before(&machine);
}
