//! What the connections of one socket share.

use crate::authority::Authority;
use crate::authority::local::LocalAuthority;
use crate::state::{DaemonState, ServiceState};
use crate::user_directory::UserDirectory;
use crate::varlink::connection_limits::Limits;
use crate::varlink::prompt_history::PromptHistory;
use crate::varlink::rate_limit::RateLimit;
use std::sync::Arc;

/// The state behind one socket, and what bounds its peers.
#[derive(Debug)]
pub(crate) struct Server<S> {
    /// Whether logins are answered, and by whom.
    pub(crate) state: Arc<S>,
    /// The connections of this socket.
    pub(crate) limits: Limits,
    /// The rates of local users, over all sockets.
    pub(crate) rate_limit: Arc<RateLimit>,
    /// Which programs have asked lately, over all sockets.
    pub(crate) prompt_history: Arc<PromptHistory>,
}

/// What the calls of a connection are answered by. The daemon's state is one, break-glass's
/// another.
pub(crate) trait ServerState: Send + Sync + 'static {
    /// Who decides logins.
    type Authority: Authority + 'static;

    /// Who decides logins at the moment. `None`: everybody is refused.
    fn authority(&self) -> Option<Self::Authority>;

    /// The users of this host.
    fn directory(&self) -> &UserDirectory;

    /// The state for administrators and for users about themselves. `None`: logins are all that is
    /// answered.
    fn daemon(&self) -> Option<&DaemonState>;
}

impl ServerState for DaemonState {
    type Authority = LocalAuthority;

    fn authority(&self) -> Option<LocalAuthority> {
        match self.service() {
            ServiceState::Serving(engine) => Some(LocalAuthority::new(engine)),
            ServiceState::Refusing(_) => None,
        }
    }

    fn directory(&self) -> &UserDirectory {
        &self.directory
    }

    fn daemon(&self) -> Option<&DaemonState> {
        Some(self)
    }
}
