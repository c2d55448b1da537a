//! One connection: TLS, HTTP/1.1 or 2, and how long each may take.

use crate::http::server::connection_limits::HttpConnectionSlot;
use crate::http::server::listener::Stream;
use crate::http::server::malformed::ErrorBodyStream;
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
/// Bytes of bodies that an HTTP/2 connection may send before they are read: one body of the largest, and two in all.
const WINDOW: u32 = 64 * 1024;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves a connection until it ends, its place is given away, or the daemon stops and what is in flight is done.
pub(crate) async fn serve(
    stream: Stream,
    place: HttpConnectionSlot,
    certificate: Option<Arc<Certificate>>,
    app: Router,
    stopped: watch::Receiver<bool>,
) {
    // HTTP has no date before 1970, and hyper panics over one: closed before a code could be used up unanswered.
    if crate::clock::now() == Time::default() {
        return;
    }
    let place = Arc::new(place);
    let app = app.layer(Extension(Arc::clone(&place)));
    tokio::select! {
        () = speak(WriteTimeoutStream::new(stream), certificate, app, stopped) => {}
        () = place.evicted() => {}
    }
}

async fn speak(
    stream: WriteTimeoutStream<Stream>,
    certificate: Option<Arc<Certificate>>,
    app: Router,
    stopped: watch::Receiver<bool>,
) {
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
        builder.serve_connection(TokioIo::new(ErrorBodyStream::new(stream)), TowerToHyperService::new(app));
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
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let busy = crate::http::server::idle_timeout::InFlightCounter::default();
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
