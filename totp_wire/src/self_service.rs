//! `org.totpd.Self`: what users do for themselves, by the uid of their process. Times are Unix
//! seconds.

use crate::admin::{ConfirmReply, EnrollReply, HistoryReply, RecoveryCodesReply, RevokeReply, StatusReply};
use crate::message::Method;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// The interface's name.
pub const INTERFACE: &str = "org.totpd.Self";
/// The interface's text.
pub const DESCRIPTION: &str = include_str!("../interfaces/org.totpd.Self.varlink");
/// Error: the peer's uid has no name.
pub const NO_NAME: &str = "org.totpd.Self.NoName";
/// Error: the user has no factor for this.
pub const NOT_ENROLLED: &str = "org.totpd.Self.NotEnrolled";
/// Error: a current code or a recovery code is needed.
pub const CODE_NEEDED: &str = "org.totpd.Self.CodeNeeded";
/// Error: a ticket of an administrator is needed.
pub const TICKET_NEEDED: &str = "org.totpd.Self.TicketNeeded";
/// Error: the code or the ticket was refused.
pub const REFUSED: &str = "org.totpd.Self.Refused";
/// Error: the site does not let users enroll themselves.
pub const ENROLLMENT_DISABLED: &str = "org.totpd.Self.EnrollmentDisabled";
/// Error: the name has another uid than at enrollment.
pub const UID_CHANGED: &str = "org.totpd.Self.UidChanged";
/// Error: the store cannot be used, or cannot store this.
pub const STORE_UNAVAILABLE: &str = "org.totpd.Self.StoreUnavailable";
/// Error: the daemon is busy.
pub const BUSY: &str = "org.totpd.Self.Busy";
/// Error: a change is staged already.
pub const ALREADY_STAGED: &str = "org.totpd.Self.AlreadyStaged";
/// Error: two changes were cancelled recently, so a ticket is needed.
pub const CANCELLED_TWICE: &str = "org.totpd.Self.CancelledTwice";
/// Error: no change is staged.
pub const NOTHING_STAGED: &str = "org.totpd.Self.NothingStaged";
/// Error: the staged factor is not ripe.
pub const NOT_RIPE: &str = "org.totpd.Self.NotRipe";
/// Error: the factor finds no place among the user's authenticators.
pub const NO_PLACE: &str = "org.totpd.Self.NoPlace";

/// Asks for the state of the user's factor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// Makes a pending factor for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enroll {
    /// A ticket of an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SecretText>,
    /// A code of the active factor, or a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<SecretText>,
    /// Seconds until the factor expires, unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// The name of the authenticator. Without `add` the factor replaces the one of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the factor becomes a further authenticator, beside those in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<bool>,
}

/// Confirms the user's pending factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// Its first code.
    pub code: SecretText,
}

/// Replaces the user's recovery codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// A code of the active factor, or a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<SecretText>,
    /// A ticket of an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SecretText>,
}

/// Deletes the user's factor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The name of the authenticator to delete. `None`: the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A code of the active factor, or a recovery code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<SecretText>,
    /// A ticket of an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SecretText>,
}

/// Cancels the change that the user has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// A code of the active factor, or a recovery code.
    pub code: SecretText,
}

/// Deletes the user's remembered logins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {}

/// Asks for a page of the user's history, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Where the page starts: `next` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Events at or after this time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// At most this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

macro_rules! methods {
    ($($method:ident -> $reply:ty;)*) => {$(
        impl Method for $method {
            const NAME: &'static str = concat!("org.totpd.Self.", stringify!($method));
            type Reply = $reply;
        }
    )*};
}

methods! {
    Status -> StatusReply;
    Enroll -> EnrollReply;
    Confirm -> ConfirmReply;
    RecoveryCodes -> RecoveryCodesReply;
    Revoke -> RevokeReply;
    Cancel -> crate::admin::CancelReply;
    Forget -> crate::admin::ForgetReply;
    History -> HistoryReply;
}
