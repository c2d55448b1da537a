//! Sessions of the HTTP API: each is made from a [`Verified`], and from nothing else.
//!
//! ```text
//! Verified ─ begin ─▶ open ── expires, or is revoked ─▶ over
//!                      │  ▲
//!                      └──┘ add_factor (another Verified), extend
//! ```

use crate::account::new_id;
use crate::profile::merge;
use crate::random::{Random, RandomFailed};
use crate::time::{MINUTE, Time};
use crate::verified::{How, Verified};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The shortest session, in minutes.
pub const MIN_MINUTES: u64 = 5;
/// The longest session, in minutes: 366 days.
pub const MAX_MINUTES: u64 = 527_040;
/// The largest size of all custom claims together, in bytes of JSON.
pub const MAX_CLAIMS_BYTES: usize = 4096;
/// Claims that the token sets itself: the registered ones (RFC 7519 section 4.1), and the session.
const RESERVED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "https://stytch.com/session"];

/// The length of a session: 5 to 527,040 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minutes(u64);

impl Minutes {
    /// Returns the length, or `None` when it is too short or too long.
    pub fn new(minutes: i64) -> Option<Self> {
        u64::try_from(minutes).ok().filter(|m| (MIN_MINUTES..=MAX_MINUTES).contains(m)).map(Self)
    }

    /// Returns when a session of this length ends that starts at `now`.
    const fn after(self, now: Time) -> Time {
        now.plus(self.0 * MINUTE)
    }
}

/// The custom claims are larger than [`MAX_CLAIMS_BYTES`] together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimsTooLarge;

/// The kind of factor that a session was authenticated with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactorKind {
    /// A TOTP code.
    Totp,
    /// A recovery code, with its id in this session.
    Recovery(String),
}

/// A factor that was verified in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticatedFactor {
    /// The kind of factor.
    #[serde(rename = "means")]
    pub kind: FactorKind,
    /// The id of the factor.
    pub totp_id: String,
    /// When it was first verified in this session.
    pub first: Time,
    /// When it was last verified in this session.
    pub last: Time,
}

/// One session of one user of an application.
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
    /// Makes a session of the user with the id `user`, whose factor has just been verified.
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
        session.record_factor(proof, now, random)?;
        Ok(session)
    }

    /// Adds a factor that was verified in an open session, or updates the one that is there, and
    /// sets the end of the session if `length` is given.
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
        self.record_factor(proof, now, random)?;
        self.extend(length, now);
        Ok(())
    }

    /// Records a use of the session. With a `length`, the session ends that long after `now`.
    pub fn extend(&mut self, length: Option<Minutes>, now: Time) {
        self.accessed = now;
        if let Some(length) = length {
            self.expires = length.after(now);
        }
    }

    /// Merges custom claims: a null value removes a claim, and claims that the token sets itself
    /// are ignored.
    ///
    /// # Errors
    /// [`ClaimsTooLarge`]; the session is unchanged then.
    pub fn merge_claims(&mut self, given: Map<String, Value>) -> Result<(), ClaimsTooLarge> {
        self.claims = merged_claims(&self.claims, given)?;
        Ok(())
    }

    fn record_factor(
        &mut self,
        proof: &Verified,
        now: Time,
        random: &mut impl Random,
    ) -> Result<(), RandomFailed> {
        let kind = match proof.how() {
            How::Recovery { .. } => FactorKind::Recovery(new_id("totp-recovery-code", random)?),
            _ => FactorKind::Totp,
        };
        // Each recovery code is a factor of its own; the authenticator app is always the same one.
        let is_same =
            |known: &&mut AuthenticatedFactor| known.kind == kind && known.totp_id == proof.totp_id();
        if let Some(known) = self.factors.iter_mut().find(is_same) {
            known.last = now;
        } else {
            let totp_id = proof.totp_id().to_owned();
            self.factors.push(AuthenticatedFactor { kind, totp_id, first: now, last: now });
        }
        Ok(())
    }

    /// Returns whether the session has not expired.
    pub fn is_open(&self, now: Time) -> bool {
        now < self.expires
    }

    /// Returns the id: `session-` and 26 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the id of the user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns when the session began.
    pub const fn started(&self) -> Time {
        self.started
    }

    /// Returns when the session was last used, as far as that is recorded.
    pub const fn accessed(&self) -> Time {
        self.accessed
    }

    /// Returns when the session expires: it is over from this time on.
    pub const fn expires(&self) -> Time {
        self.expires
    }

    /// Returns the factors that were verified.
    pub fn factors(&self) -> &[AuthenticatedFactor] {
        &self.factors
    }

    /// Returns the custom claims of the application.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// Returns the custom claims with `given` merged into `kept`, as [`Session::merge_claims`] does.
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
    // JSON values can always be written; if they could not, they would be refused as too large.
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
        Verified::new("totp-a", How::Totp { offset: 0 })
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
    fn a_session_expires_and_is_extended_from_now() {
        let mut session = session();
        assert!(session.is_open(T0.plus(299)) && !session.is_open(T0.plus(300)));
        session.extend(None, T0.plus(10));
        assert_eq!((session.accessed(), session.expires()), (T0.plus(10), T0.plus(300)));
        session.extend(Minutes::new(10), T0.plus(20));
        assert_eq!(session.expires(), T0.plus(620));
    }

    #[test]
    fn the_app_is_one_factor_and_each_recovery_code_another() {
        let mut session = session();
        session.add_factor(&totp(), None, T0.plus(40), &mut Counting(2)).unwrap();
        for seed in 3..5 {
            let recovery = Verified::new("totp-a", How::Recovery { left: 9 });
            session.add_factor(&recovery, None, T0.plus(50), &mut Counting(seed)).unwrap();
        }
        assert_eq!(session.factors().len(), 3);
        assert_eq!((session.factors()[0].first, session.factors()[0].last), (T0, T0.plus(40)));
    }

    #[test]
    fn claims_are_merged_and_bounded_and_reserved_ones_ignored() {
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
