//! Two threads that read. A read takes microseconds; they are threads so that a slow disk never stops the
//! async ones.

use super::open::{self, OpenError};
use crate::store::ReadError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

type Query = Box<dyn FnOnce(&Connection) + Send>;

const THREADS: usize = 2;

/// The readers, used in turn.
#[derive(Debug)]
pub(super) struct Readers {
    threads: Vec<Sender<Query>>,
    next: AtomicUsize,
}

impl Readers {
    pub(super) fn start(state_dir: &Path) -> Result<Self, OpenError> {
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let connection = open::reader(state_dir)?;
            let (queue, queries) = channel();
            std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || serve(&connection, &queries))
                .map_err(OpenError::Thread)?;
            threads.push(queue);
        }
        Ok(Self { threads, next: AtomicUsize::new(0) })
    }

    /// Runs `query` on the next thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (reply, answer) = oneshot::channel();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % THREADS;
        let query: Query = Box::new(move |db| {
            // Whoever asked may have gone.
            let _ = reply.send(query(db).map_err(|error| ReadError(open::describe(&error))));
        });
        let closed = || ReadError("the store is closed".to_owned());
        self.threads.get(turn).ok_or_else(closed)?.send(query).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn serve(connection: &Connection, queries: &Receiver<Query>) {
    while let Ok(query) = queries.recv() {
        query(connection);
    }
}
