//! The write timeout: a client that does not read its responses loses its connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// While a write waits for the client, [`MIN_PROGRESS`] bytes must leave within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_PROGRESS: usize = 4 * 1024;

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when the client does not read.
#[derive(Debug)]
pub(crate) struct WriteTimeoutStream<S> {
    stream: S,
    /// Runs while a write waits for the client.
    timeout: Option<Pin<Box<Sleep>>>,
    /// Bytes written since the timeout started.
    progress: usize,
}

impl<S> WriteTimeoutStream<S> {
    /// Wraps a stream.
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, timeout: None, progress: 0 }
    }

    /// Returns the result of a write, or an error if the write waits and the timeout has passed.
    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.progress = self.progress.saturating_add(bytes);
                if self.progress >= MIN_PROGRESS {
                    self.timeout = None;
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => self.poll_timeout(cx).map(Err),
        }
    }

    /// Starts the timeout if it is not running, and is ready when it has passed.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.timeout.get_or_insert_with(|| {
            self.progress = 0;
            Box::pin(tokio::time::sleep(WRITE_TIMEOUT))
        });
        timeout.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeoutStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeoutStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.after_write(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.after_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Pending => this.poll_timeout(cx).map(Err),
            ready @ Poll::Ready(_) => {
                // Everything is written: the next response has a timeout of its own.
                this.timeout = None;
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Pending => this.poll_timeout(cx).map(Err),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out() {
        let (near, _far) = tokio::io::duplex(64);
        let start = Instant::now();
        let error = WriteTimeoutStream::new(near).write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(
            (error.kind(), start.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, WRITE_TIMEOUT.as_secs())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_byte_at_a_time_times_out() {
        let (near, mut far) = tokio::io::duplex(64);
        let trickle = tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                sleep(WRITE_TIMEOUT / 4).await;
            }
        });
        let start = Instant::now();
        let error = WriteTimeoutStream::new(near).write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() <= WRITE_TIMEOUT * 2, "{:?}", start.elapsed());
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_and_a_pause_between_responses_do_not_time_out() {
        let (near, mut far) = tokio::io::duplex(2 * MIN_PROGRESS);
        let reader = tokio::spawn(async move {
            let (mut all, mut space) = (0, vec![0; MIN_PROGRESS]);
            while let Ok(bytes @ 1..) = far.read(&mut space).await {
                all += bytes;
                sleep(WRITE_TIMEOUT / 2).await;
            }
            all
        });
        let mut stream = WriteTimeoutStream::new(near);
        for _ in 0..3 {
            stream.write_all(&vec![0; 20 * MIN_PROGRESS]).await.unwrap();
            stream.flush().await.unwrap();
            sleep(WRITE_TIMEOUT * 10).await;
        }
        drop(stream);
        assert_eq!(reader.await.unwrap(), 3 * 20 * MIN_PROGRESS);
    }
}
