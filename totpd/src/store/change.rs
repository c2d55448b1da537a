//! Changes: everything that one commit makes durable.

use crate::audit::EventRow;
use crate::seal::SealedAccount;
use crate::store::rows::{ClientRow, KeyRow, SessionRow};
use std::collections::BTreeSet;
use totp_core::withdrawal::Withdrawal;
use totp_core::{How, Time};

/// What a commit does to one account.
#[derive(Clone, Debug)]
pub enum AccountWrite {
    /// No account is read or written.
    Nothing,
    /// Writes nothing, and conflicts unless the account with this id is still at this version.
    ExpectVersion(String, u64),
    /// Inserts an account at version 1.
    Insert(Box<SealedAccount>),
    /// Replaces an account that was read at this version.
    Update(Box<SealedAccount>, u64),
    /// Deletes the account with this id and its sessions, if it is still at this version.
    Delete(String, u64),
}

/// Whether a change goes on when storage runs low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceUse {
    /// Refused with [`StorageFull`](super::CommitError::StorageFull) when storage runs low: it adds
    /// a user, a factor or a client, and what is left belongs to logins.
    Growing,
    /// Goes on as long as it can be written: a login, or a change that takes something away.
    Essential,
}

/// What one commit makes durable: all of it, or nothing.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// The change of an account.
    pub write: AccountWrite,
    /// What is written with it, in this order.
    pub side_writes: Vec<SideWrite>,
    /// What becomes of it when storage runs low.
    pub space: SpaceUse,
    /// The row of the history; `None` where nothing was decided.
    pub event: Option<EventRow>,
}

impl ChangeSet {
    /// A change of an account and its event, without side writes, that does not grow the store.
    pub const fn new(write: AccountWrite, event: EventRow) -> Self {
        Self { write, side_writes: Vec::new(), space: SpaceUse::Essential, event: Some(event) }
    }
}

/// The records of a user's other names, as they were read: a decision that rests on them names
/// them, so that of two names of one user only one can get a first factor, on any of several hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherNames {
    /// The uid of the user.
    pub uid: u32,
    /// The id of the account that is written, which does not count.
    pub account: String,
    /// The ids and versions of the other accounts of this uid, in any order.
    pub versions: Vec<(String, u64)>,
}

/// What is written together with an account, or without one.
///
/// A side write that does not find what it names is a [`Conflict`](super::CommitError::Conflict) of
/// the whole change set.
#[derive(Clone, Debug)]
pub enum SideWrite {
    /// Writes nothing, and conflicts unless these are the other accounts of the uid. Two changes
    /// that expect something of one uid are never committed beside each other.
    ExpectOtherNames(OtherNames),
    /// Inserts a session at version 1. Conflicts when its account does not exist.
    InsertSession(Box<SessionRow>),
    /// Replaces a session that was read at this version.
    UpdateSession(Box<SessionRow>, u64),
    /// Deletes the session with this id.
    DeleteSession(String),
    /// Deletes the session with this id, if it is still at this version.
    DeleteSessionAt(String, u64),
    /// Deletes every session of the account with this id. There may be none.
    DeleteSessionsOf(String),
    /// Deletes sessions that had expired at this moment, a bounded number. There may be none.
    DeleteExpiredSessions(Time),
    /// Records that a code of a phone was granted at this moment. The latest moment is kept.
    RecordGrant(Time),
    /// Sets the latest grant to this moment, also backwards: an administrator trusts the clock.
    TrustClock(Time),
    /// Counts a withdrawal. An older copy of the store is noticed by this counter.
    Withdraw(Withdrawal),
    /// An administrator accepts this older copy of the store: what it refused so far is refused no
    /// longer, and it becomes a new generation. A conflict when it refuses more than was removed
    /// from it: another daemon may have known of more.
    AcceptOlderCopy {
        /// A random token, which names the generation.
        token: String,
        /// What was removed from the records, for good.
        removed: BTreeSet<Withdrawal>,
    },
    /// Inserts a secret of a client.
    InsertClient(Box<ClientRow>),
    /// Deletes the secret with this id, and counts that as a withdrawal.
    DeleteClient(String),
    /// Inserts a signing key.
    InsertKey(Box<KeyRow>),
    /// Deletes the signing key with this id.
    DeleteKey(String),
}

impl SideWrite {
    /// The side writes of a grant. Only a code of a phone proves what time it is.
    pub fn for_grant(how: How, now: Time) -> Vec<Self> {
        if matches!(how, How::Totp { .. }) { vec![Self::RecordGrant(now)] } else { Vec::new() }
    }
}
