//! Whether the store serves: what the watch found, which nothing else turns back, and whether
//! commits have room.

use crate::store::Health;
use crate::sync::ignore_poison;
use std::sync::RwLock;

/// The health of an open store.
#[derive(Debug)]
pub(super) struct Status {
    found: RwLock<Health>,
    /// Why no commit has room now.
    stalled: RwLock<Option<String>>,
}

impl Status {
    /// Of a store that has just been opened.
    pub(super) fn serving() -> Self {
        Self { found: RwLock::new(Health::Serving), stalled: RwLock::default() }
    }

    /// The health of this moment.
    pub(super) fn health(&self) -> Health {
        let found = ignore_poison(self.found.read()).clone();
        match ignore_poison(self.stalled.read()).clone() {
            Some(why) if found == Health::Serving => Health::Unavailable(why),
            _ => found,
        }
    }

    /// Why no commit has room; `None`: one has.
    pub(super) fn stall(&self, why: Option<String>) {
        let mut stalled = ignore_poison(self.stalled.write());
        if *stalled == why {
            return;
        }
        if let Some(why) = &why {
            tracing::error!("{why}");
        } else {
            tracing::info!("the store commits again");
        }
        *stalled = why;
    }

    /// Takes over what was found, and says in the log what changed. One that has to be opened
    /// again stays so.
    pub(super) fn set(&self, found: Health) {
        let mut health = ignore_poison(self.found.write());
        if matches!(*health, Health::Reopen(_)) || *health == found {
            return;
        }
        match &found {
            Health::Serving => tracing::info!("the store serves again"),
            Health::Unavailable(why) | Health::Reopen(why) | Health::Failed(why) => {
                tracing::error!("{why}");
            }
        }
        *health = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_unavailable_comes_back_and_an_older_copy_does_not() {
        let status = Status::serving();
        status.set(Health::Unavailable("away".to_owned()));
        assert_eq!(status.health(), Health::Unavailable("away".to_owned()));
        status.set(Health::Serving);
        assert_eq!(status.health(), Health::Serving);
        status.set(Health::Reopen("older".to_owned()));
        status.set(Health::Serving);
        assert_eq!(status.health(), Health::Reopen("older".to_owned()));
    }

    #[test]
    fn a_store_without_room_for_commits_does_not_serve() {
        let status = Status::serving();
        status.stall(Some("full".to_owned()));
        status.set(Health::Serving);
        assert_eq!(status.health(), Health::Unavailable("full".to_owned()));
        status.stall(None);
        assert_eq!(status.health(), Health::Serving);
    }
}
