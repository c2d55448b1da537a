//! What a user is told at the next login: that a recovery code was used, that somebody tried often.

use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Refusals since the last login from which on the user is told.
pub const BURST: u32 = 5;
/// Uses of recovery codes that are told one by one.
const MOST_USES: usize = 3;

/// A use of a recovery code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When.
    pub at: Time,
    /// From where, in words.
    pub from: String,
}

/// What has happened since the user was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Wrong codes, and tries while the class was locked.
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_refused: Option<Use>,
    /// Recovery codes that were used, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recovery: Vec<Use>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl News {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A try was refused.
    pub(crate) fn refusal(&mut self, at: Time, from: &str) {
        self.refused = self.refused.saturating_add(1);
        self.last_refused = Some(Use { at, from: from.to_owned() });
    }

    /// A recovery code was used: to be told at the login after this one.
    pub(crate) fn recovery_used(&mut self, at: Time, from: &str) {
        self.recovery.push(Use { at, from: from.to_owned() });
        let excess = self.recovery.len().saturating_sub(MOST_USES);
        self.recovery.drain(..excess);
    }

    /// The tries that were refused, and the last of them, if they are worth telling.
    pub fn burst(&self) -> Option<(u32, &Use)> {
        let last = self.last_refused.as_ref()?;
        (self.refused >= BURST).then_some((self.refused, last))
    }

    /// The recovery codes that were used.
    pub fn recovery_uses(&self) -> &[Use] {
        &self.recovery
    }
}
