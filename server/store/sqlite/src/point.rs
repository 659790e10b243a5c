//! Reads on one thread, without the pool.
//!
//! Every request of a robot looks up who it is and what is declared for it. Such a look takes microseconds, of pages that are at hand; to
//! hand it to a thread of the pool and to wait for its answer costs ten times as much and, with thousands of robots, the pool's places
//! for those who read much. Sets of robots are read as a whole beside the tasks, where the pool would hand over row by row. What is read
//! is never kept: whatever was committed before is seen.

use edgeflow_store::StoreError;
use rusqlite::{CachedStatement, Connection, OpenFlags};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Connections that are kept; more are opened when more threads read at once, and closed again.
const KEPT: usize = 8;
/// What each of them holds of the file at most: 512 KiB (said in KiB, as a negative number).
const CACHE: i64 = -512;

/// Read-only connections of a file, each used by one thread at a time.
pub(crate) struct Point {
    path: PathBuf,
    /// `None` once it is closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Point {
    pub(crate) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), idle: Mutex::new(Some(Vec::new())) })
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads with a statement that is prepared once a connection. `read` is to be short: the thread does nothing else meanwhile.
    pub(crate) fn read<T>(
        &self,
        operation: &'static str,
        sql: &str,
        read: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::Failed { operation, source: Box::new(source) };
        self.with(operation, |connection| connection.prepare_cached(sql).and_then(|mut statement| read(&mut statement)).map_err(failed))
    }

    /// Reads much, on a thread where that holds up nobody.
    pub(crate) async fn read_much<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let point = self.clone();
        let done = tokio::task::spawn_blocking(move || point.with(operation, read)).await;
        done.map_err(|source| StoreError::Failed { operation, source: Box::new(source) })?
    }

    fn with<T>(&self, operation: &'static str, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let closed = || StoreError::Failed { operation, source: "the store is closed".into() };
        let known = self.idle().as_mut().ok_or_else(closed)?.pop();
        let opened = known.map_or_else(|| open(&self.path), Ok);
        let connection = opened.map_err(|source| StoreError::Failed { operation, source: Box::new(source) })?;
        let found = read(&connection);
        if let Some(idle) = self.idle().as_mut().filter(|idle| idle.len() < KEPT) {
            idle.push(connection);
        }
        found
    }

    pub(crate) fn close(&self) {
        self.idle().take();
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sees_what_was_committed_and_nothing_once_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (name TEXT PRIMARY KEY, n INTEGER)").unwrap();
        let point = Point::new(&path);
        let count = || point.read("counting", "SELECT COUNT(*) FROM t", |statement| statement.query_row([], |row| row.get::<_, i64>(0)));
        assert_eq!(count().unwrap(), 0);
        for n in 1..5 {
            writer.execute("INSERT INTO t VALUES (?1, ?2)", (n.to_string(), n)).unwrap();
            assert_eq!(count().unwrap(), n);
        }
        writer.execute_batch("BEGIN; DELETE FROM t").unwrap();
        assert_eq!(count().unwrap(), 4, "what is not committed is not there");
        let write = point.read("writing", "DELETE FROM t", |statement| statement.execute([]));
        assert!(matches!(write, Err(StoreError::Failed { operation: "writing", .. })));
        point.close();
        assert!(count().is_err());
    }

    #[test]
    fn many_threads_read_at_once_and_few_connections_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n); INSERT INTO t VALUES (7)").unwrap();
        let (point, barrier) = (Point::new(&path), std::sync::Barrier::new(20));
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let read = point.read("reading", "SELECT n FROM t", |statement| {
                        barrier.wait();
                        statement.query_row([], |row| row.get::<_, i64>(0))
                    });
                    assert_eq!(read.unwrap(), 7);
                });
            }
        });
        assert_eq!(point.idle().as_ref().map(Vec::len), Some(KEPT));
    }
}
