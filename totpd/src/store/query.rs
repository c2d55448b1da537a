//! Questions about many rows, and their answers: the history and searches of users.

use crate::store::account::StoredAccount;
use totp_core::Time;

/// The stored bytes that one answer holds at most, before its first record that exceeds them.
pub(crate) const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// The sessions of an account that one answer holds at most: its latest.
pub(crate) const MAX_SESSIONS: usize = 1_000;
/// Users that a search counts at most.
pub(crate) const MAX_COUNTED: usize = 10_000;

/// Which rows of the history to return.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only rows about this user.
    pub user: Option<String>,
    /// Only rows before this sequence number.
    pub before: Option<i64>,
    /// Only rows at this moment or after it.
    pub since: Option<Time>,
    /// How many rows at most.
    pub limit: usize,
}

/// A row of the history that was stored.
#[derive(Clone, Debug)]
pub struct HistoryRow {
    /// Its sequence number: rows that were committed later have higher ones.
    pub seq: i64,
    /// The event as JSON.
    pub json: String,
}

/// A condition of a search of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFilter {
    /// Users with one of these ids.
    Id(Vec<String>),
    /// Users with one of these login names.
    Name(Vec<String>),
    /// Users with one of these mail addresses, in any case.
    Email(Vec<String>),
    /// Users whose mail address contains this text, in any case.
    EmailContains(String),
    /// Users with one of these phone numbers.
    Phone(Vec<String>),
    /// Users whose phone number contains this text.
    PhoneContains(String),
    /// Users who were made as pending and are not active yet, or the opposite.
    Pending(bool),
    /// Users with one of these enrollments, unless it is pending and has expired.
    Totp(Vec<String>),
    /// Users with a confirmed enrollment, or with one that is pending and has not expired.
    TotpVerified(bool),
    /// Users who were made after this moment.
    CreatedAfter(Time),
    /// Users who were made before this moment.
    CreatedBefore(Time),
}

/// A search of users.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// One filter that matches is enough; otherwise all have to. Without filters every user is
    /// found.
    pub any: bool,
    /// The filters.
    pub filters: Vec<UserFilter>,
    /// Only users after the one who was made at this moment and has this id.
    pub after: Option<(Time, String)>,
    /// The moment of the search: enrollments that had expired by then are not found.
    pub now: Time,
    /// How many users at most.
    pub limit: usize,
}

/// A page of the users that a search found.
#[derive(Clone, Debug, Default)]
pub struct UserPage {
    /// The users: as many as were asked for, or as fit into a page's size.
    pub users: Vec<StoredAccount>,
    /// The `after` of the next page, if there is one.
    pub next: Option<(Time, String)>,
    /// How many users the filters match, without `after`; `None` when they are too many to count.
    pub total: Option<u64>,
}
