//! Replies of `org.totpd.Admin` and `org.totpd.Self` out of the engine's own types.

use crate::config::Config;
use crate::engine::Enrolled;
use crate::engine::api::Client;
pub(crate) use crate::engine::staged_view;
use crate::store::{HistoryQuery, HistoryRow};
use serde_json::value::RawValue;
use totp_core::recovery::RecoveryCode;
use totp_core::{Time, UserName};
use totp_wire::SecretText;
use totp_wire::admin::{
    ClientSecret, Configuration, ConfigurationInUse, ConfirmReply, EnrollReply, HistoryReply,
    ListClientsReply,
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

/// Whether a first code was right. `Err` inside: by how many seconds the phone's clock is wrong, if that is why not.
pub(crate) fn confirmed(judged: Result<(), Option<i64>>) -> ConfirmReply {
    let (confirmed, phone_offset) = judged.map_or_else(|offset| (false, offset), |()| (true, None));
    ConfirmReply { confirmed, phone_offset }
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
        staged: enrolled.staged.as_ref().map(staged_view),
        recovery_codes_left: enrolled.recovery_codes_left.and_then(|left| u64::try_from(left).ok()),
    }
}

/// The texts of recovery codes, for the one moment they are shown.
pub(crate) fn texts(codes: &[RecoveryCode]) -> Vec<SecretText> {
    codes.iter().map(|code| SecretText::new(code.reveal())).collect()
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
