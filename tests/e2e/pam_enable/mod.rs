//! `totpd pam` on machines that boot: what it leaves is tried by logins, not by reading files.

mod kill;
mod locker;
mod modes;
mod takes_back;
mod whole;

use site::logins::PASSWORD;
use site::phone::Phone;
use site::run::wait_until;
use site::{Booted, Finished, Release};

/// A machine with a daemon that serves, and alice, an administrator with a factor.
fn machine(release: Release) -> (Booted, Phone) {
    let machine = Booted::on(release);
    let script = "set -e
        systemd-sysusers; systemd-tmpfiles --create
        totpd init --owner totpd
        systemctl daemon-reload
        systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket
        echo '127.0.1.1 vm' >> /etc/hosts";
    machine.sh(script).ok();
    machine.add_user("alice");
    machine.sh("usermod -aG sudo alice; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys").ok();
    let phone = machine.enroll("alice");
    (machine, phone)
}

/// `totpd pam enable` in the machine, waiting for logins; what it prints is in /root/enable.
fn enable(machine: &Booted, arguments: &str) {
    machine.sh("rm -f /root/enable").ok();
    machine.sh(&format!(
        "setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable {arguments} --yes' > /root/enable 2>&1"
    ));
    wait_until("totpd pam enable has changed the files", || {
        let said = machine.sh("cat /root/enable").stdout;
        assert!(!said.contains("totpd: "), "{said}");
        said.contains("Now log in")
    });
}

/// A login by key with `ssh -o BatchMode=yes`, which answers nothing.
fn key_alone(machine: &Booted, user: &str) -> Finished {
    machine.sh(&format!(
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
         {user}@127.0.0.1 id -un"
    ))
}

/// A login without a key, whose answers are these lines.
fn without_key(machine: &Booted, user: &str, answers: &[&str]) -> Finished {
    let prompts = answers.len();
    machine.sh_with(
        &format!(
            "cat > /root/answers; printf '#!/bin/sh\\nhead -n1 /root/answers; sed -i 1d /root/answers\\n' > /root/ask
             chmod 0755 /root/ask
             SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force setsid -w ssh -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o PubkeyAuthentication=no \
             -o NumberOfPasswordPrompts={prompts} {user}@127.0.0.1 id -un < /dev/null"
        ),
        &format!("{}\n", answers.join("\n")),
    )
}

/// `sudo` with `options` by alice, who types `lines`.
fn sudo(machine: &Booted, options: &str, lines: &[&str]) -> Finished {
    machine.sh_with(
        &format!("runuser -u alice -- sudo -k -S {options} id -un"),
        &format!("{}\n", lines.join("\n")),
    )
}

/// No service asks for a code, and every login of before works.
fn assert_as_before(machine: &Booted) {
    assert_eq!(key_alone(machine, "alice").ok().stdout, "alice\n");
    assert_eq!(key_alone(machine, "root").ok().stdout, "root\n");
    assert_eq!(without_key(machine, "alice", &[PASSWORD]).ok().stdout, "alice\n");
    for options in ["", "-i"] {
        assert_eq!(sudo(machine, options, &[PASSWORD]).ok().stdout, "root\n", "sudo {options}");
    }
}
