//! Opening one file: migrations, one writer, a pool of readers.

use edgeflow_store::StoreError;
use futures::{Stream, TryStreamExt};
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::writer::Writer;

const READERS: u32 = 4;
/// What the write-ahead log is cut back to once it was merged into the file: 16 MiB.
pub(crate) const LOG_BYTES: &str = "16777216";

/// Held while a transaction of one file is written, by whichever connection: SQLite itself has those who come second poll.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// One file with its writer and readers.
pub(crate) struct Database {
    /// Read-only connections.
    pub(crate) readers: SqlitePool,
    /// The one that writes.
    pub(crate) writer: Writer,
    /// Whose turn it is to write.
    pub(crate) turn: Turn,
    path: PathBuf,
}

impl Database {
    pub(crate) async fn open(path: &Path, migrations: Migrator) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        // Of a new file: what is removed can be given back. One that was made without it uses its free pages again.
        let writing = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental).pragma("journal_size_limit", LOG_BYTES);
        let mut connection = writing.connect().await.map_err(failed("opening a database file"))?;
        if let Err(source) = migrations.run_direct(None, &mut connection, false).await {
            let _ = connection.close().await;
            return Err(StoreError::Failed { operation: "migrating a database file", source: Box::new(source) });
        }
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.create_if_missing(false).read_only(true));
        let turn = Turn::default();
        Ok(Self { readers, writer: Writer::start(connection, turn.clone()), turn, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The write-ahead log beside the file.
    pub(crate) fn log_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Wraps what the database says, with what was tried.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Failed { operation, source: Box::new(source) }
}

/// What each row of a query says. Rows take a kilobyte and more: thousands of them are never held together.
pub(crate) async fn each<T>(
    mut rows: impl Stream<Item = sqlx::Result<SqliteRow>> + Unpin,
    operation: &'static str,
    mut read: impl FnMut(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed(operation))? {
        all.push(read(&row)?);
    }
    Ok(all)
}
