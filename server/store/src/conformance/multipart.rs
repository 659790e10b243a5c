//! Promises about uploads that come in parts.

use edgeflow_bundle::Digest;
use edgeflow_core::{
    artifact::ArtifactPath,
    multipart::{KeptPart, MultipartUpload},
};

use super::fixtures::org;
use crate::{StoreError, Stores};

/// From the first part to the file.
pub async fn an_upload_in_parts_is_kept_until_it_is_completed_or_given_up(stores: Stores) {
    let store = stores.multiparts;
    let upload = |id: &str| MultipartUpload {
        id: id.to_owned(),
        organisation: org(),
        path: ArtifactPath::new("run/weights.bin").unwrap(),
        parts: 2,
        completed: false,
        kept: Vec::new(),
    };
    let part = |number, content: &str| KeptPart { number, sha256: Digest::of(content.as_bytes()), size_bytes: content.len() as u64 };
    for (id, at_us) in [("a", 10), ("b", 20), ("c", 30)] {
        store.open_multipart(&upload(id), at_us).await.unwrap();
    }
    assert_eq!(store.multipart("a").await.unwrap(), Some(upload("a")));
    assert_eq!(store.multipart("z").await.unwrap(), None);
    for (number, content) in [(2, "two"), (1, "wrong"), (1, "one")] {
        store.keep_part("a", &part(number, content), 40).await.unwrap();
    }
    assert_eq!(store.multipart("a").await.unwrap().unwrap().kept, [part(1, "one"), part(2, "two")]);
    assert_eq!(store.stale_multiparts(35, 9).await.unwrap(), ["b", "c"], "a part that comes keeps the upload");
    assert_eq!(store.stale_multiparts(35, 1).await.unwrap(), ["b"]);
    store.complete_multipart("a", 50).await.unwrap();
    let done = store.multipart("a").await.unwrap().unwrap();
    assert!(done.completed && done.kept.is_empty());
    for id in ["a", "z"] {
        assert!(matches!(store.keep_part(id, &part(1, "late"), 60).await, Err(StoreError::Missing { .. })), "{id}");
    }
    assert!(store.abort_multipart("b").await.unwrap());
    assert!(!store.abort_multipart("b").await.unwrap());
    assert_eq!(store.stale_multiparts(100, 9).await.unwrap(), ["c", "a"]);
}
