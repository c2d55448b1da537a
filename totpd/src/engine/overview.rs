//! What the store holds, for a glance.

use super::{Engine, EngineError};
use crate::clock;
use crate::store::Overview;
use totp_core::Time;
use totp_core::time::DAY;

impl Engine {
    /// What the store holds now, and who was refused in the last day.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn overview(&self) -> Result<Overview, EngineError> {
        let now = clock::now();
        let since = Time::from_unix(now.unix().saturating_sub(DAY));
        Ok(self.store.overview(now, since).await?)
    }
}
