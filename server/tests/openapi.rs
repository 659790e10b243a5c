//! The committed API document is the served one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic

use std::{collections::BTreeSet, path::Path};

/// `EDGEFLOW_WRITE_OPENAPI=1 cargo test -p edgeflow_server --test openapi` writes it.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let served = edgeflow_server::http::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("EDGEFLOW_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == served,
        "docs/openapi.json is out of date: run EDGEFLOW_WRITE_OPENAPI=1 cargo test -p edgeflow_server --test openapi"
    );
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = serde_json::to_value(edgeflow_server::http::document()).unwrap();
    let mut names = BTreeSet::new();
    let mut operations = 0;
    for path in document["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            operations += 1;
            names.insert(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((names.len(), operations > 20), (operations, true), "{names:?}");
    assert!(names.contains("get_targets_by_target_log"), "{names:?}");
}
