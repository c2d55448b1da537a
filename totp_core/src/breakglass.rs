//! Break-glass: one user, one random code, one use, one end. Needs no account.

use crate::code::Typed;
use crate::judge::{Input, Reason};
use crate::name::UserName;
use crate::random::{Random, RandomFailed};
use crate::recovery::{RecoveryCode, RecoverySet};
use crate::verified::{How, Verified};
use core::time::Duration;

/// The longest it may last.
pub const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// What a responder knows.
#[derive(Debug)]
pub struct BreakGlass {
    user: UserName,
    code: RecoverySet,
    lasts: Duration,
}

impl BreakGlass {
    /// For `user`, and for `lasts` at most. The code exists nowhere else from now on.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        user: UserName,
        lasts: Duration,
        random: &mut impl Random,
    ) -> Result<(Self, RecoveryCode), RandomFailed> {
        let (code, shown) = RecoverySet::single(random)?;
        Ok((Self { user, code, lasts: lasts.min(MAX_LIFETIME) }, shown))
    }

    /// The user.
    pub const fn user(&self) -> &UserName {
        &self.user
    }

    /// How long it lasts.
    pub const fn lifetime(&self) -> Duration {
        self.lasts
    }

    /// Whether it has been used.
    pub fn is_used(&self) -> bool {
        self.code.left() == 0
    }

    /// Looks at an attempt, `elapsed` after the start by a clock that nobody sets. 80 random bits need no count
    /// of failures. Nothing is spent yet: who cannot record a use has not had it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, user: &str, input: &Input, elapsed: Duration) -> Result<MatchedCode, Reason> {
        let found = match input {
            Ok(Typed::Recovery(code)) => self.code.find(code),
            Ok(Typed::Code(_)) => None,
            Err(unusable) => return Err(Reason::Rejected(*unusable)),
        };
        if user != self.user.as_str() {
            return Err(Reason::NotEnrolled);
        }
        if elapsed >= self.lasts {
            return Err(Reason::Expired);
        }
        found.map(MatchedCode).ok_or(Reason::Wrong)
    }

    /// Spends the code.
    #[expect(clippy::needless_pass_by_value, reason = "a match is spent once")]
    pub fn spend(&mut self, found: MatchedCode) -> Verified {
        let MatchedCode(place) = found;
        self.code.spend(place);
        Verified::new("", How::BreakGlass, false)
    }
}

/// The code was right.
#[derive(Debug)]
#[must_use = "a match that is dropped lets nobody in"]
pub struct MatchedCode(usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;

    #[test]
    fn one_user_gets_in_once_and_nobody_after_the_end() {
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
    fn it_lasts_a_day_at_most() {
        let alice = UserName::parse("alice").unwrap();
        let (glass, _) = BreakGlass::new(alice, Duration::MAX, &mut Counting(5)).unwrap();
        assert_eq!(glass.lifetime(), MAX_LIFETIME);
    }
}
