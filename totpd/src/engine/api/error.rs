//! Why a request of an application is refused.

use super::contact_kind::ContactKind;
use crate::engine::{AccountError, EngineError};
use crate::seal::SealError;
use crate::store::UniqueField;
use totp_core::Reason;
use totp_core::random::RandomFailed;
use totp_core::session::ClaimsTooLarge;

/// Why a request is refused. Nothing was changed, unless a code was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiRefusal {
    /// The text is neither a user id nor an external id.
    InvalidUserId,
    /// There is no such user.
    UserNotFound,
    /// The text is not a TOTP id.
    InvalidTotpId,
    /// There is no such TOTP.
    TotpNotFound,
    /// The user has no TOTP.
    NoTotp,
    /// The user has a confirmed TOTP.
    ActiveTotp,
    /// The recovery codes are kept as hashes.
    CodesHashed,
    /// The text cannot be a code of the user's TOTPs, whose codes have these numbers of digits.
    InvalidCode(Vec<u8>),
    /// The TOTP is not confirmed, so that its recovery codes do not work yet. None was judged.
    NotConfirmed,
    /// The code was judged and refused.
    Code(Reason),
    /// The recovery code was judged and refused.
    RecoveryCode(Reason),
    /// The user is locked for this client, for this many seconds.
    Locked(u64),
    /// There is no such session, or it has ended.
    SessionNotFound,
    /// The text is not a JWT that this store's keys signed.
    InvalidJwt,
    /// The text is not a session id.
    InvalidSessionId,
    /// The session belongs to another user.
    OtherUsersSession,
    /// Name, metadata and roles are too large together.
    ProfileTooLarge,
    /// The custom claims are too large together.
    ClaimsTooLarge,
    /// The text is not the id of a mail address or phone number.
    InvalidContactId(ContactKind),
    /// There is no such mail address or phone number.
    ContactNotFound(ContactKind),
    /// The user would have neither address, number nor login name.
    LastContact,
    /// The user has both an address and a number, or none of them.
    NotOneContact,
    /// Another user has this value.
    Taken(UniqueField),
    /// The credentials are wrong, or were revoked.
    Revoked,
    /// The scope of the credentials does not allow this.
    Scope,
    /// The external id belongs to another user of the host than when it was bound.
    UidChanged,
    /// The server is overloaded or the time ran out.
    Busy,
    /// The store cannot be used; the text says why.
    Unavailable(String),
}

impl From<EngineError> for ApiRefusal {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Busy | EngineError::TimedOut => Self::Busy,
            EngineError::Unavailable(why) | EngineError::InDoubt(why) => Self::Unavailable(why),
        }
    }
}

impl From<AccountError> for ApiRefusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoSuchUser => Self::UserNotFound,
            AccountError::NotEnrolled => Self::NoTotp,
            AccountError::UidChanged { .. } | AccountError::EnrolledByApplication { .. } => Self::UidChanged,
            // An application makes a TOTP only where there is none.
            AccountError::NoPlace(..) => Self::ActiveTotp,
            AccountError::Taken(what) => Self::Taken(what),
            AccountError::Unavailable(why) => Self::Unavailable(why),
            AccountError::Busy => Self::Busy,
        }
    }
}

impl From<SealError> for ApiRefusal {
    fn from(error: SealError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<RandomFailed> for ApiRefusal {
    fn from(error: RandomFailed) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<ClaimsTooLarge> for ApiRefusal {
    fn from(_: ClaimsTooLarge) -> Self {
        Self::ClaimsTooLarge
    }
}
