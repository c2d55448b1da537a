//! The daemon and its store as a whole.

use super::{AdminCall, Authorised};
use crate::clock;
use crate::engine::Engine;
use crate::logging;
use crate::state::ServiceState;
use crate::varlink::account_error::to_admin;
use crate::varlink::reply::{Bytes, done, read};
use crate::varlink::views::{self, configuration};
use std::time::Duration;
use totp_core::Time;
use totp_wire::admin::{self, AcceptReply, BackupReply, DaemonReply, Overview, TrustClock, TrustClockReply};

/// How long the store may take to count: a daemon whose disk hangs still says that it runs.
const OVERVIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// `Daemon`: whether it serves, since when, and by which configuration.
pub(crate) async fn daemon(call: &Authorised<'_>, _parameters: &[u8]) -> Result<Bytes, Bytes> {
    let mut reply = DaemonReply {
        state: admin::DaemonState::Refusing,
        why: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_id: None,
        http: call.state.http_state(),
        log_lines_dropped: Some(logging::dropped_since_start()),
        log_lines_waiting: Some(logging::waiting()),
        clock_behind: None,
        notice: None,
        configuration: None,
        uptime: Some(call.state.uptime().as_secs()),
        now: Some(clock::now().unix()),
        state_dir: None,
        overview: None,
    };
    match &call.service {
        ServiceState::Refusing(why) => reply.why = Some(why.clone()),
        ServiceState::Serving(engine) => {
            reply.state = admin::DaemonState::Serving;
            reply.store_id = Some(engine.store_id().to_owned());
            reply.clock_behind = engine.clock_behind().map(Time::unix);
            reply.notice = engine.store_notice();
            reply.configuration = Some(configuration(engine.config()));
            reply.state_dir = Some(engine.config().store_place());
            reply.overview = overview(engine).await;
        }
    }
    Ok(done(&reply))
}

async fn overview(engine: &Engine) -> Option<Overview> {
    let counted = tokio::time::timeout(OVERVIEW_TIMEOUT, engine.overview()).await;
    counted.ok()?.ok().map(views::overview)
}

/// `Accept`: accepts a store that is older than its witness.
pub(crate) async fn accept(call: &Authorised<'_>, _parameters: &[u8]) -> Result<Bytes, Bytes> {
    match &call.service {
        ServiceState::Serving(engine) => {
            let withdrawn = engine.accept(call.peer.from()).await.map_err(|e| to_admin(e, ""))?;
            let withdrawn = u64::try_from(withdrawn).unwrap_or(u64::MAX);
            Ok(done(&AcceptReply { reopens: false, withdrawn }))
        }
        ServiceState::Refusing(_) => {
            call.state.accept_older_store();
            Ok(done(&AcceptReply { reopens: true, withdrawn: 0 }))
        }
    }
}

/// `Backup`: copies the store, for root to take away.
pub(crate) async fn backup(call: &AdminCall<'_>, _parameters: &[u8]) -> Result<Bytes, Bytes> {
    let copy = call.engine.snapshot(call.peer.from()).await.map_err(|e| to_admin(e, ""))?;
    Ok(done(&BackupReply {
        file: copy.file.to_owned(),
        size: copy.size,
        state_dir: call.engine.config().state_dir.display().to_string(),
        store_id: call.engine.store_id().to_owned(),
        counter: copy.mark.counter,
        generation: copy.mark.generation.to_string(),
        time: clock::now().unix(),
    }))
}

/// `TrustClock`: takes the clock for right, after a mark that was set while it was ahead.
pub(crate) async fn trust_clock(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let TrustClock {} = read(parameters)?;
    call.engine.trust_clock(call.peer.from()).await.map_err(|e| to_admin(e, ""))?;
    Ok(done(&TrustClockReply {}))
}
