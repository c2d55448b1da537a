//! PAM services that users see as one program: `sudo` and `sudo -i` have a service file each.

/// The groups of services: first the well-known name, then the related names.
///
/// Sources: sudoers(5), "pam_service" and "pam_login_service" (`sudo -i`); su(1) of util-linux ("su
/// -"); cron and the display managers by the files that Debian and Fedora ship.
const SIBLINGS: [&[&str]; 4] = [
    &["sudo", "sudo-i"],
    &["su", "su-l"],
    &["gdm-password", "gdm-fingerprint", "gdm-smartcard"],
    &["runuser", "runuser-l"],
];

/// Returns the PAM services that a name in a rule stands for: the name itself and the related ones.
/// With `=` in front it stands for that one service alone.
///
/// ```
/// use totp_core::policy::siblings::services_of;
/// assert_eq!(services_of("sudo"), ["sudo", "sudo-i"]);
/// assert_eq!(services_of("=sudo"), ["sudo"]);
/// assert_eq!(services_of("sudo-i"), ["sudo-i"]);
/// ```
pub fn services_of(name: &str) -> Vec<&str> {
    if let Some(exact) = name.strip_prefix('=') {
        return vec![exact];
    }
    let group = SIBLINGS.iter().find(|group| group.first() == Some(&name));
    group.map_or_else(|| vec![name], |group| group.to_vec())
}
