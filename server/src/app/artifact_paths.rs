//! Artifacts under paths: what MLflow's clients log, whole or in part, in folders.

use bytes::Bytes;
use edgeflow_bundle::Digest;
use edgeflow_core::{
    Principal,
    artifact::{ArtifactEntry, ArtifactFile, ArtifactPath},
    principal::{Action, Resource},
};
use futures::Stream;
use std::ops::Range;

use crate::app::{
    App, AppError, ArtifactBytes,
    artifacts::Incoming,
    bundle_view::{bundle_at, refuse_bundle},
};

impl App {
    /// Keeps a file under a path, in the place of what was there. With `wanted`, only if its bytes have that digest.
    ///
    /// The bytes are in place before the row that refers to them is written, so a crash in between leaves bytes that the
    /// collector finds, never a path without bytes.
    pub async fn put_artifact<S, E>(
        &self,
        principal: &Principal,
        path: ArtifactPath,
        wanted: Option<Digest>,
        body: S,
    ) -> Result<ArtifactFile, AppError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        self.permit(principal, Action::WriteArtifactPath, Resource::Organisation).await?;
        refuse_bundle(&path)?;
        let incoming = self.artifacts.receive(body).await?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != incoming.sha256) {
            self.artifacts.discard(&incoming).await;
            return Err(AppError::Invalid(format!("{path}: what came has the digest {}, not {wanted}: send it again", incoming.sha256)));
        }
        self.keep_incoming(principal, path, incoming).await
    }

    /// Puts what came in into its place, and has a path refer to it.
    pub(crate) async fn keep_incoming(
        &self,
        principal: &Principal,
        path: ArtifactPath,
        incoming: Incoming,
    ) -> Result<ArtifactFile, AppError> {
        let _gate = self.artifacts.gate().await;
        let file = ArtifactFile { path, sha256: incoming.sha256, size_bytes: incoming.size_bytes, created_at_us: self.now_us() };
        self.stores.artifacts.doubt_artifact(&file.sha256, file.created_at_us).await?;
        self.artifacts.place_incoming(&incoming).await?;
        self.stores.artifacts.put_artifact(&principal.organisation, &file).await?;
        Ok(file)
    }

    /// The file under a path: `range` picks a part out of its size, `None` takes all.
    pub async fn artifact_at(
        &self,
        principal: &Principal,
        path: &ArtifactPath,
        range: impl FnOnce(u64) -> Result<Option<Range<u64>>, AppError>,
    ) -> Result<(ArtifactFile, ArtifactBytes), AppError> {
        self.permit(principal, Action::ReadArtifactPath, Resource::Organisation).await?;
        if let Some((digest, Some(name))) = bundle_at(path) {
            return self.bundle_file(&principal.organisation, (&digest, name), path, range).await;
        }
        let file = self.stores.artifacts.artifact_file(&principal.organisation, path).await?;
        let file = file.ok_or_else(|| AppError::NotFound { what: "artifact", name: path.to_string() })?;
        let range = range(file.size_bytes)?;
        let bytes = self.artifacts.read(&file.sha256.hex(), file.size_bytes, range).await?;
        Ok((file, bytes))
    }

    /// What lies directly in a folder (`None`: the root), by name, beyond `after`: a name, with a `/` if it is a folder's.
    pub async fn artifacts_in(
        &self,
        principal: &Principal,
        folder: Option<&ArtifactPath>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArtifactEntry>, AppError> {
        self.permit(principal, Action::ReadArtifactPath, Resource::Organisation).await?;
        if let Some((digest, below)) = folder.and_then(bundle_at) {
            // It has no folders.
            return if below.is_some() {
                Ok(Vec::new())
            } else {
                self.bundle_entries(&principal.organisation, &digest, after, limit).await
            };
        }
        Ok(self.stores.artifacts.artifact_children(&principal.organisation, folder, after, limit).await?)
    }

    /// Removes a file, or a folder with all in it.
    pub async fn delete_artifacts(&self, principal: &Principal, path: &ArtifactPath) -> Result<u64, AppError> {
        self.permit(principal, Action::WriteArtifactPath, Resource::Organisation).await?;
        refuse_bundle(path)?;
        let removed = self.stores.artifacts.delete_artifacts(&principal.organisation, path, self.now_us()).await?;
        if removed == 0 {
            return Err(AppError::NotFound { what: "artifact", name: path.to_string() });
        }
        let detail = serde_json::json!({ "files": removed });
        self.record(principal, Action::WriteArtifactPath, &format!("artifact/{path}"), detail).await;
        Ok(removed)
    }
}
