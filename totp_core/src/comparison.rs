//! How a typed code compares with the factors of an account. The work is the same whatever matches.

use crate::account::Account;
use crate::code::Input;
use crate::code::Typed;
use crate::factor::{Factor, USED_STEPS};
use crate::judge_settings::JudgeSettings;
use crate::otp::Params;
use crate::secret::Secret;
use crate::time::Time;
use crate::window::{is_code_of, matching_step};

/// How a code compares with the active factors together.
#[derive(Clone, Copy)]
pub(crate) struct ActiveMatch {
    /// What counts: a used code of one of them, then a fresh one, then a wrong one.
    pub(crate) best: MatchResult,
    /// The factor that `best` is about.
    pub(crate) index: usize,
    /// How many factors would have accepted a right code.
    pub(crate) judged: u32,
}

/// How a code compares with one factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchResult {
    /// The code of a time step that is not used.
    Fresh(u64),
    /// The code of a time step that is used.
    Used,
    /// The code of a factor that is not ripe.
    NotRipe,
    /// Another code.
    NoMatch,
    /// The clock cannot be trusted to judge the code.
    Clock,
    /// There is no factor, or no code to compare.
    Absent,
}

impl MatchResult {
    /// Returns whether the factor would have accepted a right code.
    pub(crate) const fn is_judged(self) -> bool {
        matches!(self, Self::Fresh(_) | Self::Used | Self::NoMatch)
    }

    /// Orders the results of several factors: what decides is the greatest. A code that one of them
    /// knows as used is used: two factors may have the same secret.
    const fn rank(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Clock => 1,
            Self::NotRipe => 2,
            Self::NoMatch => 3,
            Self::Fresh(_) => 4,
            Self::Used => 5,
        }
    }
}

/// Compares a code with every active factor, whatever matches.
pub(crate) fn compare_authenticators(
    account: &Account,
    input: &Input,
    now: Time,
    settings: &JudgeSettings,
) -> ActiveMatch {
    let mut all = ActiveMatch { best: MatchResult::Absent, index: 0, judged: 0 };
    for (index, factor) in account.authenticators().enumerate() {
        let result = compare(Some(factor), input, now, settings);
        all.judged += u32::from(result.is_judged());
        if result.rank() > all.best.rank() {
            all = ActiveMatch { best: result, index, ..all };
        }
    }
    all
}

/// Compares a code with one factor. The work is the same whatever matches.
pub(crate) fn compare(
    factor: Option<&Factor>,
    input: &Input,
    now: Time,
    settings: &JudgeSettings,
) -> MatchResult {
    let (Some(factor), Ok(Typed::Code(code))) = (factor, input) else { return MatchResult::Absent };
    let secret = factor.secrets.secret();
    let matched = matching_step(secret, factor.params, code, now, settings.skew);
    let was_used = is_code_of(secret, factor.params, code, &factor.recently_used(now));
    if clock_is_wrong(factor, now, settings) {
        return MatchResult::Clock;
    }
    match matched {
        Some(_) if factor.staged.as_ref().is_some_and(|staged| !staged.allows_codes(now)) => {
            MatchResult::NotRipe
        }
        Some(step) if factor.last_step.is_none_or(|last| step > last) => MatchResult::Fresh(step),
        Some(_) => MatchResult::Used,
        None if was_used => MatchResult::Used,
        None => MatchResult::NoMatch,
    }
}

/// Compares a code with no factor: the same work as [`compare`], for a name without an account.
pub(crate) fn compare_with_decoy(input: &Input, now: Time, settings: &JudgeSettings) {
    if let (Ok(Typed::Code(code)), Ok(decoy)) = (input, Secret::from_bytes(&[0; 20])) {
        std::hint::black_box(matching_step(&decoy, Params::default(), code, now, settings.skew));
        std::hint::black_box(is_code_of(&decoy, Params::default(), code, &[None; USED_STEPS]));
    }
}

/// Returns whether the clock is before the release's build date, a used time step or the latest
/// grant. With such a clock, codes that were used or displayed before would be accepted.
pub(crate) fn clock_is_wrong<S>(factor: &Factor<S>, now: Time, settings: &JudgeSettings) -> bool {
    let latest = factor.params.period.step_at(now).saturating_add(u64::from(settings.skew));
    !settings.trusts(now, factor.params) || factor.last_step.is_some_and(|last| latest < last)
}
