//! What cannot be read as HTTP/1.1 is answered before there is a request: by hyper, and with nothing but a head.
//! Here that answer gets the body that every error of the API has, and the time to arrive.

use crate::http::v1::error::ApiError;
use axum::http::StatusCode;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long and how much is read on after such an answer: closing before that could take it back (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// The stream of a connection.
#[derive(Debug)]
pub(crate) struct ErrorBodyStream<S> {
    stream: S,
    /// What is still to be written in place of hyper's answer.
    instead: Vec<u8>,
    /// Until when it is read on; there if there was such an answer.
    lingering: Option<Pin<Box<Sleep>>>,
    read_on: usize,
}

impl<S> ErrorBodyStream<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, instead: Vec::new(), lingering: None, read_on: 0 }
    }
}

impl<S> ErrorBodyStream<S> {
    /// Takes the answer that begins at `start` of `last`, and what stands before it, to write it with its body.
    fn explain(&mut self, before: &[IoSlice<'_>], last: &[u8], start: usize, status: StatusCode) {
        self.instead = before.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.instead.extend(&last[..start]);
        self.instead.extend(explained(&last[start..], status));
        self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
    }
}

impl<S: AsyncWrite + Unpin> ErrorBodyStream<S> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.instead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> ErrorBodyStream<S> {
    /// Ready when the other end has closed, or has had its time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(time) = &mut self.lingering else { return Poll::Ready(()) };
        let mut space = [0; 8192];
        while self.read_on < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.read_on += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return time.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}

/// Where in these bytes an answer begins that hyper gave by itself. No answer of the API looks like that: its errors
/// have bodies, and no line break stands in those.
fn bare(bytes: &[u8]) -> Option<(usize, StatusCode)> {
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

/// The same head, with a body.
fn explained(head: &[u8], status: StatusCode) -> Vec<u8> {
    let message = match status {
        StatusCode::URI_TOO_LONG => "The path of the request is too long.",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is too large.",
        _ => "The request cannot be read as HTTP.",
    };
    let error = ApiError::new(status, "bad_request", message);
    let body = error.body(&crate::http::v1::auth::new_request_id().unwrap_or_default());
    let with_body = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    (String::from_utf8_lossy(head).replacen(NO_BODY, &with_body, 1) + &body).into_bytes()
}

impl<S: AsyncRead + Unpin> AsyncRead for ErrorBodyStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        // On a connection that is kept, hyper reads into the buffer that the last request came in, credentials and all.
        buf.initialize_unfilled().fill(0);
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ErrorBodyStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        let Some((start, status)) = bare(buf) else { return Pin::new(&mut this.stream).poll_write(cx, buf) };
        this.explain(&[], buf, start, status);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        // Nothing is written behind such an answer.
        let Some(((last, before), (start, status))) =
            bufs.split_last().and_then(|bufs| Some((bufs, bare(bufs.0)?)))
        else {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        };
        this.explain(before, last, start, status);
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_instead(cx))?;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const BARE: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_a_body_gets_one_behind_what_was_to_be_written_before_it() {
        // A pipe of seven bytes: everything is written in pieces.
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream = ErrorBodyStream::new(near);
        let served = tokio::spawn(async move {
            let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(&[whole, BARE].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        let (first, rest) = text.split_once("{}HTTP").unwrap();
        assert!(first.ends_with("content-length: 2\r\n\r\n"), "{text}");
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
        let answer: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&answer["status_code"], &answer["error_type"]), (&431.into(), &"bad_request".into()));
        // The other end stays: it has its time, and no more.
        tokio::time::timeout(LINGER * 2, served).await.unwrap().unwrap();
    }

    #[test]
    fn answers_of_the_api_are_left_as_they_are() {
        let of_ours: [&[u8]; 4] = [
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 213\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\n\r\n\r\n",
            b"{\"text\":\"HTTP/1.1 400\"}",
        ];
        for bytes in of_ours {
            assert_eq!(bare(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(bare(BARE), Some((0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
    }
}
