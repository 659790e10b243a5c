//! The one writer of a file. Jobs that wait are committed together: the cost of a durable commit is paid once for all.
//!
//! Each job runs in a savepoint of its own, so that one that fails leaves nothing and the others stand; its caller hears
//! of success only after the commit. Whoever else writes the file by a connection of its own takes [`Turn`]s with it.

use edgeflow_store::StoreError;
use futures::{FutureExt, future::BoxFuture};
use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

use crate::connect::{Turn, failed};

/// Jobs that can wait before callers wait too.
const QUEUE: usize = 1024;
/// Most jobs committed together: bounds how long the first of them waits.
const GROUP: usize = 256;

/// A handle to the task that writes.
pub(crate) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    sender: mpsc::WeakSender<Box<dyn Job>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// One unit of work, whatever its result.
trait Job: Send {
    /// Does the work; `true` when it is to be kept.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Tells the caller, now that the fate of the group is known.
    fn finish(self: Box<Self>, group: Result<(), String>);
}

struct Typed<W, T> {
    work: Option<W>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Job for Typed<W, T>
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    T: Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        async move {
            let Some(work) = self.work.take() else { return false };
            let result = work(connection).await;
            let keep = result.is_ok();
            self.result = Some(result);
            keep
        }
        .boxed()
    }

    fn finish(self: Box<Self>, group: Result<(), String>) {
        let result = match (group, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(lost("the job did not run".to_owned())),
            (Err(_), Some(Err(own))) => Err(own),
            (Err(reason), _) => Err(lost(reason)),
        };
        // A caller that went away does not need the answer.
        let _ = self.reply.send(result);
    }
}

fn lost(reason: String) -> StoreError {
    StoreError::Failed { operation: "committing", source: reason.into() }
}

impl Writer {
    /// Starts the task.
    pub(crate) fn start(connection: SqliteConnection, turn: Turn) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let sender = jobs.downgrade();
        let task = tokio::spawn(write(connection, queue, turn));
        Self { jobs: Mutex::new(Some(jobs)), sender, task: Mutex::new(Some(task)) }
    }

    /// Runs `work` in the next group. When this returns `Ok`, it is durable.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let closed = || lost("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed { work: Some(work), result: None, reply });
        self.sender.upgrade().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Commits what is waiting and closes the connection.
    pub(crate) async fn close(&self) {
        self.jobs.lock().await.take();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer of a database file did not end well");
        }
    }
}

async fn write(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Box<dyn Job>>, turn: Turn) {
    let mut jobs = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut jobs, GROUP).await > 0 {
        let outcome = {
            let _turn = turn.lock().await;
            commit(&mut connection, &mut jobs).await
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, jobs = jobs.len(), "a group of writes was not committed");
        }
        let outcome = outcome.map_err(|error| error.to_string());
        for job in jobs.drain(..) {
            job.finish(outcome.clone());
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a database file did not close cleanly");
    }
}

async fn commit(connection: &mut SqliteConnection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let done = run_all(connection, group).await;
    let last = match done {
        Ok(true) => execute(connection, "COMMIT").await,
        Ok(false) => execute(connection, "ROLLBACK").await,
        Err(error) => Err(error),
    };
    if last.is_err() {
        // Whatever was open must not leak into the next group; there may be nothing open any more.
        let _ = execute(connection, "ROLLBACK").await;
    }
    last
}

/// Runs the jobs; whether anything is to be kept.
async fn run_all(connection: &mut SqliteConnection, group: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
    if let [only] = group {
        return Ok(only.run(connection).await);
    }
    for job in group {
        execute(connection, "SAVEPOINT job").await?;
        if !job.run(connection).await {
            execute(connection, "ROLLBACK TO job").await?;
        }
        execute(connection, "RELEASE job").await?;
    }
    Ok(true)
}

/// Begins or ends something.
pub(crate) async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await.map(drop).map_err(failed("committing"))
}
