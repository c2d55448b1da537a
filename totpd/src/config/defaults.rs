//! What holds where `totpd.toml` says nothing.

use super::{Administration, Config, SelfEnroll, StorePlace, Totp};
use std::path::Path;
use totp_core::Params;
use totp_core::new_factor::DEFAULT_PENDING_LIFETIME;
use totp_core::policy::Policy;
use totp_core::recovery::RecoveryStorage;
use totp_core::self_service::DEFAULT_DELAY;

/// The PAM services of consoles on Debian and Fedora: login, and the display managers.
const CONSOLE_SERVICES: [&str; 12] = [
    "login",
    "gdm",
    "gdm-password",
    "gdm-fingerprint",
    "gdm-smartcard",
    "lightdm",
    "sddm",
    "greetd",
    "lxdm",
    "xdm",
    "slim",
    "ly",
];

/// The default of [`Config::refused_prompt`]. The commonest mistake is the code of the SSH login
/// typed again at sudo.
const REFUSED_PROMPT: &str =
    "Not accepted. Each code works once: wait for the next one, or type a recovery code.";

/// sshd's own default of LoginGraceTime, in seconds (sshd_config(5)).
const SSH_GRACE_TIME: u64 = 120;

/// Programs that show PAM's messages to the user only. Not cockpit, xrdp and display managers,
/// which log them; nor polkit-1, whose agent may log them (KDE's does).
const SHOW_SECRETS_SERVICES: [&str; 6] = ["login", "sshd", "su", "su-l", "sudo", "sudo-i"];

impl Config {
    /// The built-in defaults for a configuration in `folder`.
    pub fn defaults(folder: &Path) -> Self {
        Self {
            root_socket: "/run/totpd/root.sock".into(),
            login_socket: "/run/totpd/login.sock".into(),
            admin_socket: "/run/totpd/admin.sock".into(),
            state_dir: "/var/lib/totpd".into(),
            store: StorePlace::default(),
            witness_dir: None,
            key_file: folder.join("totpd.key"),
            store_id_file: folder.join("store.id"),
            breakglass_marks: folder.join("breakglass.log"),
            administration: Administration::default(),
            totp: Totp {
                issuer: "%h".into(),
                params: Params::default(),
                skew: 1,
                pending: DEFAULT_PENDING_LIFETIME,
                recovery_storage: RecoveryStorage::Hashed,
            },
            prompt: "Verification code: ".into(),
            refused_prompt: REFUSED_PROMPT.into(),
            console_services: CONSOLE_SERVICES.map(str::to_owned).to_vec(),
            self_enroll: SelfEnroll::default(),
            show_secrets_services: SHOW_SECRETS_SERVICES.map(str::to_owned).into(),
            self_change_delay: DEFAULT_DELAY,
            ssh_grace_time: SSH_GRACE_TIME,
            policy: Policy::default(),
            rule_lines: Vec::new(),
            keep_events: 100_000,
            trusted_peers: Vec::new(),
            http: Ok(None),
            last_good: None,
        }
    }
}
