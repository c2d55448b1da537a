//! What this daemon knows of the store without asking it: the latest grant, what is refused, and
//! its own witness of withdrawals.

use crate::store::postgres::withdrawals::Standing;
use crate::store::shared::Shared;
use crate::sync::ignore_poison;
use crate::witness::Witness;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use totp_core::Time;
use totp_core::withdrawal::{Entry, Kind, Refusals, StorePosition, Withdrawal};

/// What every part of an open store shares.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) shared: Shared,
    witness: Mutex<Witness>,
    /// Up to this counter the witness has every withdrawal.
    witnessed: AtomicU64,
    /// Whether the store had made no withdrawal when this daemon compared it: until it makes one,
    /// there is nothing to witness, and no file.
    was_new: AtomicBool,
    /// How often administrators have said that the clock is right (`totpd trust-clock`), as far as
    /// this daemon has seen.
    trusted: AtomicU64,
}

impl Known {
    /// Of a store that nothing has been read of.
    pub(super) fn new(witness: Witness) -> Self {
        Self {
            shared: Shared::new(0, Refusals::default()),
            witness: Mutex::new(witness),
            witnessed: AtomicU64::new(0),
            was_new: AtomicBool::new(false),
            trusted: AtomicU64::new(0),
        }
    }

    /// The path of the witness, for messages.
    pub(super) fn witness_path(&self) -> String {
        ignore_poison(self.witness.lock()).path().display().to_string()
    }

    /// The entries of the witness.
    pub(super) fn witness_entries(&self) -> std::io::Result<Vec<Entry>> {
        ignore_poison(self.witness.lock()).read()
    }

    /// Takes over what this copy of the store refuses.
    pub(super) fn adopt(&self, refusals: Refusals) {
        if *self.shared.refusals() != refusals {
            self.shared.set_refusals(refusals);
        }
    }

    /// Writes what the witness, which has `entries`, lacks of the withdrawals that the store keeps.
    pub(super) fn catch_up(&self, here: &Standing, entries: &[Entry]) {
        self.adopt(here.refusals.clone());
        let written: BTreeSet<String> = entries.iter().map(ToString::to_string).collect();
        let latest = entries.iter().map(|entry| entry.counter).max().unwrap_or(0);
        let missing = here.kept.iter().filter(|entry| {
            (entry.counter > latest || entry.what.kind == Kind::Generation)
                && !written.contains(&entry.to_string())
        });
        // Its line may be no longer among those that the store keeps.
        let generation = &here.position.generation;
        let begun = Withdrawal::new(Kind::Generation, &generation.to_string());
        let is_written = |entry: &Entry| entry.what == begun;
        let lacks_begun = generation.number > StorePosition::of(entries).generation.number
            && !here.kept.iter().any(is_written);
        let begun = Entry { counter: here.position.counter, what: begun.clone(), at: Time::default() };
        let begun = lacks_begun.then_some(begun);
        let mut witness = ignore_poison(self.witness.lock());
        witness.write(missing.cloned().chain(begun));
        // Of the file as it is now: a withdrawal of this daemon may have been witnessed since
        // `entries` were read.
        let latest =
            witness.read().unwrap_or_default().iter().map(|entry| entry.counter).max().unwrap_or(latest);
        self.set_witnessed(here.position.counter.max(latest));
    }

    /// Takes over what this copy of the store says, where there is no witness to compare it with.
    pub(super) fn follow(&self, here: &Standing) {
        self.adopt(here.refusals.clone());
        self.set_witnessed(here.position.counter);
    }

    fn set_witnessed(&self, counter: u64) {
        self.witnessed.store(counter, Ordering::Release);
        self.was_new.store(counter == 0, Ordering::Release);
    }

    /// Whether there can be no witness yet, since the store had made no withdrawal when this daemon
    /// last compared it.
    pub(super) fn was_new(&self) -> bool {
        self.was_new.load(Ordering::Acquire) && self.witnessed() == 0
    }

    /// Up to which counter the witness has every withdrawal.
    pub(super) fn witnessed(&self) -> u64 {
        self.witnessed.load(Ordering::Acquire)
    }

    /// Whether the witness lacks a withdrawal before `counter`.
    pub(super) fn lacks_before(&self, counter: u64) -> bool {
        self.witnessed().saturating_add(1) < counter
    }

    /// Writes withdrawals that follow what the witness has: this daemon's own, or those of others
    /// among them.
    pub(super) fn note_withdrawals(&self, entries: Vec<Entry>) {
        let mut witness = ignore_poison(self.witness.lock());
        let witnessed = self.witnessed();
        let new: Vec<Entry> = entries.into_iter().filter(|entry| entry.counter > witnessed).collect();
        let latest = new.iter().map(|entry| entry.counter).max().unwrap_or(witnessed);
        witness.write(new);
        self.witnessed.fetch_max(latest, Ordering::AcqRel);
    }

    /// Tries to write again what a failed write has kept.
    pub(super) fn retry_witness(&self) {
        ignore_poison(self.witness.lock()).retry();
    }

    /// Takes over the latest grant that the store has, of which other daemons wrote parts.
    /// `trusted` is how often the clock was said to be right.
    pub(super) fn note_latest_grant(&self, at: Time, trusted: u64) {
        let before = self.trusted.swap(trusted, Ordering::AcqRel);
        self.shared.found_grant(at, if before == trusted { Moved::Ahead } else { Moved::Anywhere });
    }

    /// An administrator's word that this daemon has stored itself.
    pub(super) fn trusts_clock(&self) {
        self.trusted.fetch_add(1, Ordering::AcqRel);
    }
}

pub(super) use crate::store::shared::Moved;
