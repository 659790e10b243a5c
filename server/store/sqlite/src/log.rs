//! What runs log, fast: requests that wait are written together by a thread of their own, whichever run they are of.
//!
//! A training logs one value at a time and waits for each. So requests queue on a [`Lane`]; while one group of them is committed
//! the next one gathers. The thread speaks to SQLite itself: a value costs a step of a prepared statement there, and a commit
//! one way to the thread and one back, instead of one for each statement.

use edgeflow_core::{CoreError, experiment::Lifecycle, run::LogBatch};
use edgeflow_store::StoreError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use sqlx::SqliteConnection;
use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

use crate::{connect::Turn, log_write, run::active_run};

/// Most metrics, parameters and tags of one group: bounds how long the first of them waits.
const GROUP_ROWS: usize = 20_000;
/// Most runs that are remembered to be active.
const KNOWN_RUNS: usize = 10_000;

/// Requests that wait to be written together, and the thread that writes them.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the lane, its thread and jobs of the writer have in common.
#[derive(Default)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Rows of active runs by organisation and id. Read, filled and emptied by whoever has the turn to write only: what was
    /// deleted is out of it before the next metric is written.
    known: Mutex<HashMap<(String, String), i64>>,
}

#[derive(Default)]
struct Queue {
    /// Requests, and who waits for them.
    waiting: VecDeque<(Request, Reply)>,
    closed: bool,
}

/// What is to be logged, and where.
pub(crate) struct Request {
    /// Whose run.
    pub(crate) organisation: String,
    /// Its id.
    pub(crate) run: String,
    /// What.
    pub(crate) batch: LogBatch,
}

type Reply = oneshot::Sender<Result<(), StoreError>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    /// Starts the thread on a file that is there; it writes when it is its `turn`.
    pub(crate) fn start(path: &Path, turn: Turn) -> Result<Self, StoreError> {
        let connection = log_write::open(path).map_err(failed)?;
        let shared = Arc::<Shared>::default();
        let its = shared.clone();
        let started = thread::Builder::new().name("log-lane".to_owned()).spawn(move || its.serve(connection, &turn));
        let thread = started.map_err(|source| StoreError::Failed { operation: "starting the thread that logs", source: source.into() })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Logs a batch with whatever else waits. When this returns `Ok`, it is durable; `Err` when any of it was refused.
    pub(crate) async fn log(&self, organisation: String, run: String, batch: LogBatch) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = lock(&self.shared.queue);
            if queue.closed {
                return Err(closed());
            }
            queue.waiting.push_back((Request { organisation, run, batch }, reply));
        }
        self.shared.filled.notify_one();
        answer.await.map_err(|_| closed())?
    }

    /// For jobs of the writer.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Writes what waits and ends.
    pub(crate) async fn close(&self) {
        self.shared.close();
        let Some(thread) = lock(&self.thread).take() else { return };
        if !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))) {
            tracing::error!("the thread that logs did not end well");
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Whoever waits hears of it, however the thread ends.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.close();
        lock(&self.0.queue).waiting.clear();
    }
}

impl Shared {
    fn close(&self) {
        lock(&self.queue).closed = true;
        self.filled.notify_all();
    }

    fn serve(&self, mut connection: Connection, turn: &Turn) {
        let _ends = Ends(self);
        while self.is_filled() {
            // What comes while somebody else writes is of the same group.
            let _turn = turn.blocking_lock();
            let (waiting, replies) = self.next_group();
            for (reply, result) in replies.into_iter().zip(self.write(&mut connection, &waiting)) {
                // A caller that went away does not need the answer.
                let _ = reply.send(result);
            }
        }
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "a database file did not close cleanly");
        }
    }

    /// Waits until there is something to write; `false` when there will be nothing any more.
    fn is_filled(&self) -> bool {
        let queue = lock(&self.queue);
        let wait = self.filled.wait_while(queue, |queue| queue.waiting.is_empty() && !queue.closed);
        !wait.unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    fn next_group(&self) -> (Vec<Request>, Vec<Reply>) {
        let mut queue = lock(&self.queue);
        let mut rows = 0;
        let mut group = (Vec::new(), Vec::new());
        while rows < GROUP_ROWS
            && let Some((request, reply)) = queue.waiting.pop_front()
        {
            rows += request.batch.metrics.len() + request.batch.params.len() + request.batch.tags.len();
            group.0.push(request);
            group.1.push(reply);
        }
        group
    }

    /// Writes a group: a request that is refused leaves the others alone, a failing database fails all of them.
    fn write(&self, connection: &mut Connection, group: &[Request]) -> Vec<Result<(), StoreError>> {
        let mut written = || -> rusqlite::Result<_> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let results = log_write::write(&transaction, group, |request| self.find_run(&transaction, request))?;
            transaction.commit()?;
            Ok(results)
        };
        written().unwrap_or_else(|error| {
            tracing::error!(%error, requests = group.len(), "a group of logged values was not written");
            let reason = error.to_string();
            group.iter().map(|_| Err(StoreError::Failed { operation: "logging", source: reason.as_str().into() })).collect()
        })
    }

    /// The row of the run that a request logs to, or why it may not.
    fn find_run(&self, connection: &Connection, request: &Request) -> rusqlite::Result<Result<i64, StoreError>> {
        let name = (request.organisation.clone(), request.run.clone());
        if let Some(row) = lock(&self.known).get(&name) {
            return Ok(Ok(*row));
        }
        let mut find = connection.prepare_cached("SELECT run, lifecycle FROM runs WHERE organisation = ?1 AND id = ?2")?;
        let found = find.query_row([&name.0, &name.1], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
        let Some((row, lifecycle)) = found else {
            return Ok(Err(StoreError::Missing { what: "run", name: name.1 }));
        };
        if lifecycle != Lifecycle::Active.as_str() {
            return Ok(Err(CoreError::Deleted { what: "run", name: name.1 }.into()));
        }
        self.know(name, row);
        Ok(Ok(row))
    }

    /// The row of a run that may be written to. For jobs of the writer.
    pub(crate) async fn run_row(&self, connection: &mut SqliteConnection, organisation: &str, id: &str) -> Result<i64, StoreError> {
        let name = (organisation.to_owned(), id.to_owned());
        if let Some(row) = lock(&self.known).get(&name) {
            return Ok(*row);
        }
        let row = active_run(connection, organisation, id).await?;
        self.know(name, row);
        Ok(row)
    }

    fn know(&self, name: (String, String), row: i64) {
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_RUNS {
            known.clear();
        }
        known.insert(name, row);
    }

    /// Forgets which runs are active. For jobs of the writer, before one is deleted.
    pub(crate) fn forget_all(&self) {
        lock(&self.known).clear();
    }
}

fn closed() -> StoreError {
    StoreError::Failed { operation: "logging", source: "the store is closed".into() }
}

fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::Failed { operation: "opening a database file", source: Box::new(source) }
}
