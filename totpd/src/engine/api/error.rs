//! Why an application is not given what it asks for.

use crate::engine::{AdminError, Failure};
use crate::store::Unique;
use totp_core::Reason;
use totp_core::session::ClaimsTooLarge;

/// Nothing was changed, unless a code was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
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
    Taken(Unique),
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

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy | Failure::TimedOut => Self::Busy,
            Failure::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NoSuchUser => Self::UserNotFound,
            AdminError::NotEnrolled => Self::NoTotp,
            AdminError::UidChanged { .. } | AdminError::Invalid(_) => Self::UidChanged,
            AdminError::Taken(what) => Self::Taken(what),
            AdminError::Unavailable(why) => Self::Unavailable(why),
            AdminError::Busy => Self::Busy,
            // Answers to users about themselves alone.
            AdminError::CodeNeeded
            | AdminError::TicketNeeded
            | AdminError::AlreadyStaged(_)
            | AdminError::CancelledTwice
            | AdminError::NothingStaged
            | AdminError::NotRipe(_)
            | AdminError::Refused
            | AdminError::Off => Self::Scope,
        }
    }
}

impl From<ClaimsTooLarge> for Refusal {
    fn from(_: ClaimsTooLarge) -> Self {
        Self::ClaimsTooLarge
    }
}
