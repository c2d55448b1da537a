//! Users of a booted machine, and their logins by its own ssh and sudo.

use crate::booted::Booted;
use crate::phone::Phone;
use crate::run::Finished;

/// `USER PASSWORD`: adds a user who has root's key.
const ADD_USER: &str = r#"
set -e
user=$1
useradd --create-home --shell /bin/sh "$user"
echo "$user:$2" | chpasswd
echo "$user ALL=(ALL) ALL" > "/etc/sudoers.d/$user"
[ -e /root/.ssh/id_ed25519 ] || { mkdir -p -m 0700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; }
home=$(getent passwd "$user" | cut -d: -f6)
install -d -m 0700 -o "$user" "$home/.ssh"
install -m 0600 -o "$user" /root/.ssh/id_ed25519.pub "$home/.ssh/authorized_keys"
printf '#!/bin/sh\nprintf "%%s\\n" "$CODE"\n' > /root/askpass
chmod 0755 /root/askpass
"#;

/// The password of every user that [`Booted::add_user`] adds.
pub const PASSWORD: &str = "correct horse";

impl Booted {
    /// Adds a user with [`PASSWORD`], root's key, and the right to become root with sudo.
    #[track_caller]
    pub fn add_user(&self, user: &str) {
        self.sh(&format!("set -- '{user}' '{PASSWORD}'\n{ADD_USER}")).assert_success();
    }

    /// Enrolls a user and confirms the factor by a first code.
    #[track_caller]
    pub fn enroll(&self, user: &str) -> Phone {
        let phone = Phone::from(&self.sh(&format!("totpd enroll --json {user}")).assert_success().json());
        self.sh_with(&format!("totpd confirm {user}"), &phone.code_at(self.now())).assert_success();
        phone
    }

    /// Logs in by ssh with root's key, and answers every prompt with `answer`. Prints the user's
    /// name.
    pub fn ssh(&self, user: &str, answer: &str) -> Finished {
        self.sh(&format!(
            "CODE='{answer}' SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force setsid -w ssh -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 -o NumberOfPasswordPrompts=1 \
             {user}@127.0.0.1 id -un < /dev/null"
        ))
    }

    /// Runs sudo as `user`, who types `lines`. Prints the name of root.
    pub fn sudo(&self, user: &str, lines: &str) -> Finished {
        self.sh_with(&format!("runuser -u {user} -- sudo -k -S id -un"), lines)
    }
}
