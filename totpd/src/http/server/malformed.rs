//! The response to malformed HTTP/1.1. hyper rejects it with an empty body; this adds the API's
//! JSON error, and leaves the client time to read it.

use axum::http::StatusCode;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the connection is read on after such a response, and how many bytes at most. Closing it
/// at once could reset the connection before the client has read the response (RFC 9112, 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// Makes the body of the response with this status.
pub(crate) type ErrorBody = fn(StatusCode) -> String;

/// A stream that adds a body to hyper's own error responses.
#[derive(Debug)]
pub(crate) struct ErrorBodyStream<S> {
    stream: S,
    error_body: ErrorBody,
    /// The rest of the response that replaces hyper's.
    replacement: Vec<u8>,
    /// Ends the reading after such a response.
    linger_timeout: Option<Pin<Box<Sleep>>>,
    lingered_bytes: usize,
}

impl<S> ErrorBodyStream<S> {
    /// Wraps the stream of a connection.
    pub(crate) const fn new(stream: S, error_body: ErrorBody) -> Self {
        Self { stream, error_body, replacement: Vec::new(), linger_timeout: None, lingered_bytes: 0 }
    }

    /// Takes over a write that ends with an empty error response, which begins at `start` of
    /// `last`, to write it with a body.
    fn replace(&mut self, before: &[IoSlice<'_>], last: &[u8], start: usize, status: StatusCode) {
        self.replacement = before.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.replacement.extend(&last[..start]);
        self.replacement.extend(with_body(&last[start..], &(self.error_body)(status)));
        self.linger_timeout = Some(Box::pin(tokio::time::sleep(LINGER_TIMEOUT)));
    }
}

impl<S: AsyncWrite + Unpin> ErrorBodyStream<S> {
    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.replacement.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.replacement))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.replacement.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> ErrorBodyStream<S> {
    /// Reads on after an error response; ready when the client has closed the connection or the
    /// time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timeout) = &mut self.linger_timeout else { return Poll::Ready(()) };
        let mut space = [0; 8192];
        while self.lingered_bytes < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.lingered_bytes += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timeout.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}

/// Finds an error response of hyper's at the end of a write: where it begins, and its status. The
/// API's own errors have bodies, which contain no line break.
fn empty_error(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    const STATUS: &[u8] = b"HTTP/1.1 4";
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = bytes.windows(STATUS.len()).rposition(|window| window == STATUS)?;
    let head = std::str::from_utf8(&bytes[start..]).ok()?;
    let status = StatusCode::from_bytes(head.get(9..12)?.as_bytes()).ok()?;
    head.contains(NO_BODY).then_some((start, status))
}

const NO_BODY: &str = "\r\ncontent-length: 0\r\n";

/// Adds a JSON body to the head of an empty response.
fn with_body(head: &[u8], body: &str) -> Vec<u8> {
    let headers = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    (String::from_utf8_lossy(head).replacen(NO_BODY, &headers, 1) + body).into_bytes()
}

impl<S: AsyncRead + Unpin> AsyncRead for ErrorBodyStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // On a kept connection hyper reads into the buffer of the last request, which still holds
        // its credentials.
        buf.initialize_unfilled().fill(0);
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ErrorBodyStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        let Some((start, status)) = empty_error(buf) else {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        };
        this.replace(&[], buf, start, status);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        // hyper writes nothing behind such a response.
        let Some(((last, before), (start, status))) =
            bufs.split_last().and_then(|bufs| Some((bufs, empty_error(bufs.0)?)))
        else {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        };
        this.replace(before, last, start, status);
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_replacement(cx))?;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const EMPTY_ERROR: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn an_empty_error_gets_a_body_behind_earlier_responses() {
        // A pipe of seven bytes: every write is partial.
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream =
            ErrorBodyStream::new(near, |status| format!("{{\"status_code\":{}}}", status.as_u16()));
        let served = tokio::spawn(async move {
            let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(&[whole, EMPTY_ERROR].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        let (first, rest) = text.split_once("{}HTTP").unwrap();
        assert!(first.ends_with("content-length: 2\r\n\r\n"), "{text}");
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
        let answer: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(answer["status_code"], 431);
        // The client does not close the connection: it is closed when the time is over.
        tokio::time::timeout(LINGER_TIMEOUT * 2, served).await.unwrap().unwrap();
    }

    #[test]
    fn responses_of_the_api_are_left_as_they_are() {
        let responses: [&[u8]; 4] = [
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 213\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\n\r\n\r\n",
            b"{\"text\":\"HTTP/1.1 400\"}",
        ];
        for bytes in responses {
            assert_eq!(empty_error(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(empty_error(EMPTY_ERROR), Some((0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
    }
}
