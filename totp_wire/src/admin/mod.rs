//! `org.totpd.Admin`: what administrators do. Times are Unix seconds.

mod backup;
mod clients;
mod daemon;
mod queries;
mod user;

pub use crate::admin::queries::{Checked, ExpectedOutcome, Explain, ExplainReply, History, HistoryReply};
pub use backup::{Accept, AcceptReply, Backup, BackupReply};
pub use clients::{
    AddClient, AddClientReply, ClientSecret, ListClients, ListClientsReply, RevokeClient, RevokeClientReply,
};
pub use daemon::{
    Configuration, ConfigurationInUse, Daemon, DaemonReply, DaemonState, Overview, TrustClock,
    TrustClockReply,
};
pub use user::{HostUser, Lock, Staged, State, User};

use crate::message::Method;
use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// The interface's name.
pub const INTERFACE: &str = "org.totpd.Admin";
/// The interface's text.
pub const DESCRIPTION: &str = include_str!("../../interfaces/org.totpd.Admin.varlink");
/// Error: the operating system knows no such user.
pub const NO_SUCH_USER: &str = "org.totpd.Admin.NoSuchUser";
/// Error: the user has no factor that this could be done to.
pub const NOT_ENROLLED: &str = "org.totpd.Admin.NotEnrolled";
/// Error: the name belongs to another uid than when it was enrolled.
pub const UID_CHANGED: &str = "org.totpd.Admin.UidChanged";
/// Error: the store cannot be used, or cannot take this.
pub const STORE_UNAVAILABLE: &str = "org.totpd.Admin.StoreUnavailable";
/// Error: too much is going on.
pub const BUSY: &str = "org.totpd.Admin.Busy";
/// Error: the user has staged the factor, and it is not ripe.
pub const NOT_RIPE: &str = "org.totpd.Admin.NotRipe";
/// Error: the user has staged nothing.
pub const NOTHING_STAGED: &str = "org.totpd.Admin.NothingStaged";

/// Users in one page of [`List`] at most, so that a page fits a message.
pub const MAX_USERS_PER_PAGE: usize = 16;

/// Ends what the user has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The login name.
    pub user: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReply {
    /// What was staged.
    pub cancelled: Staged,
}

/// Stages a factor. What is left out takes the default of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enroll {
    /// The login name.
    pub user: String,
    /// Seconds until it is gone unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// The name shown above the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `SHA1`, `SHA256` or `SHA512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// 6 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Seconds, 15 to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
}

/// What the person needs, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollReply {
    /// The login name.
    pub user: String,
    /// Names the enrollment.
    pub totp_id: String,
    /// The secret in base32.
    pub secret: SecretText,
    /// The otpauth URI.
    pub uri: SecretText,
    /// The recovery codes.
    pub recovery_codes: Vec<SecretText>,
    /// When it is gone unless confirmed.
    pub expires_at: u64,
    /// An active factor goes on working until this one is confirmed.
    pub replaces: bool,
    /// It has to ripen before its first code counts: the user has staged it without a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
    /// A recovery code was shown for it and is used up; so many are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<u64>,
}

/// Confirms the pending factor with its first code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The login name.
    pub user: String,
    /// The code.
    pub code: SecretText,
}

/// Whether the code was right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// It was, and is used up.
    pub confirmed: bool,
    /// By how many seconds the phone's clock is ahead, when that is why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_offset: Option<i64>,
}

/// Asks about one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The login name.
    pub user: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// What there is to know.
    pub status: User,
    /// The clock lies so far behind this grant that codes of phones are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
}

/// Asks for a page of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Names after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// In the order of names.
    pub users: Vec<User>,
    /// The clock lies so far behind this grant that codes of phones are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<u64>,
    /// Where the next page starts, when there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Forgets every factor of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The login name.
    pub user: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeReply {
    /// There was one.
    pub revoked: bool,
    /// It waits until this is ripe: to users alone, who have no ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
}

/// Ends every lock of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlock {
    /// The login name.
    pub user: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockReply {
    /// There was a lock or a failure.
    pub unlocked: bool,
}

/// Replaces the recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// The login name.
    pub user: String,
}

/// The new ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodesReply {
    /// The recovery codes; none when they wait.
    pub recovery_codes: Vec<SecretText>,
    /// They wait until this is ripe: to users alone, who have no ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
}

/// Makes a ticket with which the user enrolls once. An earlier ticket is no longer accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The login name.
    pub user: String,
    /// Seconds until it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
    /// The phone is lost: no code of the factor in use is asked for beside the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<bool>,
}

/// The ticket, shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReply {
    /// The login name.
    pub user: String,
    /// The ticket.
    pub ticket: SecretText,
    /// When it is worth nothing.
    pub expires_at: u64,
}

/// Forgets the remembered logins of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// The login name.
    pub user: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetReply {
    /// How many there were.
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
    Confirm -> ConfirmReply;
    Status -> StatusReply;
    List -> ListReply;
    Revoke -> RevokeReply;
    Unlock -> UnlockReply;
    RecoveryCodes -> RecoveryCodesReply;
    Ticket -> TicketReply;
    Forget -> ForgetReply;
    Cancel -> CancelReply;
    TrustClock -> TrustClockReply;
    History -> HistoryReply;
    Explain -> ExplainReply;
    AddClient -> AddClientReply;
    ListClients -> ListClientsReply;
    RevokeClient -> RevokeClientReply;
}
