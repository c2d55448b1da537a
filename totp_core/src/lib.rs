//! Every decision of totpd's second factor, and nothing else: no I/O, no clock, no async. Time and
//! randomness come in as arguments; what to store and what to answer go out as values.
//!
//! The way of a code through this crate:
//!
//! ```text
//! text ── code::Typed::parse ──▶ Typed ─┐
//! origin, now, rules ───────────────────┼─▶ judge::judge(&mut Account, …) ──▶ Granted(Verified) | Refused(Reason)
//! the stored Account ───────────────────┘        window · recovery · lock · clock
//! ```
//!
//! [`Verified`] is the only proof of a correct factor and [`policy::Pass`] the only leave to go without one:
//! neither can be made, copied or cloned outside this crate.
#![forbid(unsafe_code)]

pub mod account;
pub mod breakglass;
pub mod code;
pub mod contact;
pub mod external_id;
pub mod judge;
pub mod lock;
pub mod login_enrollment;
pub mod name;
pub mod notices;
pub mod otp;
pub mod otpauth;
pub mod policy;
pub mod profile;
pub mod random;
pub mod recovery;
pub mod remembered;
pub mod secret;
pub mod self_service;
pub mod session;
pub mod source;
pub mod time;
pub mod verified;
pub mod window;
pub mod withdrawal;

pub use account::{Account, Factor, FactorState};
pub use code::{RejectedInput, Typed};
pub use judge::{Attempt, Input, JudgeSettings, Judgement, Outcome, Reason, judge};
pub use name::UserName;
pub use otp::{Algorithm, Digits, Params, Period};
pub use random::{Random, RandomFailed};
pub use secret::{Secret, Secrets};
pub use session::Session;
pub use source::{Origin, Source};
pub use time::Time;
pub use verified::{How, Verified};
