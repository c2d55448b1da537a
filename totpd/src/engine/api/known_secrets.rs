//! Secrets of applications that were found right since the last revocation. A request with one of
//! them does not wait for the store. A shared store is read each time: other daemons revoke too.

use super::scope::Scope;
use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::Mutex;

/// A secret as the store had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownSecret {
    /// The name of its client.
    pub(super) name: String,
    pub(super) scope: Scope,
    /// The hash of the secret.
    pub(super) hash: String,
}

/// The secrets by their ids. Only right ones are kept, so there are no more than the store has.
#[derive(Debug, Default)]
pub(super) struct KnownSecrets(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How often secrets were revoked before these were read.
    revocations: u64,
    secrets: HashMap<String, KnownSecret>,
}

impl KnownSecrets {
    /// The secret with this id, unless one was revoked since it was read.
    pub(super) fn get(&self, id: &str, revocations: u64) -> Option<KnownSecret> {
        let known = ignore_poison(self.0.lock());
        known.secrets.get(id).filter(|_| known.revocations == revocations).cloned()
    }

    /// Keeps a secret that was read after so many revocations.
    pub(super) fn keep(&self, id: &str, revocations: u64, secret: KnownSecret) {
        let mut known = ignore_poison(self.0.lock());
        if revocations > known.revocations {
            *known = Known { revocations, secrets: HashMap::new() };
        }
        // What was read before the latest revocation may be what it revoked.
        if revocations == known.revocations {
            known.secrets.insert(id.to_owned(), secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_forgets_every_secret() {
        let known = KnownSecrets::default();
        let secret =
            |name: &str| KnownSecret { name: name.to_owned(), scope: Scope::Verify, hash: "hash".to_owned() };
        known.keep("a", 0, secret("shop"));
        assert_eq!(known.get("a", 0), Some(secret("shop")));
        assert_eq!((known.get("b", 0), known.get("a", 1)), (None, None));
        known.keep("b", 1, secret("bank"));
        assert_eq!((known.get("a", 1), known.get("b", 1)), (None, Some(secret("bank"))));
        // Read before the revocation, and kept after it.
        known.keep("a", 0, secret("shop"));
        assert_eq!((known.get("a", 0), known.get("a", 1)), (None, None));
    }
}
