//! The columns of an account, as the statements that write one take them.

use crate::seal::SealedAccount;
use crate::store::columns::TotpIds;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::steps::Value;
use crate::store::values::{sql_int, sql_time};
use totp_core::UserName;

/// Inserts an account; the version `$3` is 0.
pub(super) const INSERT: &str = "INSERT INTO account (id, name, version, uid, created, email, phone, awaits,
     active_totp, pending_totp, pending_until, locked_until, ticket_until, record, second_totp, third_totp, email_id,
     phone_id)
   VALUES ($1, $2, CAST($3 AS BIGINT) + 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// Replaces an account that is at the version `$3`.
pub(super) const UPDATE: &str = "UPDATE account SET name = $2, version = version + 1, uid = $4, created = $5,
     email = $6, phone = $7, awaits = $8, active_totp = $9, pending_totp = $10, pending_until = $11,
     locked_until = $12, ticket_until = $13, record = $14, second_totp = $15, third_totp = $16, email_id = $17,
     phone_id = $18
   WHERE id = $1 AND version = $3";

/// The values of an account's columns.
pub(super) struct Columns {
    id: String,
    name: Option<String>,
    version: i64,
    uid: Option<i64>,
    created: i64,
    email: Option<String>,
    phone: Option<String>,
    awaits: bool,
    totps: [Option<String>; 4],
    pending_until: Option<i64>,
    locked_until: Option<i64>,
    ticket_until: Option<i64>,
    record: String,
    email_id: Option<String>,
    phone_id: Option<String>,
}

impl Columns {
    /// Of an account that was read at `version`, or of a new one with 0.
    pub(super) fn of(account: &SealedAccount, version: u64) -> Result<Self, Fault> {
        let record = serde_json::to_string(account).map_err(|error| Fault::of_json(&error))?;
        let profile = &account.profile;
        let TotpIds { active, second, third, pending } = TotpIds::of(account);
        Ok(Self {
            id: account.id.clone(),
            name: account.name.as_ref().map(UserName::to_string),
            version: sql_int(version),
            uid: account.uid.map(i64::from),
            created: sql_time(account.created),
            email: profile.email.as_ref().map(|email| text(&email.address.to_lowercase())),
            phone: profile.phone.as_ref().map(|phone| text(&phone.address)),
            awaits: profile.pending,
            totps: [active, pending, second, third].map(|id| id.map(str::to_owned)),
            pending_until: account.pending_expires().map(sql_time),
            locked_until: account.lock_state.locked_until().map(sql_time),
            ticket_until: account.ticket.as_ref().map(|ticket| sql_time(ticket.expires)),
            record,
            email_id: profile.email.as_ref().map(|email| email.id.clone()),
            phone_id: profile.phone.as_ref().map(|phone| phone.id.clone()),
        })
    }

    /// The values, in the order of the statements above.
    pub(super) fn into_values(self) -> Vec<Value> {
        let [active, pending, second, third] = self.totps;
        vec![
            Box::new(self.id),
            Box::new(self.name),
            Box::new(self.version),
            Box::new(self.uid),
            Box::new(self.created),
            Box::new(self.email),
            Box::new(self.phone),
            Box::new(self.awaits),
            Box::new(active),
            Box::new(pending),
            Box::new(self.pending_until),
            Box::new(self.locked_until),
            Box::new(self.ticket_until),
            Box::new(self.record),
            Box::new(second),
            Box::new(third),
            Box::new(self.email_id),
            Box::new(self.phone_id),
        ]
    }
}

/// A text as PostgreSQL's can be: without NUL.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
