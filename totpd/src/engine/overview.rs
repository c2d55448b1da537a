//! What the store holds, for a glance.

use super::{Engine, EngineError};
use crate::clock;
use serde_json::value::RawValue;
use totp_core::Time;
use totp_core::time::DAY;
use totp_wire::admin;

impl Engine {
    /// What the store holds now, and who was refused in the last day.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn overview(&self) -> Result<admin::Overview, EngineError> {
        let now = clock::now();
        let since = Time::from_unix(now.unix().saturating_sub(DAY));
        let found = self.store.overview(now, since).await?;
        Ok(admin::Overview {
            size: found.size,
            schema: found.schema,
            enrolled: found.enrolled,
            pending: found.pending,
            locked: found.locked,
            locked_users: found.locked_users,
            tickets: found.tickets,
            refused: found.refused,
            refused_at_least: found.refused_at_least,
            refusals: found
                .refusals
                .into_iter()
                .filter_map(|json| RawValue::from_string(json).ok())
                .collect(),
        })
    }
}
