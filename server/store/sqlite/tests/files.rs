//! What is particular to files: what was answered survives the process, and a foreign file is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_core::{OrganisationId, model::Model};
use edgeflow_store_sqlite::Sqlite;

fn model(name: &str) -> Model {
    Model { name: name.parse().unwrap(), description: String::new(), created_at_us: 1 }
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
