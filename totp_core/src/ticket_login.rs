//! A ticket of an administrator that a user without a factor types at the prompt for a code. It
//! starts an enrollment inside the login, and is spent when the new factor is activated.
//!
//! A wrong ticket counts as a wrong code does: it may be a guess.

use crate::account::Account;
use crate::judge::Reason;
use crate::lock::SourceClass;
use crate::source::Origin;
use crate::time::Time;

/// How what was typed compares with the account's ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketMatch {
    /// It is the ticket, which is valid.
    Right,
    /// It is not.
    Wrong,
}

/// The result of [`judge_ticket`].
#[derive(Debug)]
pub struct TicketJudgement {
    /// `Ok` when the ticket starts an enrollment. Otherwise the account has changed.
    pub outcome: Result<(), Reason>,
    /// The source class that the attempt was counted in.
    pub class: SourceClass,
    /// Whether this failure locked its class.
    pub class_locked: bool,
}

/// Judges a ticket. The account has no factor, and it has a ticket. `from` is the origin in words,
/// for the notice at the next login.
pub fn judge_ticket(
    account: &mut Account,
    origin: &Origin,
    from: &str,
    typed: TicketMatch,
    now: Time,
) -> TicketJudgement {
    let origin = origin.resolved(account.uid);
    let class = account.lock_state.class(&origin, now);
    if account.lock_state.remaining(&class, now) > 0 {
        account.notices.record_refusal(now, from);
        return TicketJudgement { outcome: Err(Reason::Locked), class, class_locked: false };
    }
    match typed {
        TicketMatch::Right => TicketJudgement { outcome: Ok(()), class, class_locked: false },
        TicketMatch::Wrong => {
            account.notices.record_refusal(now, from);
            let class_locked = account.lock_state.fail(&class, 1, now);
            TicketJudgement { outcome: Err(Reason::Wrong), class, class_locked }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Time = Time::from_unix(1_800_000_000);

    #[test]
    fn ten_wrong_tickets_lock_the_source_even_for_the_right_one() {
        let mut account = Account::blank("user-x".into(), None, Some(1000), T0);
        let origin = Origin::Remote("192.0.2.7".parse().unwrap());
        let mut judge = |typed| judge_ticket(&mut account, &origin, "192.0.2.7", typed, T0);
        assert_eq!(judge(TicketMatch::Right).outcome, Ok(()));
        for n in 1..=10 {
            let wrong = judge(TicketMatch::Wrong);
            assert_eq!((wrong.outcome, wrong.class_locked), (Err(Reason::Wrong), n == 10));
        }
        assert_eq!(judge(TicketMatch::Right).outcome, Err(Reason::Locked));
        assert!(!account.has_factor());
    }
}
