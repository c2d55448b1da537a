//! The acceptance window of time steps (RFC 6238 section 5.2), compared in constant time.

use crate::code::Code;
use crate::otp::{Hotp, Params};
use crate::secret::Secret;
use crate::time::Time;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Returns the latest time step within `skew` steps of `now` whose code is `code`.
///
/// Every step of the window is computed and compared, whatever matched before. When two steps have
/// the same code, the later one is returned: marking it as used covers the other as well.
///
/// ```
/// use totp_core::otp::{Params, totp_at};
/// use totp_core::window::matching_step;
/// use totp_core::{Secret, Time, Typed};
/// let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
/// let (params, now) = (Params::default(), Time::from_unix(3000));
/// let typed = totp_at(&secret, params, now);
/// let Ok(Typed::Code(code)) = Typed::parse(&typed) else { unreachable!() };
/// assert_eq!(matching_step(&secret, params, &code, now.plus(30), 1), Some(100));
/// assert_eq!(matching_step(&secret, params, &code, now.plus(60), 1), None);
/// ```
pub fn matching_step(secret: &Secret, params: Params, code: &Code, now: Time, skew: u8) -> Option<u64> {
    let current = params.period.step_at(now);
    let first = current.saturating_sub(u64::from(skew));
    let last = current.saturating_add(u64::from(skew));
    let codes = Hotp::new(secret, params.algorithm, params.digits);
    let mut found = Choice::from(0);
    let mut step = 0;
    for candidate in first..=last {
        let value = codes.at(candidate);
        let same = value.ct_eq(&code.value) & params.digits.get().ct_eq(&code.digits);
        step = u64::conditional_select(&step, &candidate, same);
        found |= same;
    }
    bool::from(found).then_some(step)
}

/// Returns whether `code` is the code of one of `steps`. A `None` costs the same work and never
/// matches.
pub(crate) fn is_code_of(secret: &Secret, params: Params, code: &Code, steps: &[Option<u64>]) -> bool {
    let codes = Hotp::new(secret, params.algorithm, params.digits);
    let mut found = Choice::from(0);
    for step in steps {
        // Any step will do for `None`: the result is masked below.
        let value = codes.at(step.unwrap_or(0));
        let same = value.ct_eq(&code.value) & params.digits.get().ct_eq(&code.digits);
        found |= same & Choice::from(u8::from(step.is_some()));
    }
    bool::from(found)
}

/// Returns by how many seconds the clock of the phone that shows `code` is ahead of `now`
/// (negative: behind), or `None` when no step within `reach` steps has this code. For messages
/// during enrollment only: it accepts no code.
pub fn phone_offset(secret: &Secret, params: Params, code: &Code, now: Time, reach: u8) -> Option<i64> {
    let step = matching_step(secret, params, code, now, reach)?;
    let steps = i64::try_from(step).ok()? - i64::try_from(params.period.step_at(now)).ok()?;
    Some(steps * i64::try_from(params.period.seconds()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Typed;
    use crate::otp::totp_at;

    fn code_at(secret: &Secret, at: u64) -> Code {
        match Typed::parse(&totp_at(secret, Params::default(), Time::from_unix(at))) {
            Ok(Typed::Code(code)) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_early_or_late() {
        let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
        let now = Time::from_unix(3000);
        let step = |at| matching_step(&secret, Params::default(), &code_at(&secret, at), now, 1);
        assert_eq!(step(2969), None);
        assert_eq!(step(2970), Some(99));
        assert_eq!(step(3000), Some(100));
        assert_eq!(step(3059), Some(101));
        assert_eq!(step(3060), None);
    }

    #[test]
    fn a_code_of_another_length_never_matches() {
        let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
        let mut code = code_at(&secret, 3000);
        code.digits = 7;
        assert_eq!(matching_step(&secret, Params::default(), &code, Time::from_unix(3000), 10), None);
    }

    #[test]
    fn a_phones_clock_offset_is_a_multiple_of_its_period() {
        let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
        let now = Time::from_unix(30_000);
        let offset = |at| phone_offset(&secret, Params::default(), &code_at(&secret, at), now, 20);
        assert_eq!(offset(30_000 + 240), Some(240));
        assert_eq!(offset(30_000 - 300), Some(-300));
        assert_eq!(offset(30_000 + 3600), None);
    }

    #[test]
    fn a_window_at_the_epoch_does_not_underflow() {
        let secret = Secret::from_bytes(b"12345678901234567890").unwrap();
        assert_eq!(
            matching_step(&secret, Params::default(), &code_at(&secret, 0), Time::default(), 10),
            Some(0)
        );
    }
}
