//! Rotation of the keys that sign tokens, while the API is configured.

use crate::engine::api::ApiRefusal;
use crate::state::{DaemonState, ServiceState};
use std::sync::Arc;
use std::time::Duration;

/// How often the keys are checked.
const CHECK_INTERVAL: Duration = Duration::from_mins(10);
/// How soon after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Makes the keys that are missing or due.
pub(super) async fn rotate_once(state: &DaemonState) -> Result<(), ApiRefusal> {
    match state.service() {
        ServiceState::Serving(engine) => engine.rotate_keys().await,
        ServiceState::Refusing(_) => Err(ApiRefusal::Busy),
    }
}

/// Rotates keys when they are due, for ever. `last` is the result of the rotation before.
pub(super) async fn rotate_when_due(state: Arc<DaemonState>, mut last: Result<(), ApiRefusal>) {
    let mut is_reported = false;
    loop {
        if let (Err(ApiRefusal::Unavailable(why)), false) = (&last, is_reported) {
            tracing::error!("the HTTP API has no keys for its tokens: {why}");
            is_reported = true;
        }
        tokio::time::sleep(if last.is_ok() { CHECK_INTERVAL } else { RETRY_INTERVAL }).await;
        last = rotate_once(&state).await;
    }
}
