//! One at a time per user: a limit of N failures holds for any number of attempts that come together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The turns of all users. A user who has nobody waiting takes no memory.
#[derive(Debug, Default)]
pub struct Turns {
    locks: Mutex<HashMap<String, Lock>>,
}

/// A turn; the next one begins when it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    user: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of `user`, in the order of arrival.
    pub async fn of(&self, user: &str) -> Turn<'_> {
        let lock = Arc::clone(self.map().entry(user.to_owned()).or_default());
        // Made before the wait, so that an abandoned wait is tidied up as well.
        let mut turn = Turn { turns: self, user: user.to_owned(), guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<String, Lock>> {
        // Nothing panics while it is held; the map is whole either way.
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut map = self.turns.map();
        drop(self.guard.take());
        // Others hold a clone as long as they wait or have their turn.
        if map.get(&self.user).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn one_users_turns_follow_each_other_and_leave_nothing() {
        let turns = Arc::new(Turns::default());
        let inside = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|i| {
                let (turns, inside) = (Arc::clone(&turns), Arc::clone(&inside));
                tokio::spawn(async move {
                    let _turn = turns.of(if i % 2 == 0 { "alice" } else { "bob" }).await;
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(turns.map().is_empty());
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_nothing() {
        let turns = Turns::default();
        let turn = turns.of("alice").await;
        tokio::select! {
            biased;
            _ = turns.of("alice") => panic!("two turns at once"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        assert!(turns.map().is_empty());
    }
}
