//! By what codes are judged, beside the factor itself.

use crate::otp::Params;
use crate::time::Time;

/// The site's settings for judging codes, and the clock's bounds.
#[derive(Clone, Copy, Debug)]
pub struct JudgeSettings {
    /// How many time steps a code may be ahead or behind (RFC 6238 section 5.2 recommends one).
    pub skew: u8,
    /// The build date of the release: a clock that shows an earlier time is wrong.
    pub not_before: Time,
    /// The latest time at which any code was granted. A clock well before it was set back.
    pub latest_grant: Time,
}

impl JudgeSettings {
    /// Returns whether a clock that shows `now` can judge TOTP codes. Because clocks are adjusted,
    /// it may be behind the latest grant by the acceptance window, and by one step at least.
    pub fn trusts(&self, now: Time, params: Params) -> bool {
        let window = params.period.seconds().saturating_mul(u64::from(self.skew.max(1)));
        now >= self.not_before && now.plus(window) >= self.latest_grant
    }
}
