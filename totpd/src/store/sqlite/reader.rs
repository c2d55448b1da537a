//! Threads that read. A read takes microseconds; they are threads so that a slow disk never stops the
//! async ones. What may look at many rows has one of its own, so that it makes no login wait.

use super::open::{self, OpenError};
use crate::store::ReadError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

type Query = Box<dyn FnOnce(&Connection) + Send>;

const THREADS: usize = 2;
/// How long a look at many rows may take, and after how many of SQLite's steps the clock is looked at.
const LONGEST: Duration = Duration::from_secs(10);
const STEPS: i32 = 10_000;

/// The readers, used in turn.
#[derive(Debug)]
pub(super) struct Readers {
    threads: Vec<Sender<Query>>,
    next: AtomicUsize,
    long: Sender<Query>,
}

impl Readers {
    pub(super) fn start(state_dir: &Path) -> Result<Self, OpenError> {
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            threads.push(thread(state_dir, serve)?);
        }
        Ok(Self { threads, next: AtomicUsize::new(0), long: thread(state_dir, serve_long)? })
    }

    /// Runs `query`, which looks at a row or two, on the next thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % THREADS;
        run_on(self.threads.get(turn), query).await
    }

    /// Runs `query`, which may look at many rows, on the thread for such.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        run_on(Some(&self.long), query).await
    }
}

async fn run_on<T: Send + 'static>(
    thread: Option<&Sender<Query>>,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let (reply, answer) = oneshot::channel();
    let query: Query = Box::new(move |db| {
        // Whoever asked may have gone, before or after it was looked for.
        if !reply.is_closed() {
            let _ = reply.send(query(db).map_err(|error| ReadError(open::describe(&error))));
        }
    });
    let closed = || ReadError("the store is closed".to_owned());
    thread.ok_or_else(closed)?.send(query).map_err(|_| closed())?;
    answer.await.map_err(|_| closed())?
}

fn thread(state_dir: &Path, serve: fn(Connection, &Receiver<Query>)) -> Result<Sender<Query>, OpenError> {
    let connection = open::reader(state_dir)?;
    let (queue, queries) = channel();
    std::thread::Builder::new()
        .name("store-reader".into())
        .spawn(move || serve(connection, &queries))
        .map_err(OpenError::Thread)?;
    Ok(queue)
}

#[expect(clippy::needless_pass_by_value, reason = "the thread's own")]
fn serve(connection: Connection, queries: &Receiver<Query>) {
    while let Ok(query) = queries.recv() {
        query(&connection);
    }
}

/// The same, and no query takes longer than it may.
fn serve_long(mut connection: Connection, queries: &Receiver<Query>) {
    while let Ok(query) = queries.recv() {
        let end = Instant::now() + LONGEST;
        if let Err(error) = connection.progress_handler(STEPS, Some(move || Instant::now() > end)) {
            tracing::warn!("a look at many rows has no bound: {}", open::describe(&error));
        }
        query(&connection);
    }
}
