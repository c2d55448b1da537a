//! Break-glass: a single-use random code for one user and a limited time. It needs no account.

use crate::code::Input;
use crate::code::Typed;
use crate::judge::Reason;
use crate::name::UserName;
use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet};
use crate::verified::{How, Verified};
use core::time::Duration;

/// The longest lifetime of a break-glass code.
pub const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// The state of a break-glass responder.
#[derive(Debug)]
pub struct BreakGlass {
    user: UserName,
    code: RecoverySet,
    lifetime: Duration,
}

impl BreakGlass {
    /// Makes a code for `user` that is accepted for `lifetime`, and for [`MAX_LIFETIME`] at most.
    /// The responder stores only its hash.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        user: UserName,
        lifetime: Duration,
        random: &mut impl Random,
    ) -> Result<(Self, RecoveryCode), RandomFailed> {
        let (set, code) = RecoverySet::single(random)?;
        Ok((Self { user, code: set, lifetime: lifetime.min(MAX_LIFETIME) }, code))
    }

    /// Returns the user.
    pub const fn user(&self) -> &UserName {
        &self.user
    }

    /// Returns for how long the code is accepted.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Returns whether the code was used.
    pub fn is_used(&self) -> bool {
        self.code.left() == 0
    }

    /// Checks an attempt, `elapsed` after the start by the monotonic clock. Failures are not
    /// counted: the code has 80 random bits. The code is not spent yet, because its use must be
    /// recorded first: [`BreakGlass::spend`].
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn check(&self, user: &str, input: &Input, elapsed: Duration) -> Result<MatchedCode, Reason> {
        let found = match input {
            Ok(Typed::Recovery(code)) => self.code.find(code),
            Ok(Typed::Code(_)) => None,
            Err(rejected) => return Err(Reason::Rejected(*rejected)),
        };
        if user != self.user.as_str() {
            return Err(Reason::NotEnrolled);
        }
        if elapsed >= self.lifetime {
            return Err(Reason::Expired);
        }
        found.map(MatchedCode).ok_or(Reason::Wrong)
    }

    /// Spends the code, and returns the proof for one grant.
    #[expect(clippy::needless_pass_by_value, reason = "a match is spent once")]
    pub fn spend(&mut self, found: MatchedCode) -> Verified {
        let MatchedCode(index) = found;
        self.code.spend(index);
        Verified::new("", How::BreakGlass)
    }
}

/// A code that was right and is not spent yet.
#[derive(Debug)]
#[must_use = "a match that is dropped lets nobody in"]
pub struct MatchedCode(usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;

    #[test]
    fn one_user_gets_in_once_and_not_after_the_lifetime() {
        let (hour, start) = (Duration::from_hours(1), Duration::ZERO);
        let alice = UserName::parse("alice").unwrap();
        let (mut glass, code) = BreakGlass::new(alice, hour, &mut Counting(5)).unwrap();
        let right = || Typed::parse(&code.reveal());
        assert_eq!(glass.check("bob", &right(), start).map(drop), Err(Reason::NotEnrolled));
        assert_eq!(glass.check("alice", &Typed::parse("123456"), start).map(drop), Err(Reason::Wrong));
        assert_eq!(glass.check("alice", &right(), hour).map(drop), Err(Reason::Expired));
        assert!(!glass.is_used());
        let found = glass.check("alice", &right(), hour.saturating_sub(Duration::from_secs(1))).unwrap();
        let proof = glass.spend(found);
        assert_eq!(proof.how(), How::BreakGlass);
        assert!(glass.is_used());
        assert_eq!(glass.check("alice", &right(), start).map(drop), Err(Reason::Wrong));
    }

    #[test]
    fn a_code_is_accepted_for_a_day_at_most() {
        let alice = UserName::parse("alice").unwrap();
        let (glass, _) = BreakGlass::new(alice, Duration::MAX, &mut Counting(5)).unwrap();
        assert_eq!(glass.lifetime(), MAX_LIFETIME);
    }
}
