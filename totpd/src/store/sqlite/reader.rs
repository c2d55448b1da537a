//! The threads that read. A read takes microseconds; it runs on a thread so that a slow disk never
//! stops the async ones.
//!
//! Reads of many rows have a thread of their own, so that no login waits for them. So have the
//! searches of applications, which end when no caller waits for them any more.

use crate::store::error::{OpenError, ReadError};
use crate::store::sqlite::connection::{self, describe};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A query, and whether its caller has stopped waiting.
struct Query {
    run: Box<dyn FnOnce(&Connection) + Send>,
    abandoned: Arc<AtomicBool>,
}

/// Marks a query as abandoned when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Threads for reads of a row or two.
const THREADS: usize = 2;
/// How long a search may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite's steps between two checks whether a search has to end.
const STEPS: i32 = 10_000;

/// The readers of a store.
#[derive(Debug)]
pub(super) struct Readers {
    threads: Vec<Sender<Query>>,
    next: AtomicUsize,
    long: Sender<Query>,
    searches: Sender<Query>,
}

impl Readers {
    /// Starts the threads, each with a connection of its own.
    pub(super) fn start(state_dir: &Path) -> Result<Self, OpenError> {
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            threads.push(thread(state_dir, serve)?);
        }
        let (long, searches) = (thread(state_dir, serve)?, thread(state_dir, serve_searches)?);
        Ok(Self { threads, next: AtomicUsize::new(0), long, searches })
    }

    /// Runs `query`, which reads a row or two, on the next thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % THREADS;
        run_on(self.threads.get(thread), query).await
    }

    /// Runs `query`, which may read many rows, on the thread for such reads.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        run_on(Some(&self.long), query).await
    }

    /// Runs `query`, which is a search, on the thread for searches. It ends after its time.
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
    let (reply, result) = oneshot::channel();
    let abandoned = Arc::new(AtomicBool::new(false));
    let waiting = Waiting(Arc::clone(&abandoned));
    let run = move |db: &Connection| {
        let _ = reply.send(query(db).map_err(|error| ReadError(describe(&error))));
    };
    let closed = || ReadError("the store is closed".to_owned());
    thread.ok_or_else(closed)?.send(Query { run: Box::new(run), abandoned }).map_err(|_| closed())?;
    let result = result.await.map_err(|_| closed())?;
    drop(waiting);
    result
}

fn thread(state_dir: &Path, serve: fn(Connection, &Receiver<Query>)) -> Result<Sender<Query>, OpenError> {
    let connection = connection::reader(state_dir)?;
    let (queue, queries) = channel();
    std::thread::Builder::new()
        .name("store-reader".into())
        .spawn(move || serve(connection, &queries))
        .map_err(OpenError::Thread)?;
    Ok(queue)
}

/// The next query that a caller waits for.
fn next(queries: &Receiver<Query>) -> Option<Query> {
    queries.iter().find(|query| !query.abandoned.load(Ordering::Relaxed))
}

#[expect(clippy::needless_pass_by_value, reason = "the thread owns its connection")]
fn serve(connection: Connection, queries: &Receiver<Query>) {
    while let Some(query) = next(queries) {
        (query.run)(&connection);
    }
}

/// As [`serve`], and each query ends after its time or when its caller stops waiting.
fn serve_searches(mut connection: Connection, queries: &Receiver<Query>) {
    while let Some(Query { run, abandoned }) = next(queries) {
        let end = Instant::now() + SEARCH_TIMEOUT;
        let over = move || Instant::now() > end || abandoned.load(Ordering::Relaxed);
        if let Err(error) = connection.progress_handler(STEPS, Some(over)) {
            tracing::warn!("a search has no bound: {}", describe(&error));
        }
        run(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::fixture::{Embedded as _, Fixture as _};
    use crate::store::sqlite::tests::SqliteFixture;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test]
    async fn a_search_ends_after_its_time_or_when_nobody_waits() {
        let fixture = SqliteFixture::new();
        let readers = Readers::start(fixture.folder()).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let start = Instant::now();
        let long = readers.run_search(move |db| db.query_row(endless, [], |row| row.get::<_, i64>(0)));
        let counted = || {
            let ran = Arc::clone(&ran);
            readers.run_search(move |_| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let leave = async {
            for _ in 0..100 {
                assert!(tokio::time::timeout(Duration::ZERO, counted()).await.is_err());
            }
        };
        let (long, ()) = tokio::join!(long, leave);
        assert_eq!(long, Err(ReadError("it took too long".to_owned())));
        let took = start.elapsed().as_secs();
        assert!((4..15).contains(&took), "{took} s");
        // One that runs ends as soon as nobody waits for it.
        let start = Instant::now();
        let left = readers.run_search(move |db| db.query_row(endless, [], |row| row.get::<_, i64>(0)));
        assert!(tokio::time::timeout(Duration::from_millis(50), left).await.is_err());
        counted().await.unwrap();
        assert!(start.elapsed().as_secs() < 4, "{:?}", start.elapsed());
        assert_eq!(ran.load(Ordering::SeqCst), 1, "only the one that was waited for");
    }
}
