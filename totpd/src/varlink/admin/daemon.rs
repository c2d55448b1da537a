//! How the daemon is.

use crate::clock;
use crate::engine::Engine;
use crate::logging;
use crate::state::{DaemonState, ServiceState};
use crate::varlink::reply::{Bytes, done};
use crate::varlink::views::configuration;
use std::time::Duration;
use totp_core::Time;
use totp_wire::admin::{self, DaemonReply, Overview};

/// How long the store may take to count: a daemon whose disk hangs still says that it runs.
const OVERVIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers `org.totpd.Admin.Daemon`.
pub(super) async fn daemon(shared: &DaemonState, phase: ServiceState) -> Bytes {
    let mut reply = DaemonReply {
        state: admin::DaemonState::Refusing,
        why: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_id: None,
        http: shared.http_state(),
        log_lines_dropped: Some(logging::dropped_since_start()),
        log_lines_waiting: Some(logging::waiting()),
        clock_behind: None,
        notice: None,
        configuration: None,
        uptime: Some(shared.uptime().as_secs()),
        now: Some(clock::now().unix()),
        state_dir: None,
        overview: None,
    };
    match phase {
        ServiceState::Refusing(why) => reply.why = Some(why),
        ServiceState::Serving(engine) => {
            reply.state = admin::DaemonState::Serving;
            reply.store_id = Some(engine.store_id().to_owned());
            reply.clock_behind = engine.clock_behind().map(Time::unix);
            reply.notice = engine.notice();
            reply.configuration = Some(configuration(engine.config()));
            reply.state_dir = Some(engine.config().state_dir.display().to_string());
            reply.overview = overview(&engine).await;
        }
    }
    done(&reply)
}

async fn overview(engine: &Engine) -> Option<Overview> {
    let counted = tokio::time::timeout(OVERVIEW_TIMEOUT, engine.overview()).await;
    counted.ok()?.ok()
}
