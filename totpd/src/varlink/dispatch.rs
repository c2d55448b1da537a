//! The calls of one connection: one loop, and one table of methods, as OpenSSH's monitor has.

use crate::audit::EventKind;
use crate::authority::{Authority, Delivery, Receipt};
use crate::varlink::admin::{self, clients, daemon, factors, given, history, passcodes};
use crate::varlink::connection::{Closed, Connection};
use crate::varlink::introspection::{self, SocketKind};
use crate::varlink::login::{self, Conversation};
use crate::varlink::peer::Callers::{self, Administrators, Everybody, Helpdesk, Root, Themselves};
use crate::varlink::peer::Peer;
use crate::varlink::reply::{Bytes, failed};
use crate::varlink::self_service;
use crate::varlink::server::{Server, ServerState};
use std::sync::Arc;
use totp_wire::message::{self, Call};
use totp_wire::service;

/// What answers a method.
#[derive(Clone, Copy)]
enum Handler {
    /// It needs no state.
    Service(fn(SocketKind, &[u8]) -> Bytes),
    /// The attempt of this connection.
    Login(login::Method),
    /// A user's call. What it changes is audited under this event.
    SelfService(Option<EventKind>, self_service::Handler),
    /// An administrator's call, while the daemon serves.
    Admin(admin::Handler),
    /// An administrator's call, which the daemon also answers while it refuses.
    State(admin::StateHandler),
}

/// One method.
struct Method {
    interface: &'static str,
    name: &'static str,
    callers: Callers,
    handler: Handler,
}

const SERVICE: &str = service::INTERFACE;
const LOGIN: &str = totp_wire::login::INTERFACE;
const SELF: &str = totp_wire::self_service::INTERFACE;
const ADMIN: &str = totp_wire::admin::INTERFACE;

const fn method(interface: &'static str, name: &'static str, callers: Callers, handler: Handler) -> Method {
    Method { interface, name, callers, handler }
}

const fn own(name: &'static str, event: Option<EventKind>, handler: self_service::Handler) -> Method {
    method(SELF, name, Themselves, Handler::SelfService(event, handler))
}

const fn admin(name: &'static str, callers: Callers, handler: admin::Handler) -> Method {
    method(ADMIN, name, callers, Handler::Admin(handler))
}

/// Every method that is answered. A socket offers the interfaces of its [`SocketKind`].
#[rustfmt::skip]
static METHODS: &[Method] = &[
    method(SERVICE, "GetInfo", Everybody, Handler::Service(introspection::info)),
    method(SERVICE, "GetInterfaceDescription", Everybody, Handler::Service(introspection::description)),
    method(LOGIN, "Begin", Everybody, Handler::Login(login::Method::Begin)),
    method(LOGIN, "Answer", Everybody, Handler::Login(login::Method::Answer)),
    own("Status", None, |c, p| Box::pin(self_service::status(c, p))),
    own("Enroll", Some(EventKind::Enroll), |c, p| Box::pin(self_service::enroll(c, p))),
    own("Confirm", Some(EventKind::Confirm), |c, p| Box::pin(self_service::confirm(c, p))),
    own("RecoveryCodes", Some(EventKind::RecoveryCodes), |c, p| Box::pin(self_service::recovery_codes(c, p))),
    own("Revoke", Some(EventKind::Revoke), |c, p| Box::pin(self_service::revoke(c, p))),
    own("Cancel", Some(EventKind::Cancel), |c, p| Box::pin(self_service::cancel(c, p))),
    own("Forget", Some(EventKind::Forget), |c, p| Box::pin(self_service::forget(c, p))),
    own("History", None, |c, p| Box::pin(self_service::history(c, p))),
    method(ADMIN, "Daemon", Helpdesk, Handler::State(|c, p| Box::pin(daemon::daemon(c, p)))),
    method(ADMIN, "Accept", Root, Handler::State(|c, p| Box::pin(daemon::accept(c, p)))),
    admin("Backup", Root, |c, p| Box::pin(daemon::backup(c, p))),
    admin("TrustClock", Administrators, |c, p| Box::pin(daemon::trust_clock(c, p))),
    admin("Enroll", Administrators, |c, p| Box::pin(factors::enroll(c, p))),
    admin("Import", Administrators, |c, p| Box::pin(given::import(c, p))),
    admin("Confirm", Administrators, |c, p| Box::pin(factors::confirm(c, p))),
    admin("Status", Helpdesk, |c, p| Box::pin(factors::status(c, p))),
    admin("List", Helpdesk, |c, p| Box::pin(factors::list(c, p))),
    admin("Revoke", Administrators, |c, p| Box::pin(factors::revoke(c, p))),
    admin("Unlock", Helpdesk, |c, p| Box::pin(factors::unlock(c, p))),
    admin("RecoveryCodes", Administrators, |c, p| Box::pin(factors::recovery_codes(c, p))),
    admin("Ticket", Helpdesk, |c, p| Box::pin(factors::ticket(c, p))),
    admin("Passcode", Helpdesk, |c, p| Box::pin(passcodes::passcode(c, p))),
    admin("CancelPasscode", Helpdesk, |c, p| Box::pin(passcodes::cancel(c, p))),
    admin("Cancel", Administrators, |c, p| Box::pin(factors::cancel(c, p))),
    admin("Forget", Administrators, |c, p| Box::pin(factors::forget(c, p))),
    admin("History", Helpdesk, |c, p| Box::pin(history::history(c, p))),
    admin("Explain", Helpdesk, |c, p| Box::pin(history::explain(c, p))),
    admin("AddClient", Administrators, |c, p| Box::pin(clients::add(c, p))),
    admin("ListClients", Administrators, |c, p| Box::pin(clients::list(c, p))),
    admin("RevokeClient", Administrators, |c, p| Box::pin(clients::revoke(c, p))),
];

/// Answers a connection until its end. Whatever ends it, the peer sees a closed connection.
pub(crate) async fn serve<S: ServerState>(server: Arc<Server<S>>, kind: SocketKind, connection: Connection) {
    let _ = answer_calls(&server, kind, connection).await;
}

async fn answer_calls<S: ServerState>(
    server: &Server<S>,
    kind: SocketKind,
    mut connection: Connection,
) -> Result<(), Closed> {
    let mut conversation = Conversation::<<S::Authority as Authority>::Pending>::default();
    loop {
        let message = connection.next_message().await?;
        connection.slot.set_waiting(false);
        let Ok(call) = message::read::<Call<'_>>(&message) else {
            tracing::debug!("an unreadable message of uid {}", connection.peer.uid);
            return Err(Closed);
        };
        // No reply, several replies, and other protocols are not offered.
        if call.oneway || call.more || call.upgrade {
            return Err(Closed);
        }
        let parameters = call.parameters.map_or("{}", serde_json::value::RawValue::get).as_bytes();
        let (reply, receipt) = match find(kind, &call.method) {
            Err(reply) => (unknown(server, connection.peer, kind, &call.method).await.unwrap_or(reply), None),
            Ok(method) => {
                answer(server, kind, &mut connection, &mut conversation, method, parameters).await?
            }
        };
        connection.write(&reply).await?;
        if let Some(receipt) = receipt {
            receipt.settle(Delivery::Written).await;
        }
        conversation.delivered().await;
        if conversation.is_over() {
            return Ok(());
        }
        connection.slot.set_waiting(true);
    }
}

/// The method of this full name, if the socket offers its interface.
///
/// # Errors
/// The reply that says what is not there.
fn find(kind: SocketKind, full_name: &str) -> Result<&'static Method, Bytes> {
    let (interface, name) = full_name.rsplit_once('.').unwrap_or_default();
    if !kind.offers(interface) {
        return Err(failed(service::INTERFACE_NOT_FOUND, "interface", interface));
    }
    METHODS
        .iter()
        .find(|method| method.interface == interface && method.name == name)
        .ok_or_else(|| failed(service::METHOD_NOT_FOUND, "method", name))
}

/// Refuses a call of an unknown administrator's method as every other one: a peer that tries names
/// out is counted and logged. `None` for an administrator, and for other interfaces.
async fn unknown<S: ServerState>(
    server: &Server<S>,
    peer: Peer,
    kind: SocketKind,
    full_name: &str,
) -> Option<Bytes> {
    let (interface, _) = full_name.rsplit_once('.')?;
    let state = server.state.daemon().filter(|_| interface == ADMIN && kind.offers(interface))?;
    admin::authorise(state, &server.rate_limit, peer, Helpdesk).await.err()
}

async fn answer<S: ServerState>(
    server: &Server<S>,
    kind: SocketKind,
    connection: &mut Connection,
    conversation: &mut Conversation<<S::Authority as Authority>::Pending>,
    method: &Method,
    parameters: &[u8],
) -> Result<(Bytes, Option<Receipt>), Closed> {
    let reply = match (method.handler, server.state.daemon()) {
        (Handler::Service(handler), _) => Ok(handler(kind, parameters)),
        (Handler::Login(call), _) => Ok(conversation.call(server, connection, call, parameters).await?),
        (_, None) => Err(failed(service::INTERFACE_NOT_FOUND, "interface", method.interface)),
        (Handler::SelfService(event, handler), Some(state)) => {
            return self_service::call(state, &server.rate_limit, connection, event, handler, parameters)
                .await;
        }
        (Handler::Admin(handler), Some(state)) => {
            let peer = connection.peer;
            match admin::authorise(state, &server.rate_limit, peer, method.callers).await {
                Ok(call) => admin::call(&call, handler, parameters).await,
                Err(reply) => Err(reply),
            }
        }
        (Handler::State(handler), Some(state)) => {
            let peer = connection.peer;
            match admin::authorise(state, &server.rate_limit, peer, method.callers).await {
                Ok(call) => handler(&call, parameters).await,
                Err(reply) => Err(reply),
            }
        }
    };
    Ok((reply.unwrap_or_else(|reply| reply), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_of_every_interface_has_a_row() {
        let kinds = [SocketKind::Login, SocketKind::Admin];
        for (interface, description) in kinds.into_iter().flat_map(SocketKind::interfaces).copied() {
            let described: BTreeSet<&str> = description
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix("method "))
                .filter_map(|line| line.split_once('(').map(|(name, _)| name.trim()))
                .collect();
            let rows = METHODS.iter().filter(|method| method.interface == interface);
            assert_eq!(rows.map(|method| method.name).collect::<BTreeSet<_>>(), described, "{interface}");
        }
    }

    #[test]
    fn no_socket_answers_calls_of_another_ones_interface() {
        let answered = |kind, name| find(kind, name).is_ok();
        assert!(answered(SocketKind::Root, "org.totpd.Login.Begin"));
        assert!(!answered(SocketKind::Root, "org.totpd.Admin.Revoke"));
        assert!(!answered(SocketKind::Root, "org.totpd.Self.Revoke"));
        assert!(!answered(SocketKind::Admin, "org.totpd.Login.Begin"));
        assert!(!answered(SocketKind::Login, "org.totpd.Login.Nothing"));
        assert!(!answered(SocketKind::Login, "Begin"));
    }

    #[test]
    fn the_methods_of_root_alone_are_a_short_list() {
        let of_root: Vec<&str> =
            METHODS.iter().filter(|method| method.callers == Root).map(|method| method.name).collect();
        assert_eq!(of_root, ["Accept", "Backup"]);
        let is_admin = |method: &&Method| method.interface == ADMIN;
        let all = METHODS.iter().filter(is_admin);
        assert!(all.clone().all(|m| matches!(m.callers, Helpdesk | Administrators | Root)));
        assert!(METHODS.iter().filter(|m| !is_admin(m)).all(|m| matches!(m.callers, Everybody | Themselves)));
    }

    #[test]
    fn the_helpdesk_looks_unlocks_and_makes_passcodes_and_tickets() {
        let of_helpdesk = METHODS.iter().filter(|method| method.callers == Helpdesk);
        let of_helpdesk: Vec<&str> = of_helpdesk.map(|method| method.name).collect();
        let acts = ["Unlock", "Ticket", "Passcode", "CancelPasscode"];
        let expected = [&["Daemon", "Status", "List"][..], &acts, &["History", "Explain"]].concat();
        assert_eq!(of_helpdesk, expected);
    }
}
