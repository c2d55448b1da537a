//! What the store keeps for applications beside the users' records: sessions, clients, keys. Rows are text that
//! whoever has the store's key vouches for; the store looks at none of it.

use crate::store::StoredAccount;
use totp_core::withdrawal::Withdrawal;
use totp_core::{How, Time};

/// What is written together with a record, or for itself.
#[derive(Clone, Debug)]
pub enum SideWrite {
    /// A new session.
    InsertSession(Box<SessionRow>),
    /// A session that was read at this version.
    UpdateSession(Box<SessionRow>, u64),
    /// The session with this id is over; it has to be there.
    DeleteSession(String),
    /// The session with this id ends, if it is still at this version.
    DeleteSessionAt(String, u64),
    /// Every session of the account with this id is over.
    DeleteSessionsOf(String),
    /// Sessions whose time had come are forgotten, some of them.
    DeleteExpiredSessions(Time),
    /// A code of a phone was granted at this moment: the latest one is kept.
    RecordGrant(Time),
    /// An administrator says that the clock is right at this moment, whatever was granted later.
    TrustClock(Time),
    /// Something stops being accepted: raises the counter by which an older copy of the store is noticed.
    Withdraw(Withdrawal),
    /// An administrator accepts an older copy of the store: it gets a generation with this random token.
    AcceptOlderCopy(String),
    /// A client's new secret.
    InsertClient(Box<ClientRow>),
    /// The secret with this id is worth nothing any more; it has to be there.
    DeleteClient(String),
    /// A new key.
    InsertKey(Box<KeyRow>),
    /// The key with this id is gone.
    DeleteKey(String),
}

impl SideWrite {
    /// What a grant is kept by: a code of the phone says what time it is, and nothing else does.
    pub fn for_grant(how: How, now: Time) -> Vec<Self> {
        if matches!(how, How::Totp { .. }) { vec![Self::RecordGrant(now)] } else { Vec::new() }
    }
}

/// A session as it is stored.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// The hash of its token.
    pub token: String,
    /// When it is over.
    pub expires: Time,
    /// The rest.
    pub record: String,
}

/// A session and the version that a change of it has to name.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// The row.
    pub row: SessionRow,
    /// Its version.
    pub version: u64,
}

/// By what a session is found.
#[derive(Clone, Debug)]
pub enum SessionKey {
    /// Its id.
    Id(String),
    /// The hash of its token.
    Token(String),
}

/// A secret of a client.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// Names the secret.
    pub secret_id: String,
    /// Names the client.
    pub name: String,
    /// The rest.
    pub record: String,
}

/// A key for tokens, sealed.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Names it.
    pub id: String,
    /// When it was made.
    pub created: Time,
    /// The rest.
    pub record: String,
}

/// What users a search finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFilter {
    /// One of these ids.
    Id(Vec<String>),
    /// One of these login names.
    Name(Vec<String>),
    /// One of these mail addresses, in any case.
    Email(Vec<String>),
    /// A mail address that holds this text, in any case.
    EmailContains(String),
    /// One of these phone numbers.
    Phone(Vec<String>),
    /// A phone number that holds this text.
    PhoneContains(String),
    /// Made as pending and not active yet, or the opposite.
    Pending(bool),
    /// One of these enrollments.
    Totp(Vec<String>),
    /// There is an enrollment that is confirmed, or one that is not.
    TotpVerified(bool),
    /// Made after this moment.
    CreatedAfter(Time),
    /// Made before this moment.
    CreatedBefore(Time),
}

/// Users that a search found.
#[derive(Clone, Debug, Default)]
pub struct UserPage {
    /// As many as were asked for, or as fit into a page's size.
    pub users: Vec<StoredAccount>,
    /// After whom the next page begins, if there is one.
    pub next: Option<(Time, String)>,
    /// How many there are in all; none when they are too many to count.
    pub total: Option<u64>,
}

/// A search.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Whether one filter that fits is enough; all of them otherwise. Without filters everybody is found.
    pub any: bool,
    /// The filters.
    pub filters: Vec<UserFilter>,
    /// After the user who was made at this moment and has this id.
    pub after: Option<(Time, String)>,
    /// The moment of the search: enrollments that had expired are none.
    pub now: Time,
    /// Users at most.
    pub limit: usize,
}
