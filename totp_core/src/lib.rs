//! Every decision of totpd's second factor, without I/O, clock or async. Time and randomness come
//! in as arguments; what to store and what to answer go out as values.
//!
//! How a code passes through this crate:
//!
//! ```text
//! text ── Typed::parse ─▶ Typed ─┐
//! origin, now, settings ─────────┼─▶ judge(&mut Account, …) ─▶ Granted(Verified) | Refused(Reason)
//! the stored Account ────────────┘   window · recovery · lock · clock
//! ```
//!
//! [`Verified`] is the only proof of a correct factor, and [`policy::Pass`] the only permission to
//! pass without one: neither can be made or cloned outside this crate.
//!
//! ```
//! # use totp_core::random::{Random, RandomFailed};
//! # struct Fixed(u8);
//! # impl Random for Fixed {
//! #     fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomFailed> {
//! #         for byte in out {
//! #             self.0 = self.0.wrapping_mul(5).wrapping_add(3);
//! #             *byte = self.0;
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! # let mut random = Fixed(1);
//! use totp_core::new_factor::NewFactor;
//! use totp_core::{Account, Attempt, JudgeSettings, Origin, Outcome, Reason};
//! use totp_core::{Time, Typed, UserName};
//!
//! let now = Time::from_unix(1_800_000_000);
//! let not_before = Time::from_unix(1_700_000_000);
//! let settings = JudgeSettings { skew: 1, not_before, latest_grant: Time::default() };
//! let mut account = Account::new(UserName::parse("alice").ok(), Some(1000), now, &mut random)?;
//! let new = NewFactor { lifetime: 3600, ..NewFactor::default() };
//! let _recovery_codes = account.enroll(&new, now, &mut random)?;
//!
//! // What the user's authenticator app shows:
//! let secret = account.pending.as_ref().unwrap().secrets.secret();
//! let code = totp_core::otp::totp_at(secret, new.params, now);
//!
//! let attempt = Attempt::plain(Origin::Local, Typed::parse(&code));
//! let judgement = totp_core::judge(&mut account, &attempt, now, &settings);
//! assert!(matches!(judgement.outcome, Outcome::Granted(_)));
//! // The same code a second time is a replay (RFC 6238 section 5.2).
//! let judgement = totp_core::judge(&mut account, &attempt, now, &settings);
//! assert!(matches!(judgement.outcome, Outcome::Refused(Reason::Replayed)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

// The unit tests share helpers with those in tests/, which name the crate.
#[cfg(test)]
extern crate self as totp_core;

pub mod account;
pub mod authenticator;
mod authenticator_set;
pub mod breakglass;
pub mod code;
mod code_symbols;
mod comparison;
pub mod contact;
pub mod external_id;
pub mod factor;
pub mod given_secret;
mod helpdesk;
pub mod judge;
pub mod judge_settings;
pub mod lock;
pub mod login_enrollment;
pub mod name;
pub mod new_factor;
pub mod notices;
pub mod otp;
pub mod otpauth;
pub mod passcode;
pub mod policy;
pub mod profile;
pub mod random;
pub mod recovery;
pub mod remember;
pub mod remembered;
pub mod secret;
pub mod self_service;
pub mod session;
pub mod source;
mod staged_change;
pub mod ticket_login;
pub mod time;
pub mod verified;
pub mod window;
pub mod withdrawal;

pub use account::Account;
pub use code::{Input, RejectedInput, Typed};
pub use factor::{Factor, FactorState};
pub use judge::{Attempt, Judgement, Outcome, Reason, judge};
pub use judge_settings::JudgeSettings;
pub use name::UserName;
pub use otp::{Algorithm, Digits, Params, Period};
pub use random::{Random, RandomFailed};
pub use secret::{Secret, Secrets};
pub use session::Session;
pub use source::{Origin, Source};
pub use time::Time;
pub use verified::{How, Verified};
