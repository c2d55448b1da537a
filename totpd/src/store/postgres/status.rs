//! Whether the store serves. The watch changes it, and nothing else turns it back.

use crate::store::Health;
use crate::sync::ignore_poison;
use std::sync::RwLock;

/// The health of an open store.
#[derive(Debug)]
pub(super) struct Status(RwLock<Health>);

impl Status {
    /// Of a store that has just been opened.
    pub(super) fn serving() -> Self {
        Self(RwLock::new(Health::Serving))
    }

    /// The health of this moment.
    pub(super) fn health(&self) -> Health {
        ignore_poison(self.0.read()).clone()
    }

    /// Takes over what was found, and says in the log what changed. One that has to be opened
    /// again stays so.
    pub(super) fn set(&self, found: Health) {
        let mut health = ignore_poison(self.0.write());
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
}
