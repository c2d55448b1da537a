//! What a user is told at a login, in words.

use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::engine::Engine;
use crate::engine::app_account::{named_account, replacement_account};
use crate::engine::{AccountError, default_commit_deadline};
use crate::local_time::local;
use crate::store::{SpaceUse, breakglass};
use totp_core::authenticator::AuthenticatorName;
use totp_core::notices::{FactorChange, Notices, Occurrence};
use totp_core::self_service::{ChangeKind, StagedChange};
use totp_core::{Time, UserName};

/// For how long each login tells that a setup key was shown to several ones, in seconds. Somebody
/// else who has the key could be the first to log in with it, and answer the question.
const KEY_SHOWN_TOLD: u64 = 24 * 60 * 60;

impl Engine {
    /// The lines for `user`: what has happened since the last login, whether break-glass let
    /// somebody in, and for who is root by this login what an administrator has to see to.
    pub fn login_notices(&self, user: &str, service: Option<&str>, notices: &Notices) -> Vec<String> {
        let mut lines = Vec::new();
        if user == "root" || service.is_some_and(|service| service == "sudo" || service == "sudo-i") {
            lines.extend(self.for_root());
        }
        if let Some(at) = breakglass::last_use(&self.config.breakglass_marks, user, clock::now()) {
            lines.push(format!(
                "Break-glass let somebody in as {user} on {}. Ask your administrators.",
                local(at)
            ));
        }
        let name = notices.staged_name();
        lines.extend(notices.staged().map(|staged| self.staged_line(user, name, staged)));
        lines.extend(self.unconfirmed_replacement(user, notices));
        for (what, used) in notices.changes() {
            let what = match what {
                FactorChange::KeyShown { count, first, previous } => {
                    lines.push(key_shown(*count, [*first, *previous], used));
                    continue;
                }
                FactorChange::Ticket => "A new authenticator app was enrolled with a ticket",
                FactorChange::Replaced => "The authenticator app was replaced",
                FactorChange::Added => "A further authenticator app was added",
                FactorChange::RecoveryCodes => "The recovery codes were replaced",
                FactorChange::Cancelled => "A change of the factor was cancelled",
            };
            let (at, from) = (local(used.at), &used.from);
            lines.push(format!("{what} on {at} from {from}. Was it you? If not, call your administrators."));
        }
        for used in notices.recovery_uses() {
            lines.push(format!(
                "A recovery code was used on {} from {}. Was it you? If not, call your administrators.",
                local(used.at),
                used.from
            ));
        }
        for passcode in notices.passcodes() {
            let made = local(passcode.made);
            lines.push(match &passcode.used {
                None => format!(
                    "An administrator made a passcode for you on {made}. If you asked for none, call them."
                ),
                Some(used) => format!(
                    "The passcode that an administrator made for you on {made} was used on {} from {}. Was it you? If \
                     not, call your administrators.",
                    local(used.at),
                    used.from
                ),
            });
        }
        if let Some((count, last)) = notices.refused_attempts() {
            lines.push(format!(
                "{count} codes were refused since your last login, the last on {} from {}.",
                local(last.at),
                last.from
            ));
        }
        lines
    }

    /// What root is told at each login while it lasts: an administrator may not have read the
    /// journal.
    fn for_root(&self) -> Vec<String> {
        let last_good = self.config.last_good.as_ref().map(|last_good| {
            format!(
                "totpd has used its last good configuration since {}, with exempt, monitor, enroll and remember off: \
                 {}. Fix the file; see totpd status.",
                local(last_good.since),
                last_good.why
            )
        });
        last_good.into_iter().chain(crate::last_run::notice(&self.config)).collect()
    }

    /// Notes that `user` has answered the question which showed `shown`. When that cannot be stored
    /// it is asked again at the next login.
    pub async fn notices_shown(&self, user: &str, shown: &Notices) {
        let Ok(name) = UserName::parse(user) else { return };
        let guard = default_commit_deadline();
        let noted = self.change(&name, SpaceUse::Essential, &guard, |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            account.acknowledge_notices(shown, now);
            for (what, used) in shown.changes() {
                let is_for_key = matches!(what, FactorChange::KeyShown { .. });
                if is_for_key && now < used.at.plus(KEY_SHOWN_TOLD) {
                    account.notices.record_change(*what, used.at, &used.from);
                }
            }
            Ok(((), Event::new(EventKind::Notice, user, now, EventSource::default())))
        });
        if let Err(error) = noted.await {
            let why = match error {
                AccountError::Unavailable(why) => why,
                AccountError::Busy => "too much is going on".to_owned(),
                _ => "the record changed meanwhile".to_owned(),
            };
            tracing::warn!("that {user} was told of a change cannot be stored ({why}); it is told again");
        }
    }

    /// A replacement that no code has confirmed, waiting or expired.
    fn unconfirmed_replacement(&self, user: &str, notices: &Notices) -> Option<String> {
        let issuer = || self.config.issuer();
        if let Some(waiting) = notices.pending_replacement() {
            let (name, expires) = (waiting.name.as_ref(), local(waiting.expires));
            if waiting.adds {
                return Some(format!(
                    "A further authenticator app ({}:{}) waits for its first code until {expires}. Type a code of \
                     it at a login, or run: totpd confirm",
                    issuer(),
                    named_account(user, name)
                ));
            }
            let entry = format!("{}:{}", issuer(), replacement_account(user, name, waiting.created));
            return Some(format!(
                "A new authenticator app ({entry}) waits for its first code until {expires}, and the old one works \
                 until then. Type a code of the new one at a login, or run: totpd confirm"
            ));
        }
        let made = notices.expired_replacement()?;
        let entry = match notices.expired_name() {
            Some(name) => format!("\"{name}\""),
            None => format!("{}:{}", issuer(), replacement_account(user, None, made)),
        };
        Some(format!(
            "A new authenticator app ({entry}) was never confirmed and has expired: its codes are refused, and the old \
             one works. Delete that entry in the app; totpd enroll makes a new one."
        ))
    }

    /// When, from where, and which label.
    fn staged_line(&self, user: &str, name: Option<&AuthenticatorName>, staged: &StagedChange) -> String {
        let what = match staged.kind {
            ChangeKind::Replace => "to replace the authenticator app",
            ChangeKind::Add => "for a further authenticator app",
            ChangeKind::Remove => "to remove the authenticator app",
            ChangeKind::RecoveryCodes => "for new recovery codes",
        };
        let account = match staged.kind {
            ChangeKind::Replace => replacement_account(user, name, staged.at),
            ChangeKind::Add | ChangeKind::Remove | ChangeKind::RecoveryCodes => named_account(user, name),
        };
        let label = format!("{}:{account}", self.config.issuer());
        let (at, from, ripe) = (local(staged.at), &staged.from, local(staged.ripens_at()));
        format!(
            "Somebody asked on {at} from {from} {what} ({label}). It can be done from {ripe} on. \
             If it was not you, run: totpd cancel (with a code), and call your administrators"
        )
    }
}

/// When and to whom the setup key was shown: the first time, the last but one, and the last.
fn key_shown(count: u32, [first, previous]: [Time; 2], last: &Occurrence) -> String {
    let (at, from) = (local(last.at), &last.from);
    let times = if count == 2 {
        format!("on {} and {at}", local(first))
    } else {
        format!("first on {}, then on {} and {at}", local(first), local(previous))
    };
    format!(
        "The setup key of your authenticator app was shown {count} times to logins from {from}: {times}. Were they all \
         you? If not, somebody else has your codes: call your administrators, who revoke the key (totpd revoke). This \
         is told for a day."
    )
}
