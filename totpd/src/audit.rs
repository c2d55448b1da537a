//! One event for each decision: a row of the history in the transaction of what it decided, and a line of
//! the log. It names user, source, outcome and reason, and never a code, a secret or a password.

use crate::clock::rfc3339;
use crate::logging::{self, Dropped};
use serde::Serialize;
use totp_core::policy::{Mode, Pass};
use totp_core::{How, Time};
use totp_wire::text::printable;

/// Longest text of one field, in bytes.
const MAX_FIELD: usize = 256;

/// What happened. Fields that do not apply are left out of the JSON.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the documented JSON")]
pub struct Event {
    /// `login`, `authenticate`, `session`, `enroll`, `ticket`, `confirm`, `revoke`, `unlock`, `forget`,
    /// `recovery-codes`, `show-recovery-codes`, `cancel`, `notice`, `expire`, `user-create`, `user-update`, `user-delete`,
    /// `client-add`, `client-revoke`, `signing-key`, `client`, `admin`, `trust-clock`, `breakglass`, `backup`,
    /// `restore`, `log-dropped`.
    pub event: &'static str,
    /// RFC 3339, UTC.
    pub time: String,
    /// Names the attempt, which the module logs too, or the request of an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose factor it is about: the login name, or the id where there is none.
    pub user: String,
    /// The id of the user whom an application asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The user who is logged in to, when it is another one (`subject = "ruser"`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `granted`, `exempt`, `refused`, `offered` (an enrollment inside a login), `undelivered`, `staged` (a change that has to
    /// ripen) or `done`.
    pub outcome: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The name is nobody's here, and is left out: it may be a password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// The rule that decided: its name, or `rule N`. None is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What let pass without enforcement: `monitor`, `monitor-ask` or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    /// What enforcement would have done: `asked`, `refused`, `enrolled` or `granted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<&'static str>,
    /// Why it would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_reason: Option<&'static str>,
    /// How a first factor was proved, where that let in: `ssh`, `pam-line` or `local-rule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_factor: Option<&'static str>,
    /// `totp`, `recovery`, `remembered` or `breakglass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    /// The enrollment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// The session of an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The class of sources it was counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// So many alike since the last row were left out of the history: each changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// This failure locked the class.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub locks: bool,
    /// This code confirmed the enrollment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// The factor was made inside this login.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enrolled: bool,
    /// Steps that the phone's clock was ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_offset: Option<i64>,
    /// Recovery codes left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<usize>,
    /// Seconds since the grant that was remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered_age: Option<u64>,
    /// Lines like this one that were left out, since nobody read the log. In the log alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
    /// Lines that the log lacks, by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Where it came from.
    #[serde(flatten)]
    pub from: EventSource,
}

/// Where something came from: what the peer is, and what it says, as far as it is believed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventSource {
    /// The PAM service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// The real uid of a setuid program: who started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_uid: Option<u32>,
    /// The audit login uid of the program that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// From which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// On which terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// The methods that succeeded in SSH before, without their keys; a key's fingerprint is below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_methods: Option<String>,
    /// Of the key that succeeded, as ssh-keygen(1) prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
    /// The application, by the name of its credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The address it connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,
    /// The uid of the process on the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_uid: Option<u32>,
    /// Its pid, which proves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_pid: Option<i32>,
}

impl EventSource {
    /// What tells sources apart: the remote address (of IPv6 the /64), the application, or the caller; for a service that
    /// names none of them its name; for a process of a user's own the uid.
    pub fn source(&self) -> String {
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

    /// The source in words, for a person.
    pub fn to_sentence(&self) -> String {
        let client = || self.client.as_ref().map(|client| format!("the application {client}"));
        let caller = || self.caller_uid.map(|uid| format!("this host (uid {uid})"));
        let known = self.rhost.clone().or_else(client).or_else(caller);
        known.unwrap_or_else(|| "this host".to_owned())
    }
}

impl Event {
    /// An event about `user` at `time`.
    pub fn new(event: &'static str, user: &str, time: Time, from: EventSource) -> Self {
        Self { event, user: printable(user, MAX_FIELD), time: rfc3339(time), from, ..Self::default() }
    }

    /// What a proof tells.
    #[must_use]
    pub fn with_how(mut self, how: How) -> Self {
        match how {
            How::Totp { offset } => {
                self.method = Some("totp");
                self.step_offset = Some(offset);
            }
            How::Recovery { left } => {
                self.method = Some("recovery");
                self.recovery_codes_left = Some(left);
            }
            How::Remembered { age } => {
                self.method = Some("remembered");
                self.remembered_age = Some(age);
            }
            How::BreakGlass => self.method = Some("breakglass"),
        }
        self
    }

    /// Somebody passes all the same; enforcement `would` have done something else. A reason that was found so
    /// far is why.
    pub fn passes(&mut self, pass: &Pass, would: &'static str) {
        self.outcome = "exempt";
        self.first_factor = Some(pass.evidence().as_str());
        if pass.mode() != Mode::Enforce {
            self.mode = Some(pass.mode().as_str());
            self.would = Some(would);
            self.would_reason = self.reason.take();
        }
    }

    /// Leaves the name out, wherever it stands: nobody has it, and people type passwords at prompts for names.
    pub fn leave_name_out(&mut self) {
        let user = std::mem::take(&mut self.user);
        self.from.ruser.take_if(|ruser| *ruser == user);
        self.unknown = true;
    }

    /// The row of the history.
    pub fn row(&self, at: Time) -> EventRow {
        let user = Some(self.user.clone()).filter(|user| !user.is_empty());
        EventRow { at, user, json: self.json() }
    }

    /// Queues the line of the log. Called after the transaction that holds its row.
    pub fn log(&self) {
        logging::audit(self);
    }

    /// The event as one line of JSON.
    pub fn json(&self) -> String {
        // Text and numbers only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A row of the history: an event in the form in which the store keeps it.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When it was decided.
    pub at: Time,
    /// The login name, or the id, of the user it is about; `None` where it names nobody.
    pub user: Option<String>,
    /// The event as one line of JSON.
    pub json: String,
}

/// Text of a peer, bounded and without control characters.
pub fn field(text: &str) -> String {
    printable(text, MAX_FIELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/reference/audit.md");

    #[test]
    fn every_field_is_documented_and_every_documented_one_exists() {
        let text = || Some("x".to_owned());
        let full = Event {
            id: text(),
            user_id: text(),
            session_id: text(),
            target: text(),
            reason: Some("x"),
            unknown: true,
            rule: text(),
            mode: Some("x"),
            would: Some("x"),
            would_reason: Some("x"),
            first_factor: Some("x"),
            method: Some("x"),
            totp_id: text(),
            class: Some("x"),
            left_out: Some(1),
            locks: true,
            confirmed: true,
            enrolled: true,
            step_offset: Some(1),
            recovery_codes_left: Some(1),
            remembered_age: Some(1),
            repeated: Some(1),
            dropped: Some(Dropped::one_of_each()),
            from: EventSource {
                service: text(),
                ruser: text(),
                caller_uid: Some(1),
                login_uid: Some(1),
                rhost: text(),
                tty: text(),
                ssh_methods: text(),
                ssh_key: text(),
                client: text(),
                peer_address: text(),
                peer_uid: Some(1),
                peer_pid: Some(1),
            },
            ..Event::new("login", "x", Time::default(), EventSource::default())
        };
        let value: serde_json::Value = serde_json::from_str(&full.json()).unwrap();
        let table = DOCUMENT.split("## Reasons").next().unwrap_or_default();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let documented: Vec<&str> =
            rows.flat_map(|cell| cell.split('`').step_by(2)).filter(|w| *w != ", ").collect();
        let documented: Vec<&str> = documented.into_iter().filter(|word| !word.is_empty()).collect();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut named = documented;
        fields.sort_unstable();
        named.sort_unstable();
        assert_eq!(fields, named);
    }

    #[test]
    fn every_reason_of_the_engine_is_documented() {
        use totp_core::{Reason, RejectedInput};
        let unusable =
            [RejectedInput::Empty, RejectedInput::Shape, RejectedInput::HostJunk].map(Reason::Rejected);
        let others = [
            Reason::Wrong,
            Reason::Replayed,
            Reason::Locked,
            Reason::Expired,
            Reason::NotEnrolled,
            Reason::Clock,
            Reason::NotRipe,
            Reason::Denied,
            Reason::NoFirstFactor,
            Reason::NotShown,
            Reason::Raced,
        ];
        for reason in unusable.into_iter().chain(others) {
            assert!(DOCUMENT.contains(&format!("`{}`", reason.as_str())), "{}", reason.as_str());
        }
    }
}
