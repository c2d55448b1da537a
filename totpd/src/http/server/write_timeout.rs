//! How long a connection may take to read what it asked for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// From when the other end has to be waited for, so much has to go out in so long.
const STALL: Duration = Duration::from_secs(30);
const MIN_PROGRESS: usize = 4 * 1024;

/// The stream of a connection, which fails when the other end does not read.
#[derive(Debug)]
pub(crate) struct WriteTimeoutStream<S> {
    stream: S,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Bytes that went out since.
    out: usize,
}

impl<S> WriteTimeoutStream<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, waiting: None, out: 0 }
    }

    /// The result of a write, unless it has to wait and has waited for too long.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.out = self.out.saturating_add(bytes);
                if self.out >= MIN_PROGRESS {
                    self.waiting = None;
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => self.waits(cx).map(Err),
        }
    }

    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let waiting = self.waiting.get_or_insert_with(|| {
            self.out = 0;
            Box::pin(tokio::time::sleep(STALL))
        });
        waiting.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
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
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Pending => this.waits(cx).map(Err),
            ready @ Poll::Ready(_) => {
                // Everything is out: the next answer has its own time.
                this.waiting = None;
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Pending => this.waits(cx).map(Err),
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
    async fn who_reads_nothing_is_given_up_in_time() {
        let (near, _far) = tokio::io::duplex(64);
        let start = Instant::now();
        let error = WriteTimeoutStream::new(near).write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, STALL.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_now_and_then_is_given_up_as_well() {
        let (near, mut far) = tokio::io::duplex(64);
        let trickle = tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                sleep(STALL / 4).await;
            }
        });
        let start = Instant::now();
        let error = WriteTimeoutStream::new(near).write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() <= STALL * 2, "{:?}", start.elapsed());
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_waited_for_and_a_pause_between_answers_is_none() {
        let (near, mut far) = tokio::io::duplex(2 * MIN_PROGRESS);
        let reader = tokio::spawn(async move {
            let (mut all, mut space) = (0, vec![0; MIN_PROGRESS]);
            while let Ok(bytes @ 1..) = far.read(&mut space).await {
                all += bytes;
                sleep(STALL / 2).await;
            }
            all
        });
        let mut stream = WriteTimeoutStream::new(near);
        for _ in 0..3 {
            stream.write_all(&vec![0; 20 * MIN_PROGRESS]).await.unwrap();
            stream.flush().await.unwrap();
            sleep(STALL * 10).await;
        }
        drop(stream);
        assert_eq!(reader.await.unwrap(), 3 * 20 * MIN_PROGRESS);
    }
}
