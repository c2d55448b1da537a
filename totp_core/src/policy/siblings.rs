//! Services that are one program to the person: `sudo` and `sudo -i` have a service file each.

/// Each group: the name that people know first, then its siblings.
///
/// Sources: sudoers(5), "pam_service" and "pam_login_service" (`sudo -i`); su(1) of util-linux ("su -"); cron and the
/// display managers by the files that Debian and Fedora ship.
const SIBLINGS: [&[&str]; 4] = [
    &["sudo", "sudo-i"],
    &["su", "su-l"],
    &["gdm-password", "gdm-fingerprint", "gdm-smartcard"],
    &["runuser", "runuser-l"],
];

/// The services that a name means: itself and its siblings; `=sudo` means that one alone.
///
/// ```
/// use totp_core::policy::siblings::services_of;
/// assert_eq!(services_of("sudo"), ["sudo", "sudo-i"]);
/// assert_eq!(services_of("=sudo"), ["sudo"]);
/// assert_eq!(services_of("sudo-i"), ["sudo-i"]);
/// ```
pub fn services_of(name: &str) -> Vec<&str> {
    if let Some(alone) = name.strip_prefix('=') {
        return vec![alone];
    }
    let group = SIBLINGS.iter().find(|group| group.first() == Some(&name));
    group.map_or_else(|| vec![name], |group| group.to_vec())
}
