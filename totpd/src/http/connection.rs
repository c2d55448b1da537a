//! One connection: its place among the others, TLS, HTTP/1.1 or 2, and how long each may take.

use super::context::PeerAddress;
use super::listen::Stream;
use super::tls::Certificate;
use super::unreadable::Explaining;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use totp_core::{Source, Time};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long a connection may wait for its next one.
const HEAD: Duration = Duration::from_mins(1);
/// How often it is asked whether the other end of an HTTP/2 connection is alive, and how long that may take.
const ALIVE: Duration = Duration::from_secs(30);
/// How long an HTTP/2 connection may go without a request.
const IDLE: Duration = Duration::from_mins(5);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Who is connected: so many in all, and a quarter of them from one source.
#[derive(Clone, Debug)]
pub(super) struct Guests {
    most: usize,
    here: Arc<Mutex<HashMap<Option<Source>, usize>>>,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    guests: Guests,
    source: Option<Source>,
}

impl Guests {
    pub(super) fn new(most: usize) -> Self {
        Self { most, here: Arc::default() }
    }

    /// A place, unless there is none. This host itself, where a proxy may stand for many, may take them all.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Option<Place> {
        let source = address.filter(|a| !a.is_loopback()).map(Source::of);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_all, mine) = (here.values().sum::<usize>(), here.get(&source).copied().unwrap_or(0));
        if in_all >= self.most || (source.is_some() && mine >= self.most / 4) {
            return None;
        }
        here.insert(source, mine + 1);
        Some(Place { guests: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.guests.here.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = here.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                here.remove(&self.source);
            }
        }
    }
}

/// Serves a connection until it ends, or until the daemon stops and what is in flight is done.
pub(super) async fn serve(
    stream: Stream,
    address: Option<IpAddr>,
    certificate: Option<Arc<Certificate>>,
    app: Router,
    stopped: watch::Receiver<bool>,
) {
    // HTTP has no date before 1970, and hyper panics over one: closed before a code could be used up unanswered.
    if crate::clock::now() == Time::default() {
        return;
    }
    let app = app.layer(Extension(PeerAddress(address)));
    let Some(certificate) = certificate else { return http1(stream, app, stopped).await };
    let acceptor = tokio_rustls::TlsAcceptor::from(certificate.config());
    // Whoever speaks no TLS, or too slowly, has to come again.
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, app, stopped).await;
    } else {
        http1(stream, app, stopped).await;
    }
}

async fn http1<S>(stream: S, app: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(4 * HEAD_BYTES);
    let connection =
        builder.serve_connection(TokioIo::new(Explaining::new(stream)), TowerToHyperService::new(app));
    tokio::pin!(connection);
    tokio::select! {
        // An error is one of the other end's, which hears no answer.
        _ = &mut connection => return,
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn http2<S>(stream: S, app: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let busy = super::busy::Busy::default();
    let service = TowerToHyperService::new(busy.watching(app));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = busy.idle_for(IDLE) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(HEAD, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_takes_no_more_than_its_share_and_gives_it_back() {
        let guests = Guests::new(8);
        let of = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let first = guests.enter(of("192.0.2.1")).unwrap();
        let _second = guests.enter(of("192.0.2.1")).unwrap();
        assert!(guests.enter(of("192.0.2.1")).is_none());
        let _other = guests.enter(of("192.0.2.2")).unwrap();
        drop(first);
        let again = guests.enter(of("192.0.2.1"));
        assert!(again.is_some());
        let mut local: Vec<_> = (0..8).map_while(|_| guests.enter(of("127.0.0.1"))).collect();
        assert_eq!(local.len(), 5, "all that are left");
        assert!(guests.enter(None).is_none());
        local.clear();
        assert!(guests.enter(None).is_some());
    }
}
