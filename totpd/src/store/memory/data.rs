//! What a store in memory holds, and how a change set is applied to it.

use crate::audit::EventRow;
use crate::seal::SealedAccount;
use crate::store::account::{AccountKey, StoredAccount};
use crate::store::change::{AccountWrite, ChangeSet, SideWrite};
use crate::store::error::{CommitError, UniqueField};
use crate::store::overview::{FIRST_NAMES, LATEST_EVENTS, LATEST_EVENTS_OF_ONE, LATEST_REFUSALS, Overview};
use crate::store::query::{HistoryQuery, HistoryRow, MAX_PAGE_BYTES, MAX_SESSIONS};
use crate::store::rows::{ClientRow, KeyRow, StoredSession};
use std::collections::{BTreeMap, BTreeSet};
use totp_core::Time;
use totp_core::withdrawal::{Entry, Generation, Kind, Withdrawal};

/// Everything that is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    /// By id.
    pub(super) accounts: BTreeMap<String, StoredAccount>,
    /// In the order in which they were inserted.
    pub(super) sessions: Vec<StoredSession>,
    pub(super) clients: Vec<ClientRow>,
    pub(super) keys: Vec<KeyRow>,
    /// The oldest first, with their sequence numbers.
    history: Vec<(i64, EventRow)>,
    last_seq: i64,
    pub(super) latest_grant: Time,
    pub(super) withdrawals: Vec<Entry>,
    generation: Generation,
}

impl Data {
    pub(super) fn account(&self, key: &AccountKey) -> Option<&StoredAccount> {
        match key {
            AccountKey::Id(id) => self.accounts.get(id),
            AccountKey::Name(name) => {
                self.accounts.values().find(|stored| stored.account.name.as_ref() == Some(name))
            }
            AccountKey::Email(id) => self
                .accounts
                .values()
                .find(|stored| stored.account.profile.email.as_ref().is_some_and(|email| email.id == *id)),
            AccountKey::Phone(id) => self
                .accounts
                .values()
                .find(|stored| stored.account.profile.phone.as_ref().is_some_and(|phone| phone.id == *id)),
            AccountKey::Totp(id) => {
                self.accounts.values().find(|stored| stored.account.factors().any(|factor| factor.id == *id))
            }
        }
    }

    /// Applies a change set. After an error `self` is worth nothing.
    pub(super) fn apply(&mut self, change: &ChangeSet) -> Result<(), CommitError> {
        self.write_account(&change.write)?;
        let at = change.event.as_ref().map_or_else(Time::default, |event| event.at);
        for write in &change.side_writes {
            self.write_beside(write, at)?;
        }
        if let Some(event) = &change.event {
            self.last_seq += 1;
            self.history.push((self.last_seq, event.clone()));
        }
        Ok(())
    }

    pub(super) fn keep_latest(&mut self, events: usize) {
        let oldest = self.history.len().saturating_sub(events);
        self.history.drain(..oldest);
    }

    fn write_account(&mut self, write: &AccountWrite) -> Result<(), CommitError> {
        let version_of = |id: &String| self.accounts.get(id).map(|stored| stored.version);
        match write {
            AccountWrite::Nothing => {}
            AccountWrite::ExpectVersion(id, version) => {
                require(version_of(id) == Some(*version))?;
            }
            AccountWrite::Insert(account) => {
                self.check_unique(account)?;
                require(version_of(&account.id).is_none())?;
                self.put(account, 1);
            }
            AccountWrite::Update(account, version) => {
                require(version_of(&account.id) == Some(*version))?;
                self.check_unique(account)?;
                self.put(account, version + 1);
            }
            AccountWrite::Delete(id, version) => {
                require(version_of(id) == Some(*version))?;
                self.accounts.remove(id);
                self.sessions.retain(|stored| stored.row.account != *id);
            }
        }
        Ok(())
    }

    fn put(&mut self, account: &SealedAccount, version: u64) {
        let stored = StoredAccount { account: Box::new(account.clone()), version, damaged: false };
        self.accounts.insert(account.id.clone(), stored);
    }

    fn check_unique(&self, account: &SealedAccount) -> Result<(), CommitError> {
        let values = |account: &SealedAccount| {
            let profile = &account.profile;
            [
                (UniqueField::Name, account.name.as_ref().map(ToString::to_string)),
                (UniqueField::Email, profile.email.as_ref().map(|email| email.address.to_lowercase())),
                (UniqueField::Phone, profile.phone.as_ref().map(|phone| phone.address.clone())),
            ]
        };
        let wanted = values(account);
        for other in self.accounts.values().filter(|stored| stored.account.id != account.id) {
            for (mine, theirs) in wanted.iter().zip(values(&other.account)) {
                if mine.1.is_some() && mine.1 == theirs.1 {
                    return Err(CommitError::Duplicate(mine.0));
                }
            }
        }
        Ok(())
    }

    fn write_beside(&mut self, write: &SideWrite, at: Time) -> Result<(), CommitError> {
        match write {
            SideWrite::ExpectOtherNames(expected) => {
                let others = self.accounts.values().filter(|stored| {
                    stored.account.uid == Some(expected.uid) && stored.account.id != expected.account
                });
                let found: BTreeSet<_> =
                    others.map(|stored| (stored.account.id.clone(), stored.version)).collect();
                require(found == expected.versions.iter().cloned().collect())?;
            }
            SideWrite::InsertSession(row) => {
                require(self.accounts.contains_key(&row.account))?;
                let is_new =
                    |stored: &StoredSession| stored.row.id != row.id && stored.row.token != row.token;
                require(self.sessions.iter().all(is_new))?;
                self.sessions.push(StoredSession { row: (**row).clone(), version: 1 });
            }
            SideWrite::UpdateSession(row, version) => {
                let is_it =
                    |stored: &&mut StoredSession| stored.row.id == row.id && stored.version == *version;
                let stored = self.sessions.iter_mut().find(is_it).ok_or(CommitError::Conflict)?;
                *stored = StoredSession { row: (**row).clone(), version: version + 1 };
            }
            SideWrite::DeleteSession(id) => remove(&mut self.sessions, |stored| stored.row.id == *id)?,
            SideWrite::DeleteSessionAt(id, version) => {
                remove(&mut self.sessions, |stored| stored.row.id == *id && stored.version == *version)?;
            }
            SideWrite::DeleteSessionsOf(account) => {
                self.sessions.retain(|stored| stored.row.account != *account);
            }
            SideWrite::DeleteExpiredSessions(now) => self.sessions.retain(|stored| stored.row.expires > *now),
            SideWrite::RecordGrant(at) => self.latest_grant = self.latest_grant.max(*at),
            SideWrite::TrustClock(at) => self.latest_grant = *at,
            SideWrite::Withdraw(what) => self.count(what.clone(), at),
            SideWrite::AcceptOlderCopy { token, .. } => {
                self.generation = self.generation.after(&Generation::default(), token.clone());
                self.count(Withdrawal::new(Kind::Generation, &self.generation.to_string()), at);
            }
            SideWrite::InsertClient(row) => {
                require(self.clients.iter().all(|other| other.secret_id != row.secret_id))?;
                self.clients.push((**row).clone());
            }
            SideWrite::DeleteClient(id) => {
                remove(&mut self.clients, |row| row.secret_id == *id)?;
                self.count(Withdrawal::new(Kind::Client, id), at);
            }
            SideWrite::InsertKey(row) => {
                require(self.keys.iter().all(|other| other.id != row.id))?;
                self.keys.push((**row).clone());
            }
            SideWrite::DeleteKey(id) => remove(&mut self.keys, |row| row.id == *id)?,
        }
        Ok(())
    }

    fn count(&mut self, what: Withdrawal, at: Time) {
        let counter = self.withdrawals.last().map_or(0, |entry| entry.counter) + 1;
        self.withdrawals.push(Entry { counter, what, at });
    }

    pub(super) fn sessions_of(&self, account: &str) -> Vec<StoredSession> {
        let mut bytes = 0;
        let fits = |stored: &&StoredSession| {
            bytes += stored.row.record.len();
            bytes <= MAX_PAGE_BYTES
        };
        let latest = self.sessions.iter().rev().filter(|stored| stored.row.account == account);
        let mut sessions: Vec<_> = latest.take(MAX_SESSIONS).take_while(fits).cloned().collect();
        sessions.reverse();
        sessions
    }

    pub(super) fn history(&self, query: &HistoryQuery) -> Vec<HistoryRow> {
        let is_asked_for = |(seq, event): &&(i64, EventRow)| {
            query.before.is_none_or(|before| *seq < before)
                && query.since.is_none_or(|since| event.at >= since)
                && query.user.as_ref().is_none_or(|user| event.user.as_ref() == Some(user))
        };
        let rows = self.history.iter().rev().filter(is_asked_for).take(query.limit);
        rows.map(|(seq, event)| HistoryRow { seq: *seq, json: event.json.clone() }).collect()
    }

    pub(super) fn last_login(&self, name: &str) -> Option<Time> {
        let is_login = |event: &&EventRow| {
            event.json.contains("\"event\":\"login\"")
                && ["granted", "exempt"].iter().any(|outcome| has_outcome(event, outcome))
        };
        let of_user = || {
            let latest = self.history.iter().rev().map(|(_, event)| event);
            latest.filter(|event| event.user.as_deref() == Some(name)).take(LATEST_EVENTS_OF_ONE as usize)
        };
        let id = |event: &EventRow| {
            let event: serde_json::Value = serde_json::from_str(&event.json).ok()?;
            event["id"].as_str().map(str::to_owned)
        };
        let lost: Vec<_> =
            of_user().filter(|event| has_outcome(event, "undelivered")).filter_map(id).collect();
        let mut passed = of_user().filter(is_login);
        passed.find(|event| id(event).is_none_or(|id| !lost.contains(&id))).map(|event| event.at)
    }

    pub(super) fn overview(&self, now: Time, since: Time) -> Overview {
        let accounts = || self.accounts.values().map(|stored| &stored.account);
        let count = |is: &dyn Fn(&SealedAccount) -> bool| accounts().filter(|a| is(a)).count() as u64;
        let later = |at: Option<Time>| at.is_some_and(|at| at > now);
        let mut locked: Vec<_> =
            accounts().filter_map(|a| Some((a.lock_state.locked_until()?, a.display_name()))).collect();
        locked.retain(|(until, _)| *until > now);
        locked.sort_by_key(|(until, _)| std::cmp::Reverse(*until));
        let latest = || self.history.iter().rev().take(LATEST_EVENTS as usize).map(|(_, event)| event);
        let refusals: Vec<_> =
            latest().filter(|event| event.at >= since && has_outcome(event, "refused")).collect();
        let beyond = self.history.iter().rev().nth(LATEST_EVENTS as usize);
        Overview {
            size: 0,
            schema: 0,
            enrolled: count(&|account| account.active.is_some()),
            pending: count(&|account| later(account.pending_expires())),
            locked: locked.len() as u64,
            locked_users: locked
                .iter()
                .take(FIRST_NAMES as usize)
                .map(|(_, name)| (*name).to_owned())
                .collect(),
            tickets: count(&|account| later(account.ticket.as_ref().map(|ticket| ticket.expires))),
            refused: refusals.len() as u64,
            refused_at_least: beyond.is_some_and(|(_, event)| event.at >= since),
            refusals: refusals.iter().take(LATEST_REFUSALS as usize).map(|e| e.json.clone()).collect(),
        }
    }
}

fn has_outcome(event: &EventRow, outcome: &str) -> bool {
    event.json.contains(&format!("\"outcome\":\"{outcome}\""))
}

fn require(holds: bool) -> Result<(), CommitError> {
    if holds { Ok(()) } else { Err(CommitError::Conflict) }
}

fn remove<T>(rows: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Result<(), CommitError> {
    let position = rows.iter().position(is_it).ok_or(CommitError::Conflict)?;
    rows.remove(position);
    Ok(())
}
