//! One command on both releases: services ask, logins confirm, and one more command reverts it.

use super::*;

#[test]
fn one_command_asks_in_sshd_and_sudo_and_logins_confirm_it() {
    std::thread::scope(|scope| {
        for release in Release::ALL {
            scope.spawn(move || one_command(release));
        }
    });
}

#[track_caller]
fn one_command(release: Release) {
    let (machine, phone) = machine(release);
    let mut codes = phone.recovery_codes.iter().map(String::as_str);
    let mut code = || codes.next().unwrap();
    assert_as_before(&machine);

    let dry = machine.sh("totpd pam enable sshd sudo --dry-run").assert_success().stdout;
    assert!(dry.contains("+auth    substack    common-auth\n"), "{dry}");
    assert!(dry.contains("+Match User root\n"), "{dry}");
    assert_as_before(&machine);

    enable(&machine, "sshd sudo");
    assert_ne!(machine.ssh("alice", "000000").code, 0, "a key and a wrong code");
    assert_ne!(key_alone(&machine, "alice").code, 0);
    assert_eq!(key_alone(&machine, "root").assert_success().stdout, "root\n", "sshd cannot ask root");
    let state =
        || machine.sh("totpd pam status sshd sudo --json").assert_success().json()["services"].clone();
    assert!(state().as_array().unwrap().iter().all(|service| service["state"] == "armed"), "{}", state());
    let first = code();
    assert_ne!(without_key(&machine, "alice", &[first]).code, 0, "a code as the only factor");
    assert_ne!(without_key(&machine, "alice", &[PASSWORD]).code, 0);
    assert_ne!(without_key(&machine, "alice", &["wrong", first]).code, 0, "a wrong password, a right code");
    for options in ["", "-i"] {
        assert_ne!(sudo(&machine, options, &[PASSWORD]).code, 0, "sudo {options} by password alone");
        assert_ne!(sudo(&machine, options, &[PASSWORD, "000000"]).code, 0, "sudo {options}");
        let wrong = sudo(&machine, options, &["wrong", code()]);
        assert_ne!(wrong.code, 0);
        // The prompt for a code does not reveal whether the password was right.
        assert!(wrong.stderr.contains("Verification code"), "{wrong:?}");
    }
    assert_eq!(machine.ssh("alice", code()).assert_success().stdout, "alice\n", "a key and a code");
    let by_password = without_key(&machine, "alice", &[PASSWORD, code()]);
    assert_eq!(by_password.assert_success().stdout, "alice\n", "a password and a code");
    assert_eq!(sudo(&machine, "-i", &[PASSWORD, code()]).assert_success().stdout, "root\n");
    wait_until("both services are confirmed", || {
        machine.sh("cat /root/enable").stdout.contains("every service is confirmed")
    });
    assert_eq!(machine.sh("systemctl list-timers --all | grep -c totpd-pam").stdout, "0\n");
    assert!(machine.sh("totpd pam take-back").assert_success().stdout.contains("no change"));
    assert_ne!(sudo(&machine, "", &[PASSWORD]).code, 0, "the change stays");
    assert_ne!(key_alone(&machine, "alice").code, 0, "the change stays");
    assert!(state().as_array().unwrap().iter().all(|service| service["state"] == "confirmed"));
    let again = machine.sh("totpd pam enable sshd sudo --yes").assert_success().stdout;
    assert!(again.contains("nothing to change"), "{again}");

    // Without daemon and terminal, as in a package's script.
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").assert_success();
    assert_ne!(key_alone(&machine, "alice").code, 0);
    machine.sh("totpd pam disable --all --yes < /dev/null").assert_success();
    assert_as_before(&machine);
    assert_eq!(machine.sh("ls /etc/ssh/sshd_config.d; grep -l totp /etc/pam.d/*").stdout, "");
    let last = machine.sh("totpd pam disable --all --yes").assert_success().stdout;
    assert!(last.contains("no block"), "{last}");

    // A line that was written by hand stays, and is reported.
    machine.sh("echo 'auth required pam_totp.so' >> /etc/pam.d/su").assert_success();
    let left = machine.sh("totpd pam disable --all --yes");
    assert_eq!(left.code, 1);
    assert!(left.stderr.contains("/etc/pam.d/su:"), "{left:?}");
    let refused = machine.sh("totpd pam enable su --yes");
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("already asks for a code"), "{refused:?}");
}
