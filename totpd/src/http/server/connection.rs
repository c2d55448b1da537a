//! One connection: the TLS handshake, HTTP/1.1 or HTTP/2, and their timeouts.

use crate::http::server::connection_limits::HttpConnectionSlot;
use crate::http::server::idle_timeout::InFlightCounter;
use crate::http::server::listener::Stream;
use crate::http::server::malformed::{ErrorBody, ErrorBodyStream};
use crate::http::server::scheme::Scheme;
use crate::http::server::tls::Certificate;
use crate::http::server::write_timeout::WriteTimeoutStream;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use totp_core::Time;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long an HTTP/1.1 connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How often an HTTP/2 connection is pinged, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long an HTTP/2 connection may be idle.
const HTTP2_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// Bytes of one body that an HTTP/2 client may send before they are read: one of the largest
/// bodies. A connection may send twice as many.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: u16 = 16 * 1024;

/// What every connection is served with.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The routes.
    pub(crate) app: Router,
    /// Makes the body of the response to malformed HTTP.
    pub(crate) error_body: ErrorBody,
}

/// Serves a connection until it ends, it is evicted, or the daemon stops and the requests in flight
/// are done.
pub(crate) async fn serve(
    stream: Stream,
    slot: HttpConnectionSlot,
    certificate: Option<Arc<Certificate>>,
    service: Service,
    stopped: watch::Receiver<bool>,
) {
    // HTTP has no date before 1970, and hyper panics over one. Close before a request could use up
    // a code.
    if crate::clock::now() == Time::default() {
        return;
    }
    let slot = Arc::new(slot);
    let scheme = if certificate.is_some() { Scheme::Https } else { Scheme::Http };
    let app = service.app.layer(Extension(Arc::clone(&slot))).layer(Extension(scheme));
    let service = Service { app, ..service };
    tokio::select! {
        () = negotiate(WriteTimeoutStream::new(stream), certificate, service, stopped) => {}
        () = slot.evicted() => {}
    }
}

/// Does the TLS handshake, if there is a certificate, and serves the protocol that it negotiated.
async fn negotiate(
    stream: WriteTimeoutStream<Stream>,
    certificate: Option<Arc<Certificate>>,
    service: Service,
    stopped: watch::Receiver<bool>,
) {
    let Some(certificate) = certificate else { return http1(stream, service, stopped).await };
    let acceptor = tokio_rustls::TlsAcceptor::from(certificate.config());
    // A failed or slow handshake ends the connection: there is no response without TLS.
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, service.app, stopped).await;
    } else {
        http1(stream, service, stopped).await;
    }
}

async fn http1<S>(stream: S, service: Service, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(4 * usize::from(MAX_HEAD_BYTES));
    let stream = TokioIo::new(ErrorBodyStream::new(stream, service.error_body));
    let connection = builder.serve_connection(stream, TowerToHyperService::new(service.app));
    tokio::pin!(connection);
    tokio::select! {
        // An error is the client's, and there is nobody to report it to.
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
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
        .max_header_list_size(MAX_HEAD_BYTES.into());
    let counter = InFlightCounter::default();
    let service = TowerToHyperService::new(counter.count_requests(app));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = counter.idle_for(HTTP2_IDLE_TIMEOUT) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(HEAD_TIMEOUT, connection).await;
}
