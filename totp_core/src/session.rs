//! Sessions of applications: minted from a [`Verified`], and from nothing else.
//!
//! ```text
//! Verified ─ begin ─▶ open ── its time has come, or revoked ─▶ gone
//!                      │  ▲
//!                      └──┘ strengthen (another Verified), extend, touch
//! ```

use crate::account::new_id;
use crate::profile::merge;
use crate::random::{Random, RandomFailed};
use crate::time::{MINUTE, Time};
use crate::verified::{How, Verified};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The shortest and the longest session, in minutes (366 days).
pub const MIN_MINUTES: u64 = 5;
/// See [`SHORTEST`].
pub const MAX_MINUTES: u64 = 527_040;
/// The most that custom claims may take, in bytes of JSON.
pub const MAX_CLAIMS_BYTES: usize = 4096;
/// Claims that are the token's own (RFC 7519 section 4.1, and the session itself).
const RESERVED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "https://stytch.com/session"];

/// How long a session is to last: 5 to 527,040 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minutes(u64);

impl Minutes {
    /// `None` when it is too short or too long.
    pub fn new(minutes: i64) -> Option<Self> {
        u64::try_from(minutes).ok().filter(|m| (MIN_MINUTES..=MAX_MINUTES).contains(m)).map(Self)
    }

    const fn after(self, now: Time) -> Time {
        now.plus(self.0 * MINUTE)
    }
}

/// Custom claims together are too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimsTooLarge;

/// By what a factor was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorKind {
    /// A code of the phone.
    Totp,
    /// A recovery code; the id names it in this session.
    Recovery(String),
}

/// A factor that was shown in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticatedFactor {
    /// By what.
    #[serde(rename = "means")]
    pub kind: FactorKind,
    /// The enrollment.
    pub totp_id: String,
    /// When it was shown first in this session.
    pub first: Time,
    /// When it was shown last.
    pub last: Time,
}

/// One session of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    id: String,
    user: String,
    started: Time,
    accessed: Time,
    expires: Time,
    #[serde(rename = "shown")]
    factors: Vec<AuthenticatedFactor>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    claims: Map<String, Value>,
}

impl Session {
    /// A session of the user with the id `user`, who has just shown a factor.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn begin(
        proof: &Verified,
        user: &str,
        length: Minutes,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Self, RandomFailed> {
        let mut session = Self {
            id: new_id("session", random)?,
            user: user.to_owned(),
            started: now,
            accessed: now,
            expires: length.after(now),
            factors: Vec::new(),
            claims: Map::new(),
        };
        session.show(proof, now, random)?;
        Ok(session)
    }

    /// Another factor, or the same one again, was shown in an open session.
    ///
    /// # Errors
    /// When the random source fails; the session is unchanged then.
    pub fn add_factor(
        &mut self,
        proof: &Verified,
        length: Option<Minutes>,
        now: Time,
        random: &mut impl Random,
    ) -> Result<(), RandomFailed> {
        self.show(proof, now, random)?;
        self.extend(length, now);
        Ok(())
    }

    /// It was used; with a length its end is set anew, from now on.
    pub fn extend(&mut self, length: Option<Minutes>, now: Time) {
        self.accessed = now;
        if let Some(length) = length {
            self.expires = length.after(now);
        }
    }

    /// Puts custom claims over those there are: null takes one away, the token's own are left out.
    ///
    /// # Errors
    /// [`ClaimsTooLarge`]; the session is unchanged then.
    pub fn merge_claims(&mut self, given: Map<String, Value>) -> Result<(), ClaimsTooLarge> {
        self.claims = merged_claims(&self.claims, given)?;
        Ok(())
    }

    fn show(&mut self, proof: &Verified, now: Time, random: &mut impl Random) -> Result<(), RandomFailed> {
        let means = match proof.how() {
            How::Recovery { .. } => FactorKind::Recovery(new_id("totp-recovery-code", random)?),
            _ => FactorKind::Totp,
        };
        // Each recovery code is one of its own; the phone is the same one again.
        let same = |s: &&mut AuthenticatedFactor| s.kind == means && s.totp_id == proof.totp_id();
        if let Some(shown) = self.factors.iter_mut().find(same) {
            shown.last = now;
        } else {
            let totp_id = proof.totp_id().to_owned();
            self.factors.push(AuthenticatedFactor { kind: means, totp_id, first: now, last: now });
        }
        Ok(())
    }

    /// Whether it is not over.
    pub fn is_open(&self, now: Time) -> bool {
        now < self.expires
    }

    /// `session-` and 26 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id of its user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// When it began.
    pub const fn started(&self) -> Time {
        self.started
    }

    /// When it was last used, as far as that is kept.
    pub const fn accessed(&self) -> Time {
        self.accessed
    }

    /// The first moment at which it is over.
    pub const fn expires(&self) -> Time {
        self.expires
    }

    /// The factors that were shown.
    pub fn factors(&self) -> &[AuthenticatedFactor] {
        &self.factors
    }

    /// The application's own claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// What custom claims there will be when `given` is put over `kept`.
///
/// # Errors
/// [`ClaimsTooLarge`].
pub fn merged_claims(
    kept: &Map<String, Value>,
    mut given: Map<String, Value>,
) -> Result<Map<String, Value>, ClaimsTooLarge> {
    given.retain(|key, _| !RESERVED.contains(&key.as_str()));
    let mut claims = kept.clone();
    merge(&mut claims, given);
    // Text, numbers and lists of them: this cannot fail.
    let size = serde_json::to_string(&claims).map_or(usize::MAX, |text| text.len());
    if size > MAX_CLAIMS_BYTES { Err(ClaimsTooLarge) } else { Ok(claims) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Counting;
    use serde_json::json;

    const T0: Time = Time::from_unix(1_800_000_000);

    fn totp() -> Verified {
        Verified::new("totp-a", How::Totp { offset: 0 }, false)
    }

    fn session() -> Session {
        Session::begin(&totp(), "user-a", Minutes::new(5).unwrap(), T0, &mut Counting(1)).unwrap()
    }

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn lengths_are_5_minutes_to_366_days() {
        for bad in [i64::MIN, -1, 0, 4, 527_041, i64::MAX] {
            assert_eq!(Minutes::new(bad), None, "{bad}");
        }
        assert!(Minutes::new(5).is_some() && Minutes::new(527_040).is_some());
    }

    #[test]
    fn a_session_is_over_at_its_end_and_extended_from_now() {
        let mut session = session();
        assert!(session.is_open(T0.plus(299)) && !session.is_open(T0.plus(300)));
        session.extend(None, T0.plus(10));
        assert_eq!((session.accessed(), session.expires()), (T0.plus(10), T0.plus(300)));
        session.extend(Minutes::new(10), T0.plus(20));
        assert_eq!(session.expires(), T0.plus(620));
    }

    #[test]
    fn the_phone_is_one_factor_and_each_recovery_code_another() {
        let mut session = session();
        session.add_factor(&totp(), None, T0.plus(40), &mut Counting(2)).unwrap();
        for seed in 3..5 {
            let recovery = Verified::new("totp-a", How::Recovery { left: 9 }, false);
            session.add_factor(&recovery, None, T0.plus(50), &mut Counting(seed)).unwrap();
        }
        assert_eq!(session.factors().len(), 3);
        assert_eq!((session.factors()[0].first, session.factors()[0].last), (T0, T0.plus(40)));
    }

    #[test]
    fn claims_are_merged_bounded_and_never_the_tokens_own() {
        let mut session = session();
        session
            .merge_claims(map(&json!({ "a": 1, "sub": "root", "https://stytch.com/session": {} })))
            .unwrap();
        assert_eq!(session.claims(), &map(&json!({ "a": 1 })));
        let large = map(&json!({ "b": "x".repeat(4096) }));
        assert_eq!(session.merge_claims(large), Err(ClaimsTooLarge));
        assert_eq!(session.claims(), &map(&json!({ "a": 1 })));
        session.merge_claims(map(&json!({ "a": null, "b": [2] }))).unwrap();
        assert_eq!(session.claims(), &map(&json!({ "b": [2] })));
    }
}
