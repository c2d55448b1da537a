//! Why an application is not given what it asks for.

use crate::engine::{AccountError, EngineError};
use crate::store::UniqueField;
use totp_core::Reason;
use totp_core::session::ClaimsTooLarge;

/// Nothing was changed, unless a code was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiRefusal {
    /// No id and no external id looks like this.
    InvalidUserId,
    /// There is no such user.
    UserNotFound,
    /// No enrollment is called so.
    InvalidTotpId,
    /// There is no such enrollment.
    TotpNotFound,
    /// The user has none.
    NoTotp,
    /// The user has one that is confirmed.
    ActiveTotp,
    /// The recovery codes are kept as hashes.
    CodesHashed,
    /// The text is no code of the user's phone.
    InvalidCode,
    /// The code of the phone was judged, and refused.
    Code(Reason),
    /// The recovery code was judged, and refused.
    RecoveryCode(Reason),
    /// The user is locked for this client, for so many seconds.
    Locked(u64),
    /// There is no such session, or it is over.
    SessionNotFound,
    /// The text is no token of ours.
    InvalidJwt,
    /// No session is called so.
    InvalidSessionId,
    /// The session is another user's.
    OtherUsersSession,
    /// What is kept of the user is too large together.
    ProfileTooLarge,
    /// Custom claims are too large together.
    ClaimsTooLarge,
    /// Another user has it.
    Taken(UniqueField),
    /// The client's secret is worth nothing, or not any more.
    Revoked,
    /// The client may not do this.
    Scope,
    /// The external id belongs to another user of the host than when it was bound.
    UidChanged,
    /// Too much is going on, or the time ran out; nothing was judged.
    Busy,
    /// The store refuses everything, or cannot take this.
    Unavailable(String),
}

impl From<EngineError> for ApiRefusal {
    fn from(failure: EngineError) -> Self {
        match failure {
            EngineError::Busy | EngineError::TimedOut => Self::Busy,
            EngineError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<AccountError> for ApiRefusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoSuchUser => Self::UserNotFound,
            AccountError::NotEnrolled => Self::NoTotp,
            AccountError::UidChanged { .. } | AccountError::Invalid(_) => Self::UidChanged,
            AccountError::Taken(what) => Self::Taken(what),
            AccountError::Unavailable(why) => Self::Unavailable(why),
            AccountError::Busy => Self::Busy,
            // Answers to users about themselves alone.
            AccountError::CodeNeeded
            | AccountError::TicketNeeded
            | AccountError::AlreadyStaged(_)
            | AccountError::CancelledTwice
            | AccountError::NothingStaged
            | AccountError::NotRipe(_)
            | AccountError::Refused
            | AccountError::Off => Self::Scope,
        }
    }
}

impl From<ClaimsTooLarge> for ApiRefusal {
    fn from(_: ClaimsTooLarge) -> Self {
        Self::ClaimsTooLarge
    }
}
