//! One at a time per user: a limit of N failures holds for any number of attempts that come together.
//!
//! ```text
//! login ──────────────────────────────────────────────▶ the user's turn
//! application a ─▶ a's turn ─┐                           ▲
//! application b ─▶ b's turn ─┴─▶ the applications' turn ─┘
//! ```
//!
//! Logins wait for each other and for one request of an application at most, however many those send; and no
//! application waits for more than one request of another.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Whose turn, in the affairs of one user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LockKey {
    /// Whoever has it may change the user's record.
    User(String),
    /// Whoever has it waits for that in the name of all applications.
    Applications(String),
    /// Whoever has it waits for that in the name of this one.
    Application(String, String),
}

/// The turns of all users. A user who has nobody waiting takes no memory.
#[derive(Debug, Default)]
pub struct UserLocks {
    locks: Mutex<HashMap<LockKey, Lock>>,
}

/// A turn; the next one begins when it is dropped.
#[derive(Debug)]
pub struct UserLockGuard<'a> {
    turns: &'a UserLocks,
    whose: LockKey,
    guard: Option<OwnedMutexGuard<()>>,
}

/// The turn of an application's request. The user's is given back first, so that whoever waits with the logins is
/// behind those that are there by then.
#[derive(Debug)]
pub struct ApplicationLockGuard<'a>(#[expect(dead_code, reason = "held for its end")] [UserLockGuard<'a>; 3]);

impl UserLocks {
    /// Waits for the turn of `user`, in the order of arrival.
    pub async fn lock(&self, user: &str) -> UserLockGuard<'_> {
        self.next(LockKey::User(user.to_owned())).await
    }

    /// Waits for the turn of `user` as one of many requests that the application `client` may have sent.
    pub async fn lock_for_application(&self, user: &str, client: &str) -> ApplicationLockGuard<'_> {
        let mine = self.next(LockKey::Application(user.to_owned(), client.to_owned())).await;
        let all = self.next(LockKey::Applications(user.to_owned())).await;
        ApplicationLockGuard([self.lock(user).await, all, mine])
    }

    async fn next(&self, whose: LockKey) -> UserLockGuard<'_> {
        let lock = Arc::clone(self.map().entry(whose.clone()).or_default());
        // Made before the wait, so that an abandoned wait is tidied up as well.
        let mut turn = UserLockGuard { turns: self, whose, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<LockKey, Lock>> {
        // Nothing panics while it is held; the map is whole either way.
        ignore_poison(self.locks.lock())
    }
}

impl Drop for UserLockGuard<'_> {
    fn drop(&mut self) {
        let mut map = self.turns.map();
        drop(self.guard.take());
        // Others hold a clone as long as they wait or have their turn.
        if map.get(&self.whose).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn one_users_turns_follow_each_other_and_leave_nothing() {
        let turns = Arc::new(UserLocks::default());
        let inside = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|i| {
                let (turns, inside) = (Arc::clone(&turns), Arc::clone(&inside));
                tokio::spawn(async move {
                    let _turn = turns.lock(if i % 2 == 0 { "alice" } else { "bob" }).await;
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
        let turns = UserLocks::default();
        let turn = turns.lock("alice").await;
        tokio::select! {
            biased;
            _ = turns.lock("alice") => panic!("two turns at once"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        assert!(turns.map().is_empty());
    }

    #[tokio::test]
    async fn a_login_and_another_application_wait_for_one_request_of_a_busy_application() {
        let turns = Arc::new(UserLocks::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = turns.lock_for_application("alice", "flood").await;
        let wait = |who: &'static str| {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tokio::spawn(async move {
                let _turn: (Option<UserLockGuard<'_>>, Option<ApplicationLockGuard<'_>>) = match who {
                    "login" => (Some(turns.lock("alice").await), None),
                    client => (None, Some(turns.lock_for_application("alice", client).await)),
                };
                order.lock().unwrap().push(who);
                tokio::task::yield_now().await;
            })
        };
        let mut tasks: Vec<_> = (0..100).map(|_| wait("flood")).collect();
        for who in ["flood", "login", "shop", "login"] {
            tokio::task::yield_now().await;
            tasks.push(wait(who));
        }
        tokio::task::yield_now().await;
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let places =
            |who| order.iter().enumerate().filter(|(_, w)| **w == who).map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(order.len(), 104);
        assert!(places("login").iter().all(|place| *place <= 2), "{order:?}");
        assert!(places("shop")[0] <= 4, "{order:?}");
        assert!(turns.map().is_empty());
    }
}
