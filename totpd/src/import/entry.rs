//! What a file of another tool holds: factors, and what totpd cannot take over, each by name.

use super::secret_text::InvalidText;
use std::fmt;
use totp_core::otp::{OutOfRange, hotp};
use totp_core::{Params, Secret, Time};

/// Time steps around the present one among which a last code is looked for: before, and ahead.
/// pam_oath accepts codes of `window=` steps; its README uses 20.
const LAST_CODE_BEFORE: u64 = 20;
const LAST_CODE_AHEAD: u64 = 100;

/// One user's entry in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line it stands in, from 1.
    pub line: usize,
    /// The user whom the file names; `None` where it names nobody.
    pub user: Option<String>,
    /// The factor, or why it is not taken over.
    pub factor: Result<Factor, Refusal>,
}

/// A factor, as far as totpd holds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Factor {
    /// The shared secret.
    pub secret: Secret,
    /// Hash, digits and period.
    pub params: Params,
    /// Which codes were used.
    pub used: Used,
    /// How many codes for emergencies the file has. They are not taken over.
    pub scratch_codes: usize,
    /// What else is not taken over, and what the user has to know.
    pub notes: Vec<Note>,
}

/// Which codes were used, as the file tells it.
#[derive(Clone, PartialEq, Eq)]
pub enum Used {
    /// It does not.
    Unknown,
    /// These time steps.
    Steps(Vec<u64>),
    /// The step whose code this number is.
    LastCode(u32),
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Steps(_) => "Steps(…)",
            Self::LastCode(_) => "LastCode(…)",
        })
    }
}

impl Factor {
    /// Returns the time steps that were used. A last code is looked for around `now`; where it
    /// belongs to several steps, the latest is returned.
    pub fn used_steps(&self, now: Time) -> Vec<u64> {
        match &self.used {
            Used::Unknown => Vec::new(),
            Used::Steps(steps) => steps.clone(),
            Used::LastCode(code) => {
                let Params { algorithm, digits, period } = self.params;
                let current = period.step_at(now);
                let mut steps = (current.saturating_sub(LAST_CODE_BEFORE)
                    ..=current.saturating_add(LAST_CODE_AHEAD))
                    .rev();
                let found = steps.find(|step| hotp(&self.secret, *step, algorithm, digits) == *code);
                found.into_iter().collect()
            }
        }
    }
}

/// Why an entry is not taken over. It holds nothing of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Counter-based codes (RFC 4226).
    Hotp,
    /// Its kind is not one of TOTP. The text is left out: in a file of another format it may be the
    /// secret.
    OtherKind,
    /// The file turns no kind of codes on.
    NoKind,
    /// The secret is malformed.
    Secret(InvalidText),
    /// The link is not an otpauth one, or is malformed.
    Link(InvalidText),
    /// Digits, period or algorithm that totpd does not have.
    Params(OutOfRange),
    /// A PIN is part of what the other tool asks for.
    Pin,
    /// The secret is encrypted (RFC 6030 section 6).
    Encrypted,
    /// A PIN that the server has to check is part of each code of a token.
    ServerPin,
    /// Something is missing: what.
    Missing(&'static str),
    /// A value is malformed: of what.
    Malformed(&'static str),
    /// The entry is another user's than the file.
    OtherUser,
    /// The file has more than this, which is more than is read.
    TooLarge(&'static str),
    /// The text has a byte that is not UTF-8.
    NotText,
    /// The file of one user has this many further entries.
    More(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hotp => f.write_str("its codes are counter-based (HOTP), and totpd has time-based ones only"),
            Self::OtherKind => f.write_str("it is not of a kind that totpd knows, such as HOTP/T30/6, otpauth://totp/ or pskc:totp"),
            Self::NoKind => f.write_str("it turns neither TOTP nor HOTP on, so no code works"),
            Self::Secret(why) => write!(f, "its secret is malformed: {why}"),
            Self::Link(why) => why.fmt(f),
            Self::Params(why) => write!(f, "totpd cannot hold it: {why}"),
            Self::Pin => f.write_str(
                "it has a PIN, which totpd does not ask for: the login would need less than before. Have the PAM stack \
                 ask for the password, and write - instead of the PIN in a copy of the file",
            ),
            Self::Encrypted => f.write_str(
                "its secret is encrypted, which totpd does not read. Decrypt the file first (package python3-pskc): \
                 pskc2pskc -p PASSWORD-FILE FILE",
            ),
            Self::ServerPin => f.write_str(
                "it has a PIN for the server to check, which totpd does not ask for: the login would need less than before",
            ),
            Self::Missing(what) => write!(f, "it has no {what}"),
            Self::Malformed(what) => write!(f, "its {what} is malformed"),
            Self::OtherUser => f.write_str("it is not the user's whose file this is"),
            Self::TooLarge(limit) => write!(f, "it has more than {limit}. Split it"),
            Self::NotText => f.write_str("it is not text"),
            Self::More(more) => write!(f, "it has {more} further entries, and was read up to here"),
        }
    }
}

/// What the user or the administrator has to know about an entry that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The phone's clock was off by this many time steps, and the other tool followed it.
    ClockOffset(i64),
    /// The other tool accepted codes of this many time steps.
    Window(u64),
    /// The key has a first or a last day.
    Dates,
    /// The token counts its time steps from another time than 1970.
    TimeOffset,
    /// A line was not understood: its number.
    UnknownLine(usize),
    /// This many further lines were not understood.
    UnknownLines(usize),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockOffset(steps) => write!(
                f,
                "the phone's clock was {} time steps {}, which totpd does not follow: set the phone to automatic time",
                steps.unsigned_abs(),
                if *steps > 0 { "ahead" } else { "behind" }
            ),
            Self::Window(steps) => write!(
                f,
                "codes of {steps} time steps were accepted, and totpd accepts those of `skew` in totpd.toml"
            ),
            Self::Dates => f.write_str("its first and last day are not taken over: revoke it in time"),
            Self::TimeOffset => f.write_str(
                "its `Time` is not 0, which totpd does not follow: if its codes are refused, it counts from another time",
            ),
            Self::UnknownLines(more) => {
                write!(f, "{more} further lines were not understood, and were left out")
            }
            Self::UnknownLine(line) => write!(f, "line {line} was not understood, and was left out"),
        }
    }
}
