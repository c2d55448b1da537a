//! `totpd pam enable` for a screen locker: only an unlock by an administrator confirms it.
//!
//! The locker is a PAM conversation in a process of the user, which answers every prompt with one
//! field.

use super::*;
use totpd_e2e::paths::native;

/// Debian's file.
const I3LOCK: &str = "auth include login\n";

/// Returns whether a locker of `user` opens.
fn unlocks(machine: &Booted, user: &str, field: &str) -> bool {
    let run = format!("runuser -u {user} -- /usr/local/bin/pamhost i3lock {user} authenticate");
    let ran = machine.sh_with(&run, &format!("{field}\n").repeat(4));
    ran.stdout.contains("authenticate=0")
}

#[track_caller]
fn assert_locker_as_before(machine: &Booted) {
    assert_eq!(machine.sh("cat /etc/pam.d/i3lock").stdout, I3LOCK);
    assert!(unlocks(machine, "alice", PASSWORD) && unlocks(machine, "bob", PASSWORD));
    assert!(!unlocks(machine, "alice", "wrong"));
    assert_as_before(machine);
}

#[test]
fn only_an_administrators_unlock_confirms_a_locker() {
    let (machine, phone) = machine(Release::Trixie);
    machine.copy(&native("pamhost"), "/usr/local/bin/pamhost");
    machine.sh_with("chmod 0755 /usr/local/bin/pamhost; cat > /etc/pam.d/i3lock", I3LOCK).assert_success();
    machine.add_user("bob");
    assert_locker_as_before(&machine);
    let dry = machine.sh("totpd pam enable i3lock --dry-run").assert_success().stdout;
    assert!(dry.contains("cannot unlock"), "{dry}");
    assert!(machine.sh("totpd pam enable i3lock --mode monitor --yes").stderr.contains("--mode require"));

    // Killed after the files changed, with an unlock by an ordinary user.
    enable(&machine, "i3lock --confirm-within 12s");
    let said = machine.sh("cat /root/enable").stdout;
    assert!(said.contains("cannot unlock: bob\n") && said.contains("lock the screen now"), "{said}");
    assert!(!unlocks(&machine, "bob", PASSWORD), "bob has no factor");
    let bob = machine.enroll("bob");
    assert!(unlocks(&machine, "bob", &format!("{PASSWORD}{}", bob.recovery_codes[0])));
    machine.sh("kill -KILL $(cat /root/pid)").assert_success();
    wait_until("the timer has run", || machine.sh("test -e /var/lib/totpd-pam/pending").code != 0);
    assert_locker_as_before(&machine);
    enable(&machine, "i3lock --mode rules");
    assert!(!unlocks(&machine, "alice", PASSWORD));
    machine.sh("kill -KILL $(cat /root/pid); systemctl start totpd-pam-take-back.service").assert_success();
    assert_locker_as_before(&machine);

    enable(&machine, "i3lock");
    for refused in [PASSWORD, &phone.recovery_codes[0], &format!("wrong{}", phone.recovery_codes[1])] {
        assert!(!unlocks(&machine, "alice", refused), "{refused}");
    }
    assert!(unlocks(&machine, "alice", &format!("{PASSWORD}{}", phone.recovery_codes[2])));
    wait_until("the locker is confirmed", || {
        machine.sh("cat /root/enable").stdout.contains("every service is confirmed")
    });
    let doctor = machine.sh("totpd doctor").stdout;
    assert!(!doctor.contains("i3lock"), "{doctor}");
    machine.sh("systemctl stop totpd.service 'totpd*.socket'").assert_success();
    let field = format!("{PASSWORD}{}", phone.recovery_codes[3]);
    assert!(!unlocks(&machine, "alice", &field), "without a daemon");
    machine.sh("systemctl start totpd.socket").assert_success();
    assert!(unlocks(&machine, "alice", &field));
    machine.sh("totpd pam disable --all --yes").assert_success();
    assert_locker_as_before(&machine);
}
