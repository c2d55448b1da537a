//! Threads that read. A read takes microseconds; they are threads so that a slow disk never stops the
//! async ones. What may look at many rows has one of its own, so that it makes no login wait; and so have the searches of
//! applications, which end when nobody waits for them.

use super::open::{self, OpenError};
use crate::store::ReadError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A query, and whether whoever asked has gone.
struct Query {
    run: Box<dyn FnOnce(&Connection) + Send>,
    gone: Arc<AtomicBool>,
}

/// Says when dropped that nobody waits.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const THREADS: usize = 2;
/// How long a search may take, and after how many of SQLite's steps the clock is looked at.
const LONGEST: Duration = Duration::from_secs(5);
const STEPS: i32 = 10_000;

/// The readers, used in turn.
#[derive(Debug)]
pub(super) struct Readers {
    threads: Vec<Sender<Query>>,
    next: AtomicUsize,
    long: Sender<Query>,
    searches: Sender<Query>,
}

impl Readers {
    pub(super) fn start(state_dir: &Path) -> Result<Self, OpenError> {
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            threads.push(thread(state_dir, serve)?);
        }
        let (long, searches) = (thread(state_dir, serve)?, thread(state_dir, serve_searches)?);
        Ok(Self { threads, next: AtomicUsize::new(0), long, searches })
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

    /// Runs `query`, which is an application's search, on the thread for those. It ends after its time.
    pub(super) async fn run_search<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        run_on(Some(&self.searches), query).await
    }
}

async fn run_on<T: Send + 'static>(
    thread: Option<&Sender<Query>>,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let (reply, answer) = oneshot::channel();
    let gone = Arc::new(AtomicBool::new(false));
    let waits = Waits(Arc::clone(&gone));
    let run = move |db: &Connection| {
        let _ = reply.send(query(db).map_err(|error| ReadError(open::describe(&error))));
    };
    let closed = || ReadError("the store is closed".to_owned());
    thread.ok_or_else(closed)?.send(Query { run: Box::new(run), gone }).map_err(|_| closed())?;
    let found = answer.await.map_err(|_| closed())?;
    drop(waits);
    found
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

/// The queries that somebody waits for.
fn asked(queries: &Receiver<Query>) -> Option<Query> {
    queries.iter().find(|query| !query.gone.load(Ordering::Relaxed))
}

#[expect(clippy::needless_pass_by_value, reason = "the thread's own")]
fn serve(connection: Connection, queries: &Receiver<Query>) {
    while let Some(query) = asked(queries) {
        (query.run)(&connection);
    }
}

/// The same, and each ends after its time or when nobody waits for it any more.
fn serve_searches(mut connection: Connection, queries: &Receiver<Query>) {
    while let Some(Query { run, gone }) = asked(queries) {
        let end = Instant::now() + LONGEST;
        let over = move || Instant::now() > end || gone.load(Ordering::Relaxed);
        if let Err(error) = connection.progress_handler(STEPS, Some(over)) {
            tracing::warn!("a search has no bound: {}", open::describe(&error));
        }
        run(&connection);
    }
}
