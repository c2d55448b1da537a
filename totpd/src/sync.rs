//! Use of the standard library's locks without poisoning.

use std::sync::LockResult;

/// Returns the guard of a lock, even if a thread has panicked while it held the lock.
///
/// A panic ends one task but not the daemon, and a poisoned lock would refuse every later login.
/// Code that holds a lock must therefore leave the data valid at every point where it can panic.
pub(crate) fn ignore_poison<G>(result: LockResult<G>) -> G {
    result.unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::ignore_poison;
    use std::sync::Mutex;

    #[test]
    fn a_lock_is_usable_after_a_panic_under_it() {
        let lock = Mutex::new(1);
        let panics = || {
            let _guard = lock.lock();
            panic!("under the lock");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert!(lock.is_poisoned());
        *ignore_poison(lock.lock()) += 1;
        assert_eq!(*ignore_poison(lock.lock()), 2);
    }
}
