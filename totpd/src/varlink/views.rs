//! Replies of `org.totpd.Admin` and `org.totpd.Self` out of the engine's own types.

use crate::config::Config;
use crate::engine::api::Client;
use crate::engine::{AccountError, Engine, Enrolled, staged_view};
use crate::store::HistoryQuery;
use serde_json::value::RawValue;
use totp_core::recovery::RecoveryCode;
use totp_core::{Time, UserName};
use totp_wire::SecretText;
use totp_wire::admin::{
    ClientSecret, Configuration, ConfigurationInUse, EnrollReply, HistoryReply, ListClientsReply,
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

/// A page of the history that fits a message.
pub(crate) async fn history_page(
    engine: &Engine,
    user: Option<String>,
    before: Option<i64>,
    since: Option<u64>,
    limit: Option<u64>,
) -> Result<HistoryReply, AccountError> {
    let limit = limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(EVENTS).clamp(1, EVENTS);
    let query = HistoryQuery { user, before, since: since.map(Time::from_unix), limit };
    let rows = engine.history(query).await?;
    let full = rows.len() == limit;
    let (mut events, mut next, mut room) = (Vec::new(), None, EVENTS_PAGE_BYTES);
    for row in rows {
        let Some(left) = room.checked_sub(row.json.len()) else { return Ok(HistoryReply { events, next }) };
        room = left;
        // A row that is no JSON is nobody's event; the others are shown.
        events.extend(RawValue::from_string(row.json));
        next = Some(row.seq);
    }
    Ok(HistoryReply { events, next: next.filter(|_| full) })
}

/// What is shown once.
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
