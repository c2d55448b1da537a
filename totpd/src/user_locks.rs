//! Locks by which decisions about one user follow each other, so that a limit of N failures holds
//! for any number of attempts that arrive together.
//!
//! ```text
//! login ──────────────────────────────────────────────▶ the user's lock
//! application a ─▶ a's lock ─┐                           ▲
//! application b ─▶ b's lock ─┴─▶ the applications' lock ─┘
//! ```
//!
//! A login waits for the logins before it and for at most one request of an application, however
//! many requests those send. An application waits for at most one request of each other
//! application.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// What a lock is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LockKey {
    /// The user's record. Its holder may change the record.
    User(String),
    /// The user, for all applications. Its holder waits for the user's lock in the name of all of
    /// them.
    Applications(String),
    /// The user, and one application. Its holder waits for the applications' lock in the name of
    /// this one.
    Application(String, String),
}

/// The locks of all users. A lock that nobody holds or waits for takes no memory.
#[derive(Debug, Default)]
pub struct UserLocks {
    locks: Mutex<HashMap<LockKey, Lock>>,
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub struct UserLockGuard<'a> {
    locks: &'a UserLocks,
    key: LockKey,
    guard: Option<OwnedMutexGuard<()>>,
}

/// Holds the three locks of an application's request. It releases the user's lock first, so that an
/// application's next request queues behind the logins that wait by then.
#[derive(Debug)]
pub struct ApplicationLockGuard<'a>(
    #[expect(dead_code, reason = "held until it is dropped")] [UserLockGuard<'a>; 3],
);

impl UserLocks {
    /// Waits for the lock of `user`, in the order of arrival.
    pub async fn lock(&self, user: &str) -> UserLockGuard<'_> {
        self.acquire(LockKey::User(user.to_owned())).await
    }

    /// Waits for the lock of `user` as one of many requests that the application `client` may have
    /// sent.
    pub async fn lock_for_application(&self, user: &str, client: &str) -> ApplicationLockGuard<'_> {
        let own = self.acquire(LockKey::Application(user.to_owned(), client.to_owned())).await;
        let all = self.acquire(LockKey::Applications(user.to_owned())).await;
        ApplicationLockGuard([self.lock(user).await, all, own])
    }

    async fn acquire(&self, key: LockKey) -> UserLockGuard<'_> {
        let lock = Arc::clone(self.map().entry(key.clone()).or_default());
        // Made before the wait, so that dropping it cleans up after an abandoned wait as well.
        let mut held = UserLockGuard { locks: self, key, guard: None };
        held.guard = Some(lock.lock_owned().await);
        held
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<LockKey, Lock>> {
        // Nothing panics while it is held; the map is whole either way.
        ignore_poison(self.locks.lock())
    }
}

impl Drop for UserLockGuard<'_> {
    fn drop(&mut self) {
        let mut map = self.locks.map();
        drop(self.guard.take());
        // Others hold a clone as long as they wait for the lock or hold it.
        if map.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn locks_of_a_user_follow_each_other_and_leave_nothing() {
        let locks = Arc::new(UserLocks::default());
        let inside = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|i| {
                let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
                tokio::spawn(async move {
                    let _held = locks.lock(if i % 2 == 0 { "alice" } else { "bob" }).await;
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(locks.map().is_empty());
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_nothing() {
        let locks = UserLocks::default();
        let held = locks.lock("alice").await;
        tokio::select! {
            biased;
            _ = locks.lock("alice") => panic!("two holders at once"),
            () = tokio::task::yield_now() => {}
        }
        drop(held);
        assert!(locks.map().is_empty());
    }

    #[tokio::test]
    async fn logins_wait_for_one_request_of_a_busy_application() {
        let locks = Arc::new(UserLocks::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = locks.lock_for_application("alice", "flood").await;
        let wait = |who: &'static str| {
            let (locks, order) = (Arc::clone(&locks), Arc::clone(&order));
            tokio::spawn(async move {
                let _held: (Option<UserLockGuard<'_>>, Option<ApplicationLockGuard<'_>>) = match who {
                    "login" => (Some(locks.lock("alice").await), None),
                    client => (None, Some(locks.lock_for_application("alice", client).await)),
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
        let positions =
            |who| order.iter().enumerate().filter(|(_, w)| **w == who).map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(order.len(), 104);
        assert!(positions("login").iter().all(|position| *position <= 2), "{order:?}");
        assert!(positions("shop")[0] <= 4, "{order:?}");
        assert!(locks.map().is_empty());
    }
}
