//! Why the engine did not do something: one type for each audience.
//!
//! ```text
//! EngineError ──▶ AccountError ─┬─▶ AdminError          org.totpd.Admin
//! (a login)       (a record)    ├─▶ SelfServiceError    org.totpd.Self
//!                               └─▶ api::ApiRefusal     HTTP
//! ```

use crate::store::{CommitError, ReadError, UniqueField};
use crate::user_directory::DirectoryUnavailable;
use totp_core::Account;
use totp_core::authenticator::PlaceRefused;
use totp_core::given_secret::GivenRefused;
use totp_core::new_factor::EnrollRefused;
use totp_core::self_service::{ChangeRefused, StagedChange};

/// Why there is no decision about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// There are too many requests, a directory does not answer, or the disk is full.
    Busy,
    /// The time ran out, or the client closed the connection, before anything was judged.
    TimedOut,
    /// The store refuses everything; the text says why.
    Unavailable(String),
    /// It was judged, and whether that is stored is not known; the text says why. Nothing is
    /// granted, and a code may be used.
    InDoubt(String),
}

impl From<ReadError> for EngineError {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.0)
    }
}

impl From<DirectoryUnavailable> for EngineError {
    fn from(_: DirectoryUnavailable) -> Self {
        Self::Busy
    }
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Cancelled => Self::TimedOut,
            // A full disk is something that an attempt might provoke: never "unavailable".
            CommitError::Conflict | CommitError::Duplicate(_) | CommitError::StorageFull(_) => Self::Busy,
            CommitError::Unavailable(why) => Self::Unavailable(why),
            CommitError::InDoubt(why) => Self::InDoubt(why),
        }
    }
}

/// Why a record was not read or changed, for every caller: an administrator, the user, or an
/// application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// The operating system knows no such user.
    NoSuchUser,
    /// There is no factor to which this could be done.
    NotEnrolled,
    /// The name belongs to another uid than when it was enrolled.
    UidChanged {
        /// The uid that was enrolled.
        enrolled: u32,
        /// The uid the name has now.
        now: u32,
    },
    /// An application enrolled this user when the host knew no such name.
    EnrolledByApplication {
        /// The name.
        user: String,
    },
    /// A factor finds no place among the user's authenticators, which have these names.
    NoPlace(PlaceRefused, Vec<String>),
    /// Another user has this value.
    Taken(UniqueField),
    /// The store cannot be used, or cannot take this; the text says what to do.
    Unavailable(String),
    /// There are too many requests, or too many lost races.
    Busy,
}

impl From<EngineError> for AccountError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(why) => Self::Unavailable(why),
            EngineError::InDoubt(why) => Self::Unavailable(format!(
                "{why}. The change may be stored or not: look at it before you repeat it"
            )),
            EngineError::Busy | EngineError::TimedOut => Self::Busy,
        }
    }
}

impl AccountError {
    /// A factor finds no place among the authenticators of `account`.
    pub(super) fn no_place<S>(account: &Account<S>, why: PlaceRefused) -> Self {
        Self::NoPlace(why, account.authenticators().map(|factor| factor.display_name().to_owned()).collect())
    }

    /// A factor of `account` is not made.
    pub(super) fn not_made<S>(account: &Account<S>, why: EnrollRefused) -> Self {
        match why {
            EnrollRefused::Place(why) => Self::no_place(account, why),
            EnrollRefused::Random => Self::no_randomness(()),
        }
    }

    /// The system's random source failed.
    pub(super) fn no_randomness<E>(_: E) -> Self {
        Self::Unavailable("the system's random source failed".to_owned())
    }

    /// The account is not that of the user who has the uid `now`.
    pub(super) fn of_another<S>(account: &Account<S>, now: u32) -> Self {
        match account.uid {
            Some(enrolled) => Self::UidChanged { enrolled, now },
            None => Self::EnrolledByApplication { user: account.display_name().to_owned() },
        }
    }
}

/// The staged factor is not ripe: its first code does not confirm it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRipe(pub StagedChange);

/// Why an administrator's command was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// The record could not be read or changed.
    Account(AccountError),
    /// The application's name is not one, or has too many secrets; the text says which.
    InvalidClient(String),
    /// The staged factor is not ripe.
    NotRipe(StagedChange),
    /// The user has staged nothing.
    NothingStaged,
    /// The user has a factor, which is kept.
    AlreadyEnrolled,
    /// The given secret is not accepted.
    InvalidSecret(GivenRefused),
}

impl From<AccountError> for AdminError {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl From<NotRipe> for AdminError {
    fn from(NotRipe(staged): NotRipe) -> Self {
        Self::NotRipe(staged)
    }
}

/// Why a user's own call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelfServiceError {
    /// The record could not be read or changed.
    Account(AccountError),
    /// A code of the factor in use is needed.
    CodeNeeded,
    /// A ticket is needed.
    TicketNeeded,
    /// A change is staged already: by the user, or (`None`) a factor by an administrator or a
    /// ticket.
    AlreadyStaged(Option<StagedChange>),
    /// The user cancelled twice in a short time: a ticket is needed.
    CancelledTwice,
    /// Nothing is staged.
    NothingStaged,
    /// The staged factor is not ripe.
    NotRipe(StagedChange),
    /// Code or ticket were refused, and that is recorded.
    Refused,
    /// The site does not let users do this.
    Off,
}

impl From<AccountError> for SelfServiceError {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl From<EngineError> for SelfServiceError {
    fn from(error: EngineError) -> Self {
        Self::Account(error.into())
    }
}

impl From<NotRipe> for SelfServiceError {
    fn from(NotRipe(staged): NotRipe) -> Self {
        Self::NotRipe(staged)
    }
}

impl SelfServiceError {
    /// A change of `account` cannot be staged, carried out or cancelled.
    pub(super) fn of_change<S>(account: &Account<S>, why: ChangeRefused) -> Self {
        match why {
            ChangeRefused::Place(why) => Self::Account(AccountError::no_place(account, why)),
            ChangeRefused::NotEnrolled => Self::Account(AccountError::NotEnrolled),
            ChangeRefused::AlreadyStaged(staged) => Self::AlreadyStaged(staged),
            ChangeRefused::CancelledTwice => Self::CancelledTwice,
            ChangeRefused::NothingStaged => Self::NothingStaged,
        }
    }
}
