//! Where an event came from.

use serde::Serialize;

/// Where an event came from: what the peer is, and what it says of itself as far as that is
/// believed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventSource {
    /// The PAM service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The user who asked (`PAM_RUSER`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// The real uid of a setuid program: the user who started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_uid: Option<u32>,
    /// The audit login uid of the program that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The remote host (`PAM_RHOST`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// The terminal (`PAM_TTY`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The SSH methods that succeeded before, without their keys; the fingerprint of a key is in
    /// `ssh_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_methods: Option<String>,
    /// The fingerprint of the key that succeeded, as ssh-keygen(1) prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
    /// The application, by the name of its credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The address from which the application connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,
    /// The uid of the process on the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_uid: Option<u32>,
    /// The login name of that uid, for what a member of an administrators' group does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_user: Option<String>,
    /// The pid of the process on the socket. It proves nothing: pids are used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_pid: Option<i32>,
}

impl EventSource {
    /// A key that tells sources apart: the remote address (of IPv6 the /64), the application, or
    /// the caller; for a service that names none of them its name; for a process of a user the uid.
    pub fn key(&self) -> String {
        let address = |text: &String| {
            let parsed = text.split('%').next().unwrap_or_default().parse();
            parsed.map_or_else(|_| text.clone(), |address| totp_core::Source::of(address).to_string())
        };
        let uid = self.caller_uid.or(self.peer_uid.filter(|uid| *uid != 0));
        let remote = self.rhost.as_ref().map(address).or_else(|| self.client.clone());
        let remote = remote.or_else(|| self.peer_address.as_ref().map(address));
        let local = || uid.map(|uid| format!("uid {uid}")).or_else(|| self.service.clone());
        remote.or_else(local).unwrap_or_default()
    }

    /// The source as a phrase for a person, such as `192.0.2.7` or `this host (uid 1000)`.
    pub fn to_phrase(&self) -> String {
        let client = || self.client.as_ref().map(|client| format!("the application {client}"));
        let caller = || self.caller_uid.map(|uid| format!("this host (uid {uid})"));
        let known = self.rhost.clone().or_else(client).or_else(caller);
        known.unwrap_or_else(|| "this host".to_owned())
    }
}
