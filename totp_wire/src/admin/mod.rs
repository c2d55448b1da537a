//! `org.totpd.Admin`: the interface for administrators. Times are in Unix seconds.

mod backup;
mod clients;
mod daemon;
mod given;
mod passcode;
mod queries;
mod user;

pub use backup::{Accept, AcceptReply, Backup, BackupReply};
pub use clients::{
    AddClient, AddClientReply, ClientSecret, ListClients, ListClientsReply, RevokeClient, RevokeClientReply,
};
pub use daemon::{
    Configuration, ConfigurationInUse, Daemon, DaemonReply, DaemonState, Overview, TrustClock,
    TrustClockReply,
};
pub use given::{GivenSecret, Import, ImportReply};
pub use passcode::{CancelPasscode, CancelPasscodeReply, Passcode, PasscodeReply};
pub use queries::{Checked, ExpectedOutcome, Explain, ExplainReply, History, HistoryReply};
pub use user::{Authenticator, HostUser, Lock, Staged, State, User};

use crate::message::Method;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// The name of the interface.
pub const INTERFACE: &str = "org.totpd.Admin";
/// The interface description, in the Varlink language.
pub const DESCRIPTION: &str = include_str!("../../interfaces/org.totpd.Admin.varlink");
/// Error: the operating system has no such user.
pub const NO_SUCH_USER: &str = "org.totpd.Admin.NoSuchUser";
/// Error: the user has no factor for this.
pub const NOT_ENROLLED: &str = "org.totpd.Admin.NotEnrolled";
/// Error: the name has another uid than at enrollment.
pub const UID_CHANGED: &str = "org.totpd.Admin.UidChanged";
/// Error: the store cannot be used, or cannot store this.
pub const STORE_UNAVAILABLE: &str = "org.totpd.Admin.StoreUnavailable";
/// Error: the daemon has too many requests.
pub const BUSY: &str = "org.totpd.Admin.Busy";
/// Error: the user has staged the factor, and it is not ripe.
pub const NOT_RIPE: &str = "org.totpd.Admin.NotRipe";
/// Error: the user has a factor, and the import does not replace it.
pub const ALREADY_ENROLLED: &str = "org.totpd.Admin.AlreadyEnrolled";
/// Error: the user has staged no change.
pub const NOTHING_STAGED: &str = "org.totpd.Admin.NothingStaged";
/// Error: the factor finds no place among the user's authenticators.
pub const NO_PLACE: &str = "org.totpd.Admin.NoPlace";

/// Error: the helpdesk may not act on this user. `why` is `root`, `oneself`, `group` or
/// `directory`.
pub const PROTECTED_USER: &str = "org.totpd.Admin.ProtectedUser";

/// The most users in one page of [`List`]: a page must fit into one message.
pub const MAX_USERS_PER_PAGE: usize = 16;

/// `Cancel`: cancels the change that the user has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The login name.
    pub user: String,
}

/// The reply to [`Cancel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReply {
    /// The change that was cancelled.
    pub cancelled: Staged,
}

/// `Enroll`: creates a pending factor for the user. A field that is `None` gets the default of the
/// configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enroll {
    /// The login name.
    pub user: String,
    /// How many seconds the factor waits for its first code before it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// The name of the site that the authenticator app shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The hash algorithm: `SHA1`, `SHA256` or `SHA512` (RFC 6238).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The number of digits of a code, 6 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// The length of a time step in seconds, 15 to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// The secret, where it was made elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<GivenSecret>,
    /// The name of the authenticator. Without `add` the factor replaces the one of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the factor becomes a further authenticator, beside those in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<bool>,
}

/// The reply to [`Enroll`]. The daemon shows its secrets only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollReply {
    /// The login name.
    pub user: String,
    /// The id of the factor.
    pub totp_id: String,
    /// The secret in base32 (RFC 4648).
    pub secret: SecretText,
    /// The `otpauth://` URI, for a QR code.
    pub uri: SecretText,
    /// The recovery codes.
    pub recovery_codes: Vec<SecretText>,
    /// When the factor expires, unless it is confirmed.
    pub expires_at: u64,
    /// Whether it replaces an active factor, which works until this one is confirmed.
    pub replaces: bool,
    /// The name of the authenticator, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The staged change, if the user has made the factor without a ticket: it must ripen before
    /// its first code is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
    /// How many recovery codes of the active factor are left, if one was used for this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<u64>,
    /// From when on codes of a given secret are accepted: earlier ones may have been used
    /// elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes_from: Option<u64>,
    /// Whether it takes the place of an earlier factor that waited for its first code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discards: Option<bool>,
}

/// `Confirm`: confirms the pending factor with its first code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The login name.
    pub user: String,
    /// A code of the pending factor.
    pub code: SecretText,
}

/// The reply to [`Confirm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// Whether the code was right. Then it is used up, and the factor is active.
    pub confirmed: bool,
    /// By how many seconds the phone's clock is ahead (negative: behind), if the code was refused
    /// for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_offset: Option<i64>,
    /// How many digits the codes of the factor have, when the refused one has another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
}

/// `Status`: asks for the state of a user's factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The login name.
    pub user: String,
}

/// The reply to [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// The state of the factor.
    pub status: User,
    /// The time of the latest granted code, if the clock is so far behind it that codes are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
}

/// `List`: asks for a page of the users that are enrolled, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The [`next`](ListReply::next) of the previous page. `None`: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most users to return, at most [`MAX_USERS_PER_PAGE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The reply to [`List`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// The users, by name.
    pub users: Vec<User>,
    /// The time of the latest granted code, if the clock is so far behind it that codes are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
    /// The value of [`after`](List::after) for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `Revoke`: deletes every factor of the user, or one authenticator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The login name.
    pub user: String,
    /// The name of the authenticator to delete. `None`: every factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The reply to [`Revoke`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeReply {
    /// Whether the user had a factor, which is deleted now.
    pub revoked: bool,
    /// The staged change, if the call was made by the user without a ticket: it must ripen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
}

/// `Unlock`: ends every lock of the user, and clears the failed attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlock {
    /// The login name.
    pub user: String,
}

/// The reply to [`Unlock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockReply {
    /// Whether there was a lock or a failed attempt.
    pub unlocked: bool,
}

/// `RecoveryCodes`: replaces the recovery codes of the active factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// The login name.
    pub user: String,
}

/// The reply to [`RecoveryCodes`]. The daemon shows the codes only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodesReply {
    /// The new recovery codes; empty if the change is staged.
    pub recovery_codes: Vec<SecretText>,
    /// The staged change, if the call was made by the user without a ticket: it must ripen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
}

/// `Ticket`: creates a ticket with which users enroll themselves once, or change the active factor
/// without a delay. An earlier ticket is no longer accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The login name.
    pub user: String,
    /// For how many seconds the ticket is valid. `None`: the default of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// Whether the phone is lost: then the ticket replaces or removes its factor without a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<bool>,
    /// The name of the authenticator that the ticket is bound to. `None`: the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The reply to [`Ticket`]. The daemon shows the ticket only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReply {
    /// The login name.
    pub user: String,
    /// The text of the ticket.
    pub ticket: SecretText,
    /// When the ticket expires.
    pub expires_at: u64,
}

/// `Forget`: deletes the remembered logins of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// The login name.
    pub user: String,
}

/// The reply to [`Forget`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetReply {
    /// How many remembered logins were deleted.
    pub forgotten: u64,
}

macro_rules! methods {
    ($($method:ident -> $reply:ident;)*) => {$(
        impl Method for $method {
            const NAME: &'static str = concat!("org.totpd.Admin.", stringify!($method));
            type Reply = $reply;
        }
    )*};
}

methods! {
    Daemon -> DaemonReply;
    Accept -> AcceptReply;
    Backup -> BackupReply;
    Enroll -> EnrollReply;
    Import -> ImportReply;
    Confirm -> ConfirmReply;
    Status -> StatusReply;
    List -> ListReply;
    Revoke -> RevokeReply;
    Unlock -> UnlockReply;
    RecoveryCodes -> RecoveryCodesReply;
    Ticket -> TicketReply;
    Passcode -> PasscodeReply;
    CancelPasscode -> CancelPasscodeReply;
    Forget -> ForgetReply;
    Cancel -> CancelReply;
    TrustClock -> TrustClockReply;
    History -> HistoryReply;
    Explain -> ExplainReply;
    AddClient -> AddClientReply;
    ListClients -> ListClientsReply;
    RevokeClient -> RevokeClientReply;
}
