//! Installation on booted Debian 12 and 13: the package, its units and sandbox, and repairs.

mod booted;
mod four_commands;
mod install;
mod postgresql;
mod remove;
mod repairs;
mod units;
mod upgrade;

use totpd_e2e::{Booted, Release};

/// Runs a test on both releases at the same time.
fn on_each(test: impl Fn(Release) + Sync) {
    std::thread::scope(|scope| {
        for release in Release::ALL {
            let test = &test;
            scope.spawn(move || test(release));
        }
    });
}

/// Makes sshd ask for a key and a code, and sudo for a code, as an administrator would.
const STACKS: &str = "set -e
    printf 'auth required pam_totp.so\\naccount required pam_permit.so\\n' > /etc/pam.d/sudo
    sed -i 's/^@include common-auth/auth required pam_totp.so/' /etc/pam.d/sshd
    printf '%s\\n' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \\
        'AuthenticationMethods publickey,keyboard-interactive:pam' > /etc/ssh/sshd_config.d/00-totpd.conf
    systemctl reload ssh";

/// Reverts [`STACKS`].
const NO_STACKS: &str = "set -e
    printf '@include common-auth\\n@include common-account\\n@include common-session-noninteractive\\n' > /etc/pam.d/sudo
    sed -i 's/^auth required pam_totp.so/@include common-auth/' /etc/pam.d/sshd
    rm /etc/ssh/sshd_config.d/00-totpd.conf
    systemctl reload ssh";

/// Returns checksums of key, id and store.
fn secrets(machine: &Booted) -> String {
    let files = "/etc/totpd/totpd.key /etc/totpd/store.id /var/lib/totpd/totpd.db";
    machine.sh(&format!("sha256sum {files} 2>/dev/null")).stdout
}
