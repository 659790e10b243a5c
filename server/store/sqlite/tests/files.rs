//! What is particular to files: what was answered survives the process, and a foreign file is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_core::{OrganisationId, RobotId, model::Model, retention::Cause};
use edgeflow_store::Stores;
use edgeflow_store_sqlite::Sqlite;
use edgeflow_wire::{Batch, Class, Content, Entry, WIRE_VERSION};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

fn model(name: &str) -> Model {
    Model::new(name.parse().unwrap(), 1, "ada".into())
}

#[tokio::test]
async fn what_was_answered_is_there_without_a_clean_close() {
    let folder = tempfile::tempdir().unwrap();
    let organisation = OrganisationId::first();
    let killed = Sqlite::open(folder.path()).await.unwrap();
    killed.stores().models.create_model(&organisation, &model("a")).await.unwrap();
    // The files as a crash would leave them: copied while they are open, write-ahead log and all.
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let after = Sqlite::open(copy.path()).await.unwrap();
    assert!(after.stores().models.model(&organisation, &model("a").name).await.unwrap().is_some());
    killed.close().await;
    let closed = killed.stores().models.create_model(&organisation, &model("b")).await.unwrap_err().to_string();
    assert!(closed.contains("the store is closed"), "{closed}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.db");
    let text = "this is not a database at all, it only has the name of one".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(Sqlite::open(folder.path()).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// Three megabytes of a robot's log, all of it removed again.
async fn come_and_gone(stores: &Stores) -> (u64, u64) {
    let robot = RobotId { organisation: OrganisationId::first(), name: "r1".parse().unwrap() };
    for first in (0..2_000).step_by(500) {
        let body = serde_json::json!({ "text": "x".repeat(1_500) });
        let entry = |seq| Entry { seq, t_us: 1, boot_us: 1, content: Content::Unknown { kind: "note".into(), body: body.clone() } };
        let entries = (first + 1..=first + 500).map(entry).collect();
        let batch = Batch { v: WIRE_VERSION, epoch: "e1".into(), class: Class::Detail, loss: None, entries };
        stores.entries.ingest_batch(&robot, &batch, 1).await.unwrap();
    }
    let full = stores.retention.usage().await.unwrap();
    while stores.retention.remove_entries(Class::Detail, "note", 2, 500, Cause::Age, 3).await.unwrap().count > 0 {}
    let empty = stores.retention.usage().await.unwrap();
    assert!(full.used_bytes > 3 << 20 && empty.used_bytes < 1 << 20, "{full:?} {empty:?}");
    let mut given_back = 0;
    loop {
        match stores.retention.shrink().await.unwrap() {
            0 => break,
            bytes => given_back += bytes,
        }
    }
    (full.used_bytes, given_back)
}

#[tokio::test]
async fn room_that_nothing_takes_goes_back_to_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(folder.path()).await.unwrap();
    let (full, given_back) = come_and_gone(&sqlite.stores()).await;
    assert!(given_back > full / 2, "{given_back} of {full} bytes");
    sqlite.close().await;
    let file = std::fs::metadata(folder.path().join("telemetry.db")).unwrap().len();
    assert!(file < full / 2, "{file} bytes, where {full} were used");
}

#[tokio::test]
async fn a_file_of_an_older_version_uses_its_free_pages_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let mut old = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE old (id INTEGER)").execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let sqlite = Sqlite::open(folder.path()).await.unwrap();
    let (_, given_back) = come_and_gone(&sqlite.stores()).await;
    assert_eq!(given_back, 0);
    let robot = RobotId { organisation: OrganisationId::first(), name: "r2".parse().unwrap() };
    let before = sqlite.stores().retention.usage().await.unwrap();
    let entry = |seq| Entry { seq, t_us: 1, boot_us: 1, content: Content::Unknown { kind: "note".into(), body: "x".repeat(1_500).into() } };
    let batch = Batch { v: WIRE_VERSION, epoch: "e1".into(), class: Class::Detail, loss: None, entries: (1..=500).map(entry).collect() };
    sqlite.stores().entries.ingest_batch(&robot, &batch, 1).await.unwrap();
    sqlite.close().await;
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file <= before.file_bytes, "{file} bytes, where the file and its log had {}", before.file_bytes);
}
