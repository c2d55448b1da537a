//! `totpd pam` on booted machines: logins test what it changes.

mod kill;
mod locker;
mod modes;
mod takes_back;
mod whole;

use totpd_e2e::logins::PASSWORD;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Booted, Finished, Release};

/// Boots a machine with a daemon that serves, and with alice, an administrator with a factor.
#[track_caller]
fn machine(release: Release) -> (Booted, Phone) {
    let machine = Booted::on(release);
    let script = "set -e
        systemd-sysusers; systemd-tmpfiles --create
        totpd init --owner totpd
        systemctl daemon-reload
        systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket
        echo '127.0.1.1 vm' >> /etc/hosts";
    machine.sh(script).assert_success();
    machine.add_user("alice");
    machine
        .sh("usermod -aG sudo alice; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys")
        .assert_success();
    let phone = machine.enroll("alice");
    (machine, phone)
}

/// Starts `totpd pam enable` in the machine until it waits for logins. Its output is in
/// /root/enable.
#[track_caller]
fn enable(machine: &Booted, arguments: &str) {
    machine.sh("rm -f /root/enable").assert_success();
    machine.sh(&format!(
        "setsid -f sh -c 'echo $$ > /root/pid; exec totpd pam enable {arguments} --yes' > /root/enable 2>&1"
    ));
    wait_until("totpd pam enable has changed the files", || {
        let said = machine.sh("cat /root/enable").stdout;
        assert!(!said.contains("totpd: "), "{said}");
        said.contains("Now log in")
    });
}

/// Logs in by key with `ssh -o BatchMode=yes`, which answers no prompt.
fn key_alone(machine: &Booted, user: &str) -> Finished {
    machine.sh(&format!(
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
         {user}@127.0.0.1 id -un"
    ))
}

/// Logs in without a key, with one of these answers for each prompt.
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

/// Runs `sudo` with `options` as alice, who types `lines`.
fn sudo(machine: &Booted, options: &str, lines: &[&str]) -> Finished {
    machine.sh_with(
        &format!("runuser -u alice -- sudo -k -S {options} id -un"),
        &format!("{}\n", lines.join("\n")),
    )
}

/// Asserts that no service asks for a code, and that every login works as before.
#[track_caller]
fn assert_as_before(machine: &Booted) {
    assert_eq!(key_alone(machine, "alice").assert_success().stdout, "alice\n");
    assert_eq!(key_alone(machine, "root").assert_success().stdout, "root\n");
    assert_eq!(without_key(machine, "alice", &[PASSWORD]).assert_success().stdout, "alice\n");
    for options in ["", "-i"] {
        assert_eq!(sudo(machine, options, &[PASSWORD]).assert_success().stdout, "root\n", "sudo {options}");
    }
}
