//! Collects what the module sends to the daemon about an attempt. Everything is copied before the
//! first prompt: a borrow of libpam's memory dangles when the host sets an item during a
//! conversation.

use crate::host::{Host, Item, NoConversation};
use totp_wire::addresses::is_host_address;
use totp_wire::login::Attempt;
use totp_wire::pam_args::Args;

/// The longest item in bytes. No login name is longer than 255 bytes.
const MAX_ITEM: usize = 256;
/// The longest SSH_AUTH_INFO_0 in bytes, so that the message stays within its limit.
const MAX_SSH_AUTH: usize = 6 * 1024;

/// Whether the host program lets the module show messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    /// Messages are shown.
    Shown,
    /// The program has set `PAM_SILENT`: prompts are shown, but no messages.
    Silent,
}

/// Collects the attempt from the host program, the arguments and the kernel.
pub(crate) fn collect(
    host: &mut impl Host,
    args: &Args,
    messages: Messages,
) -> Result<Attempt, NoConversation> {
    let user = bounded(host.user()?);
    let process = host.process();
    let rhost = host.item(Item::Rhost).map(bounded);
    Ok(Attempt {
        user,
        service: host.item(Item::Service).map(bounded),
        ruser: host.item(Item::Ruser).map(bounded),
        own_address: rhost.as_deref().is_some_and(is_host_address).then_some(true),
        rhost,
        tty: host.item(Item::Tty).map(bounded),
        ssh_auth: host.ssh_auth_info().map(|info| lines(&info)),
        real_uid: Some(process.real_uid),
        login_uid: process.login_uid,
        audit_session: process.audit_session,
        silent: (messages == Messages::Silent).then_some(true),
        first_factor: args.first_factor.then_some(true),
        combined: args.forward_pass.then_some(true),
        tries: Some(args.tries),
        unasked: args.use_first_pass.then_some(true),
        started: process.started,
        parent: process.parent,
    })
}

/// Truncates text to [`MAX_ITEM`] bytes, at a character.
fn bounded(mut text: String) -> String {
    let end = (0..=MAX_ITEM.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.truncate(end);
    text
}

/// Returns the lines that fit; of a line that does not (a huge certificate), only the method's
/// name.
fn lines(info: &str) -> Vec<String> {
    let mut room = MAX_SSH_AUTH;
    let mut kept = Vec::new();
    for line in info.lines().filter(|line| !line.is_empty()) {
        let line = if line.len() <= room { line } else { line.split(' ').next().unwrap_or_default() };
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left;
        kept.push(line.to_owned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_truncated_at_a_character() {
        assert_eq!(bounded("é".repeat(200)).len(), 256);
        assert_eq!(bounded("x".repeat(257)).len(), 256);
        assert_eq!(bounded("alice".into()), "alice");
    }

    #[test]
    fn only_the_method_of_a_huge_key_is_sent() {
        let info = format!("publickey ssh-ed25519 AAAA\npublickey x509 {}\npassword\n", "A".repeat(9000));
        assert_eq!(lines(&info), ["publickey ssh-ed25519 AAAA", "publickey", "password"]);
    }
}
