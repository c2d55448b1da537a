//! One event for each decision: a row of the history, in the transaction of what it records, and a
//! line of the log.
//!
//! An event names the user, the source, the outcome and the reason, and never a code, a secret or a
//! password. docs/reference/audit.md describes each field and each word.

mod dropped;
mod source;
mod words;

pub use dropped::Dropped;
pub use source::EventSource;
pub use words::{EventKind, EventOutcome, EventReason, Method, UnjudgedReason, Would};

use crate::clock::rfc3339;
use serde::{Deserialize, Serialize, Serializer};
use totp_core::lock::SourceClass;
use totp_core::policy::{Evidence, Mode, Pass};
use totp_core::{How, Time};
use totp_wire::text::printable;

/// Longest text of one field, in bytes.
const MAX_FIELD: usize = 256;

/// What happened. Fields that do not apply are left out of the JSON.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the documented JSON")]
pub struct Event {
    /// What the event is about.
    pub event: EventKind,
    /// RFC 3339, UTC.
    pub time: String,
    /// Names the attempt, as in the lines of the PAM module, or the request of an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The user whose factor it is about: the login name, or the id where there is none.
    pub user: String,
    /// The id of the user whom an application asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The user who is logged in to, when it is another one (`subject = "ruser"`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How it ended.
    pub outcome: EventOutcome,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<EventReason>,
    /// The name is not a user's and is left out: it may be a password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// The rule that decided: its name, or `rule N`. `None` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The mode that let pass, where it was not `enforce`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "mode_word")]
    pub mode: Option<Mode>,
    /// What enforcement would have done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
    /// Why enforcement would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_reason: Option<EventReason>,
    /// How a first factor was proved, where that let pass.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "evidence_word")]
    pub first_factor: Option<Evidence>,
    /// How the factor was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The id of the enrollment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totp_id: Option<String>,
    /// The id of the session of an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The class of sources in which the attempt was counted.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "class_word")]
    pub class: Option<SourceClass>,
    /// How many events like this one were left out of the history since its last row: each changed
    /// nothing.
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
    /// How often the key of an enrollment inside a login was shown, if more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_shown: Option<u32>,
    /// The secret was made elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub given: bool,
    /// Time steps by which the phone's clock was ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_offset: Option<i64>,
    /// Recovery codes that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<usize>,
    /// Seconds since the grant that was remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered_age: Option<u64>,
    /// How many more lines like this one the log lacks, since nobody read it. In the log alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
    /// How many lines the log lacks, by lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Where it came from.
    #[serde(flatten)]
    pub from: EventSource,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn mode_word<S: Serializer>(mode: &Option<Mode>, serializer: S) -> Result<S::Ok, S::Error> {
    mode.map(Mode::as_str).serialize(serializer)
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn evidence_word<S: Serializer>(evidence: &Option<Evidence>, serializer: S) -> Result<S::Ok, S::Error> {
    evidence.map(Evidence::as_str).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn class_word<S: Serializer>(class: &Option<SourceClass>, serializer: S) -> Result<S::Ok, S::Error> {
    class.as_ref().map(SourceClass::as_str).serialize(serializer)
}

impl Event {
    /// An event about `user` at `time`, with the outcome [`EventOutcome::Done`] unless the caller
    /// sets another one.
    pub fn new(event: EventKind, user: &str, time: Time, from: EventSource) -> Self {
        Self {
            event,
            time: rfc3339(time),
            id: None,
            user: field(user),
            user_id: None,
            target: None,
            outcome: EventOutcome::Done,
            reason: None,
            unknown: false,
            rule: None,
            mode: None,
            would: None,
            would_reason: None,
            first_factor: None,
            method: None,
            totp_id: None,
            session_id: None,
            class: None,
            left_out: None,
            locks: false,
            confirmed: false,
            enrolled: false,
            key_shown: None,
            given: false,
            step_offset: None,
            recovery_codes_left: None,
            remembered_age: None,
            repeated: None,
            dropped: None,
            from,
        }
    }

    /// Adds how the factor was proved.
    #[must_use]
    pub fn with_how(mut self, how: How) -> Self {
        match how {
            How::Totp { offset } => {
                self.method = Some(Method::Totp);
                self.step_offset = Some(offset);
            }
            How::Recovery { left } => {
                self.method = Some(Method::Recovery);
                self.recovery_codes_left = Some(left);
            }
            How::Remembered { age } => {
                self.method = Some(Method::Remembered);
                self.remembered_age = Some(age);
            }
            How::Passcode { .. } => self.method = Some(Method::Passcode),
            How::BreakGlass => self.method = Some(Method::BreakGlass),
        }
        self
    }

    /// Makes it a refusal for `reason`.
    #[must_use]
    pub fn refused(self, reason: impl Into<EventReason>) -> Self {
        Self { outcome: EventOutcome::Refused, reason: Some(reason.into()), ..self }
    }

    /// Makes it an exemption: the user passes by `pass`, and enforcement `would` have done
    /// something else. The reason that was found so far becomes the reason of that.
    pub fn exempt(&mut self, pass: &Pass, would: Would) {
        self.outcome = EventOutcome::Exempt;
        self.first_factor = Some(pass.evidence());
        if pass.mode() != Mode::Enforce {
            self.mode = Some(pass.mode());
            self.would = Some(would);
            self.would_reason = self.reason.take();
        }
    }

    /// Leaves the name out of each field: it is not a user's, and people type passwords at prompts
    /// for names.
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

    /// The event as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Text and numbers always have a form in JSON. If a field ever has none, the row still
            // says what happened.
            let (event, outcome) = (self.event.as_str(), self.outcome.as_str());
            tracing::error!("an event ({event}, {outcome}) cannot be written as JSON: {error}");
            let least = serde_json::json!({ "event": event, "time": self.time, "user": self.user, "outcome": outcome });
            least.to_string()
        })
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

/// The outcome that a row of the history records; `None` of JSON that is not an event.
pub fn recorded_outcome(json: &str) -> Option<EventOutcome> {
    #[derive(Deserialize)]
    struct Recorded {
        outcome: EventOutcome,
    }
    serde_json::from_str(json).ok().map(|recorded: Recorded| recorded.outcome)
}

/// The text of a peer for a field: bounded, and without control characters.
pub fn field(text: &str) -> String {
    printable(text, MAX_FIELD)
}

#[cfg(test)]
mod tests;
