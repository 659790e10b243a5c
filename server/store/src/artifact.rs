//! Files kept under paths, and which bytes nobody refers to any more.

use async_trait::async_trait;
use edgeflow_bundle::Digest;
use edgeflow_core::{
    OrganisationId,
    artifact::{ArtifactEntry, ArtifactFile, ArtifactPath},
};

use crate::StoreError;

/// Files kept under paths. The bytes are elsewhere, under their digest; here is who refers to them.
///
/// A digest is *doubted* when its bytes may have nobody who refers to them: before they are put into place, and when
/// something that referred to them goes. A collector settles doubts; what is not doubted is never looked at.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Doubts these bytes, so that they are found if nobody comes to refer to them. Renews an older doubt.
    async fn doubt_artifact(&self, sha256: &Digest, at_us: i64) -> Result<(), StoreError>;

    /// Keeps a file under its path, in the place of what was there; bytes that this leaves are doubted. `Refused` when the
    /// path is a folder, or leads through a file.
    async fn put_artifact(&self, organisation: &OrganisationId, file: &ArtifactFile) -> Result<(), StoreError>;

    /// The file under a path.
    async fn artifact_file(&self, organisation: &OrganisationId, path: &ArtifactPath) -> Result<Option<ArtifactFile>, StoreError>;

    /// What lies directly in a folder (`None`: the root), by name, beyond `after`: a name, with a `/` at its end if it is a folder's.
    async fn artifact_children(
        &self,
        organisation: &OrganisationId,
        folder: Option<&ArtifactPath>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArtifactEntry>, StoreError>;

    /// Every file in a folder and the folders in it, by path, at most `limit`.
    async fn artifact_tree(
        &self,
        organisation: &OrganisationId,
        folder: &ArtifactPath,
        limit: u32,
    ) -> Result<Vec<ArtifactFile>, StoreError>;

    /// Removes a file, or a folder with all in it, and answers how many files that were. Their bytes are doubted.
    async fn delete_artifacts(&self, organisation: &OrganisationId, path: &ArtifactPath, at_us: i64) -> Result<u64, StoreError>;

    /// Doubted since before then, the oldest first.
    async fn doubted_artifacts(&self, before_us: i64, limit: u32) -> Result<Vec<Digest>, StoreError>;

    /// Whether a file or a version of any organisation refers to these bytes.
    async fn artifact_referenced(&self, sha256: &Digest) -> Result<bool, StoreError>;

    /// Ends the doubt: somebody refers to the bytes, or they are gone.
    async fn settle_artifact(&self, sha256: &Digest) -> Result<(), StoreError>;
}
