//! How a call of the module ends, and its PAM return value. Only a positive answer of the daemon
//! leads to `PAM_SUCCESS` or `PAM_IGNORE` (CVE-2025-23013: a module that ignored its own failures).

use pam::constants::PamResultCode;
use totp_wire::login::{self, Verdict};
use totp_wire::{CallError, login::Step};

/// How a call of `pam_sm_authenticate` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The daemon verified the factor.
    Granted,
    /// The daemon's policy requires no second factor here.
    Exempt,
    /// The daemon refused.
    Denied,
    /// The daemon refused every try of this call.
    TriesUsedUp,
    /// There is no socket, or the store cannot be used. An attempt cannot cause this.
    Unavailable,
    /// Nobody listens on the socket (a daemon that was killed, which an attacker may have caused),
    /// or the daemon is busy, too slow, the wrong listener, or answers nonsense.
    Failed,
    /// A bad argument, an internal error, a panic.
    Broken,
    /// The conversation with the user failed.
    NoConversation,
}

impl Outcome {
    /// Returns the words for the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Exempt => "exempt",
            Self::Denied => "denied",
            Self::TriesUsedUp => "all tries are used up",
            Self::Unavailable => "the daemon is not there, or has no store",
            Self::Failed => "the daemon gave no answer that can be used",
            Self::Broken => "internal error",
            Self::NoConversation => "the program did not ask the user",
        }
    }

    /// Returns the PAM return value.
    pub(crate) const fn code(self) -> PamResultCode {
        match self {
            Self::Granted => PamResultCode::PAM_SUCCESS,
            Self::Exempt => PamResultCode::PAM_IGNORE,
            Self::Denied => PamResultCode::PAM_AUTH_ERR,
            Self::TriesUsedUp => PamResultCode::PAM_MAXTRIES,
            Self::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
            Self::Failed => PamResultCode::PAM_SYSTEM_ERR,
            Self::Broken => PamResultCode::PAM_SERVICE_ERR,
            Self::NoConversation => PamResultCode::PAM_CONV_ERR,
        }
    }

    /// Returns the outcome of a call to the daemon that failed.
    pub(crate) fn of_error(error: &CallError) -> Self {
        match error {
            CallError::NoSocket => Self::Unavailable,
            CallError::Error { name, .. } if name == login::STORE_UNAVAILABLE => Self::Unavailable,
            _ => Self::Failed,
        }
    }

    /// Returns the outcome of the daemon's step, or `None` when the step asks a question.
    pub(crate) fn of_step(step: &Step, prompts: u8, tries: u8) -> Option<Self> {
        match (step.verdict, &step.prompt) {
            (None, Some(_)) => None,
            (Some(Verdict::Granted), None) => Some(Self::Granted),
            (Some(Verdict::Exempt), None) => Some(Self::Exempt),
            (Some(Verdict::Denied), None) if tries > 1 && prompts >= tries => Some(Self::TriesUsedUp),
            (Some(Verdict::Denied), None) => Some(Self::Denied),
            (None, None) | (Some(_), Some(_)) => Some(Self::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use totp_wire::login::{Accept, Prompt};

    fn step(verdict: Option<Verdict>, prompt: bool) -> Step {
        let prompt = prompt.then(|| Prompt {
            text: "Code: ".into(),
            echo: false,
            accept: Accept::Code,
            max_len: 64,
            digits: 6,
        });
        Step { id: "1".into(), messages: vec![], prompt, verdict, known: None }
    }

    #[test]
    fn only_granted_succeeds_and_only_exempt_is_ignored() {
        use Outcome::*;
        for outcome in [Granted, Exempt, Denied, TriesUsedUp, Unavailable, Failed, Broken, NoConversation] {
            assert_eq!(outcome.code() == PamResultCode::PAM_SUCCESS, outcome == Granted);
            assert_eq!(outcome.code() == PamResultCode::PAM_IGNORE, outcome == Exempt);
        }
    }

    #[test]
    fn a_step_needs_either_a_prompt_or_a_verdict() {
        for verdict in [Verdict::Granted, Verdict::Exempt, Verdict::Denied] {
            assert_eq!(Outcome::of_step(&step(Some(verdict), true), 0, 1), Some(Outcome::Failed));
        }
        assert_eq!(Outcome::of_step(&step(None, false), 0, 1), Some(Outcome::Failed));
        assert_eq!(Outcome::of_step(&step(None, true), 0, 1), None);
    }

    #[test]
    fn maxtries_means_that_several_tries_were_used_up() {
        let denied = step(Some(Verdict::Denied), false);
        assert_eq!(Outcome::of_step(&denied, 1, 1), Some(Outcome::Denied));
        assert_eq!(Outcome::of_step(&denied, 2, 3), Some(Outcome::Denied));
        assert_eq!(Outcome::of_step(&denied, 3, 3), Some(Outcome::TriesUsedUp));
    }
}
