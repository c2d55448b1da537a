//! The modules that authenticate users.

/// The modules that authenticate users. A module that is not listed counts as one that does not.
const AUTHENTICATORS: [&str; 21] = [
    "pam_unix.so",
    "pam_unix2.so",
    "pam_sss.so",
    "pam_sss_gss.so",
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_ldapdb.so",
    "pam_winbind.so",
    "pam_systemd_home.so",
    "pam_fprintd.so",
    "pam_u2f.so",
    "pam_yubico.so",
    "pam_pkcs11.so",
    "pam_p11.so",
    "pam_ssh_agent_auth.so",
    "pam_rssh.so",
    "pam_userdb.so",
    "pam_radius_auth.so",
    "pam_tcb.so",
    "pam_himmelblau.so",
    "pam_authd.so",
];

/// Whether the module with this file name authenticates users.
pub(super) fn is_authenticator_module(name: &str) -> bool {
    AUTHENTICATORS.contains(&name)
}
