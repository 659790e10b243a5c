//! Promises about files under paths, and about doubts.

use edgeflow_bundle::Digest;
use edgeflow_core::artifact::{ArtifactEntry, ArtifactFile, ArtifactPath};

use super::fixtures::{org, other_org, version};
use crate::{StoreError, Stores};

fn path(path: &str) -> ArtifactPath {
    ArtifactPath::new(path).unwrap()
}

fn file(at: &str, content: &str) -> ArtifactFile {
    ArtifactFile { path: path(at), sha256: Digest::of(content.as_bytes()), size_bytes: content.len() as u64, created_at_us: 7 }
}

fn shown(entries: &[ArtifactEntry]) -> Vec<String> {
    entries.iter().map(|entry| if entry.is_dir { format!("{}/", entry.name) } else { entry.name.clone() }).collect()
}

/// Paths.
pub async fn artifacts_are_kept_listed_and_removed_by_path(stores: Stores) {
    let artifacts = stores.artifacts;
    // Names around the slash in the order of bytes, and ones of several bytes: what folders are skipped by.
    for at in ["r/a.txt", "r/a/x", "r/a/y/z", "r/a-b/x", "r/a0", "r/größe/1", "r/größe/2", "r/z", "ru", "r0"] {
        artifacts.put_artifact(&org(), &file(at, at)).await.unwrap();
    }
    artifacts.put_artifact(&other_org(), &file("r/theirs", "x")).await.unwrap();
    let children = async |folder: Option<&str>, after: Option<&str>, limit| {
        let folder = folder.map(path);
        shown(&artifacts.artifact_children(&org(), folder.as_ref(), after, limit).await.unwrap())
    };
    assert_eq!(children(Some("r"), None, 99).await, ["a-b/", "a.txt", "a/", "a0", "größe/", "z"]);
    assert_eq!(children(Some("r"), None, 2).await, ["a-b/", "a.txt"]);
    assert_eq!(children(Some("r"), Some("a.txt"), 2).await, ["a/", "a0"]);
    assert_eq!(children(Some("r"), Some("a/"), 9).await, ["a0", "größe/", "z"]);
    assert_eq!(children(None, Some("r/"), 9).await, ["r0", "ru"]);
    assert_eq!(children(Some("r"), Some("z"), 9).await, [""; 0]);
    assert_eq!(children(Some("r/a"), None, 9).await, ["x", "y/"]);
    assert_eq!(children(None, None, 9).await, ["r/", "r0", "ru"]);
    assert_eq!(children(Some("r/a.txt"), None, 9).await, [""; 0], "a file holds nothing");
    let tree = artifacts.artifact_tree(&org(), &path("r/a"), 9).await.unwrap();
    assert_eq!(tree, [file("r/a/x", "r/a/x"), file("r/a/y/z", "r/a/y/z")]);
    assert_eq!(artifacts.artifact_file(&org(), &path("r/z")).await.unwrap(), Some(file("r/z", "r/z")));
    assert_eq!(artifacts.artifact_file(&org(), &path("r")).await.unwrap(), None);
    assert_eq!(artifacts.artifact_file(&other_org(), &path("r/z")).await.unwrap(), None);
    assert_eq!(artifacts.delete_artifacts(&org(), &path("r/a"), 9).await.unwrap(), 2);
    assert_eq!(artifacts.delete_artifacts(&org(), &path("r/z"), 9).await.unwrap(), 1);
    assert_eq!(artifacts.delete_artifacts(&org(), &path("r/z"), 9).await.unwrap(), 0);
    assert_eq!(children(Some("r"), None, 99).await, ["a-b/", "a.txt", "a0", "größe/"]);
}

/// Files and folders.
pub async fn a_file_is_never_a_folder_too(stores: Stores) {
    let artifacts = stores.artifacts;
    artifacts.put_artifact(&org(), &file("a/b/c", "1")).await.unwrap();
    for (at, words) in [("a/b", "is a folder"), ("a/b/c/d", "is a file"), ("a/b/c/d/e", "is a file")] {
        let error = artifacts.put_artifact(&org(), &file(at, "2")).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.to_string().contains(words)), "{error}");
    }
    assert_eq!(artifacts.artifact_tree(&org(), &path("a"), 9).await.unwrap(), [file("a/b/c", "1")]);
}

/// Doubts.
pub async fn bytes_are_doubted_until_it_is_known_who_refers_to_them(stores: Stores) {
    let artifacts = stores.artifacts;
    let digest = |content: &str| Digest::of(content.as_bytes());
    let doubted = async |before_us| artifacts.doubted_artifacts(before_us, 9).await.unwrap();
    artifacts.doubt_artifact(&digest("one"), 5).await.unwrap();
    assert_eq!((doubted(5).await, doubted(6).await), (vec![], vec![digest("one")]));
    artifacts.doubt_artifact(&digest("one"), 8).await.unwrap();
    artifacts.doubt_artifact(&digest("one"), 3).await.unwrap();
    assert_eq!((doubted(8).await, doubted(9).await), (vec![], vec![digest("one")]), "the newest doubt counts");
    assert!(!artifacts.artifact_referenced(&digest("one")).await.unwrap());
    artifacts.put_artifact(&org(), &file("a", "one")).await.unwrap();
    assert!(artifacts.artifact_referenced(&digest("one")).await.unwrap());
    artifacts.settle_artifact(&digest("one")).await.unwrap();
    assert_eq!(doubted(99).await, []);

    artifacts.put_artifact(&org(), &file("a", "two")).await.unwrap();
    assert_eq!(doubted(99).await, [digest("one")], "what it replaced");
    assert!(!artifacts.artifact_referenced(&digest("one")).await.unwrap());
    artifacts.settle_artifact(&digest("one")).await.unwrap();
    artifacts.put_artifact(&org(), &file("b/c", "two")).await.unwrap();
    artifacts.delete_artifacts(&org(), &path("b"), 30).await.unwrap();
    assert_eq!(artifacts.doubted_artifacts(99, 9).await.unwrap(), [digest("two")]);
    assert!(artifacts.artifact_referenced(&digest("two")).await.unwrap(), "the other path still does");
    artifacts.delete_artifacts(&org(), &path("a"), 31).await.unwrap();
    assert!(!artifacts.artifact_referenced(&digest("two")).await.unwrap());
    stores.models.create_model_version(&org(), &version("m", "two")).await.unwrap();
    assert!(artifacts.artifact_referenced(&digest("two")).await.unwrap(), "a version does");
}
