//! Opening one file: migrations, one writer, a pool of readers.

use edgeflow_store::StoreError;
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};

use crate::writer::Writer;

const READERS: u32 = 4;

/// One file with its writer and readers.
pub(crate) struct Database {
    /// Read-only connections.
    pub(crate) readers: SqlitePool,
    /// The one that writes.
    pub(crate) writer: Writer,
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
        let mut connection = options.connect().await.map_err(failed("opening a database file"))?;
        if let Err(source) = migrations.run_direct(None, &mut connection, false).await {
            let _ = connection.close().await;
            return Err(StoreError::Failed { operation: "migrating a database file", source: Box::new(source) });
        }
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.create_if_missing(false).read_only(true));
        Ok(Self { readers, writer: Writer::start(connection) })
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
