//! Replies of `org.totpd.Admin` and `org.totpd.Self` out of the engine's own types.

use crate::audit::EventReason;
use crate::config::Config;
use crate::engine::{self, api::Client};
use crate::engine::{
    Confirmation, Enrolled, ExpectedOutcome, Explanation, FactorState, HostUser, UserStatus,
};
use crate::store::{HistoryQuery, HistoryRow, Overview};
use serde_json::value::RawValue;
use totp_core::lock::{Locked, SourceClass};
use totp_core::recovery::RecoveryCode;
use totp_core::self_service::StagedChange;
use totp_core::{Time, UserName};
use totp_wire::SecretText;
use totp_wire::admin::{
    self, Checked, ClientSecret, Configuration, ConfigurationInUse, ConfirmReply, EnrollReply, ExplainReply,
    HistoryReply, ListClientsReply,
};

/// Events in one page of the history at most, and their bytes: a message has 16 KiB.
const EVENTS: usize = 100;
const EVENTS_PAGE_BYTES: usize = 15 * 1024;
/// Secrets of clients in one page.
const CLIENTS: usize = 50;

/// A page of clients that fits a message.
pub(crate) fn client_page(project_id: String, clients: &[Client], after: Option<&str>) -> ListClientsReply {
    let start =
        after.and_then(|after| clients.iter().position(|c| c.secret_id == after)).map_or(0, |at| at + 1);
    let page: Vec<ClientSecret> = clients
        .iter()
        .skip(start)
        .take(CLIENTS)
        .map(|client| ClientSecret {
            name: client.name.clone(),
            scope: client.scope.as_str().to_owned(),
            secret_id: client.secret_id.clone(),
            created_at: client.created.unix(),
            used_at: client.used.map(Time::unix),
        })
        .collect();
    let more = start + page.len() < clients.len();
    let next = page.last().filter(|_| more).map(|last| last.secret_id.clone());
    ListClientsReply { project_id, clients: page, next }
}

/// The query of a page of the history. `limit` is at most 100 rows, and 100 unless said otherwise.
pub(crate) fn history_query(
    user: Option<String>,
    before: Option<i64>,
    since: Option<u64>,
    limit: Option<u64>,
) -> HistoryQuery {
    let limit = limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(EVENTS).clamp(1, EVENTS);
    HistoryQuery { user, before, since: since.map(Time::from_unix), limit }
}

/// As many of the rows as fit a message. There may be more if there are `limit` rows.
pub(crate) fn history_page(rows: Vec<HistoryRow>, limit: usize) -> HistoryReply {
    let full = rows.len() == limit;
    let (mut events, mut next, mut room) = (Vec::new(), None, EVENTS_PAGE_BYTES);
    for row in rows {
        let Some(left) = room.checked_sub(row.json.len()) else { return HistoryReply { events, next } };
        room = left;
        // A row that is not JSON is left out.
        events.extend(RawValue::from_string(row.json));
        next = Some(row.seq);
    }
    HistoryReply { events, next: next.filter(|_| full) }
}

/// What would happen to a login attempt.
pub(crate) fn explained(explanation: Explanation) -> ExplainReply {
    let reason = |why: EventReason| why.as_str().to_owned();
    let checked = explanation.checked.into_iter().map(|checked| Checked {
        rule: checked.rule,
        decides: checked.decides,
        mismatch: checked.mismatch.map(|mismatch| mismatch.key().to_owned()),
    });
    ExplainReply {
        checked: checked.collect(),
        action: explanation.action.as_str().to_owned(),
        mode: explanation.mode.as_str().to_owned(),
        subject: explanation.subject,
        first_factor: explanation.first_factor.map(|evidence| evidence.as_str().to_owned()),
        outcome: match explanation.outcome {
            ExpectedOutcome::Asked => admin::ExpectedOutcome::Asked,
            ExpectedOutcome::AskedAndPassed => admin::ExpectedOutcome::AskedAndPassed,
            ExpectedOutcome::Exempt => admin::ExpectedOutcome::Exempt,
            ExpectedOutcome::Enrolled => admin::ExpectedOutcome::Enrolled,
            ExpectedOutcome::Refused => admin::ExpectedOutcome::Refused,
        },
        reason: explanation.reason.map(reason),
        would: explanation.would.map(|(would, why)| match why {
            Some(why) => format!("{}: {}", would.as_str(), why.as_str()),
            None => would.as_str().to_owned(),
        }),
        remember: explanation.remember,
        obstacles: explanation.obstacle.map(|obstacle| vec![obstacle]),
    }
}

/// What came of a first code.
pub(crate) const fn confirmed(confirmation: Confirmation) -> ConfirmReply {
    match confirmation {
        Confirmation::Confirmed => ConfirmReply { confirmed: true, phone_offset: None, digits: None },
        Confirmation::Refused { phone_offset, digits } => {
            ConfirmReply { confirmed: false, phone_offset, digits }
        }
    }
}

/// A staged factor, with what is shown once.
pub(crate) fn enrolled(user: &UserName, enrolled: Enrolled) -> EnrollReply {
    EnrollReply {
        user: user.to_string(),
        totp_id: enrolled.totp_id,
        secret: SecretText::new(enrolled.otpauth.secret.to_base32()),
        uri: SecretText::new(enrolled.otpauth.to_uri()),
        recovery_codes: texts(&enrolled.recovery_codes),
        expires_at: enrolled.expires_at.unix(),
        replaces: enrolled.replaces,
        name: enrolled.name,
        staged: enrolled.staged.as_ref().map(staged_change),
        recovery_codes_left: enrolled.recovery_codes_left.and_then(|left| u64::try_from(left).ok()),
        codes_from: enrolled.codes_from.map(Time::unix),
        discards: enrolled.discards.then_some(true),
    }
}

/// The texts of recovery codes, for the one moment they are shown.
pub(crate) fn texts(codes: &[RecoveryCode]) -> Vec<SecretText> {
    codes.iter().map(|code| SecretText::new(code.reveal())).collect()
}

/// One user's factor.
pub(crate) fn user(status: UserStatus) -> admin::User {
    admin::User {
        user: status.user,
        state: match status.state {
            FactorState::None => admin::State::None,
            FactorState::Pending => admin::State::Pending,
            FactorState::Active => admin::State::Active,
        },
        totp_id: status.totp_id,
        authenticators: Some(status.authenticators.into_iter().map(authenticator).collect()),
        pending_name: status.pending_name,
        replacement_pending: status.replacement_pending,
        replacement_expired: status.replacement_expired.map(Time::unix),
        expires_at: status.expires_at.map(Time::unix),
        recovery_codes_left: u64::try_from(status.recovery_codes_left).unwrap_or(0),
        remembered: u64::try_from(status.remembered).unwrap_or(0),
        staged: status.staged.as_ref().map(staged_change),
        failures: u64::from(status.failures),
        locks: status.locks.iter().map(lock).collect(),
        uid: status.uid,
        host_user: status.host_user.map(|now| match now {
            HostUser::Same => admin::HostUser::Same,
            HostUser::Changed => admin::HostUser::Changed,
            HostUser::Gone => admin::HostUser::Gone,
        }),
        uid_now: status.uid_now,
        ticket_expires_at: status.ticket_expires_at.map(Time::unix),
        passcode_expires_at: status.passcode_expires_at.map(Time::unix),
        last_login: status.last_login.map(Time::unix),
        damaged: status.damaged.then_some(true),
    }
}

fn authenticator(authenticator: engine::Authenticator) -> admin::Authenticator {
    let engine::Authenticator { totp_id, name, since } = authenticator;
    admin::Authenticator { totp_id, name, since: since.map(Time::unix) }
}

fn lock(locked: &Locked) -> admin::Lock {
    admin::Lock {
        class: locked.class.as_str().to_owned(),
        client: locked.class.client().map(str::to_owned),
        source: match &locked.class {
            SourceClass::Known(source) => Some(source.to_string()),
            _ => None,
        },
        uid: match locked.class {
            SourceClass::LocalStranger(uid) => Some(uid),
            _ => None,
        },
        until: locked.until.unix(),
    }
}

/// A change that a user has staged.
pub(crate) fn staged_change(staged: &StagedChange) -> admin::Staged {
    admin::Staged {
        change: staged.kind.as_str().to_owned(),
        staged_at: staged.at.unix(),
        from: staged.from.clone(),
        ripens_at: staged.ripens_at().unix(),
        notice_shown: staged.shown_at.is_some(),
        expires_at: staged.expires.unix(),
    }
}

/// What the store holds.
pub(crate) fn overview(overview: Overview) -> admin::Overview {
    let json = |json| RawValue::from_string(json).ok();
    admin::Overview {
        size: overview.size,
        schema: overview.schema,
        enrolled: overview.enrolled,
        pending: overview.pending,
        locked: overview.locked,
        locked_users: overview.locked_users,
        tickets: overview.tickets,
        refused: overview.refused,
        refused_at_least: overview.refused_at_least,
        refusals: overview.refusals.into_iter().filter_map(json).collect(),
    }
}

/// Which configuration is in use, and why it is not the file's.
pub(crate) fn configuration(config: &Config) -> Configuration {
    match &config.last_good {
        None => Configuration { in_use: ConfigurationInUse::File, why: None, since: None, saved: None },
        Some(last_good) => Configuration {
            in_use: ConfigurationInUse::LastGood,
            why: Some(last_good.why.clone()),
            since: Some(last_good.since.unix()),
            saved: Some(last_good.saved.unix()),
        },
    }
}
