//! The SQLite adapter keeps every promise of the Store traits.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_store::{Stores, conformance_tests};
use edgeflow_store_sqlite::Sqlite;

async fn open() -> (Stores, (tempfile::TempDir, Sqlite)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(folder.path()).await.unwrap();
    (sqlite.stores(), (folder, sqlite))
}

conformance_tests!(open);
