//! Registered bundles as MLflow's clients load models: a folder of artifacts that nobody logged, with the `MLmodel` that such a folder
//! has. It is made when it is read, so it is there for every bundle, goes with the last version of it, and cannot be changed.

use bytes::Bytes;
use edgeflow_bundle::{BundleFile, Digest, MODEL_FILE};
use edgeflow_core::{
    OrganisationId, Principal,
    artifact::{ArtifactEntry, ArtifactFile, ArtifactPath},
    model::ModelVersion,
};
use futures::StreamExt;
use std::ops::Range;

use crate::app::{App, AppError, ArtifactBytes};

/// Where bundles are among the artifacts: in a folder of this name, each in one that is called like its digest.
const FOLDER: &str = "bundles";
/// By this file clients tell what a folder holds.
const DESCRIPTION_FILE: &str = "MLmodel";
const REQUIREMENTS_FILE: &str = "requirements.txt";
const REQUIREMENTS: &str = "mlflow\nonnx\nonnxruntime\n";

/// Which bundle a path leads into, and what of it: `None` of paths that have nothing to do with bundles.
pub(crate) fn bundle_at(path: &ArtifactPath) -> Option<(Digest, Option<&str>)> {
    let (digest, below) = match path.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('/') {
        Some((digest, below)) => (digest, Some(below)),
        None => (path.name(), None),
    };
    Digest::from_hex(digest).ok().filter(|read| read.hex() == digest).map(|read| (read, below))
}

/// Refuses to write where bundles are.
pub(crate) fn refuse_bundle(path: &ArtifactPath) -> Result<(), AppError> {
    match bundle_at(path) {
        None => Ok(()),
        Some(_) => Err(AppError::Invalid(format!(
            "{path} is a registered bundle's, which never changes: register another version, or choose a path that does not begin with \"{FOLDER}/\""
        ))),
    }
}

/// What `MLmodel` says. Without a signature: with one, pyfunc takes either arrays or names of inputs, as the signature has them; without
/// one it takes both, and the runtime checks shapes anyway.
fn description(digest: &str) -> String {
    format!(
        "\
flavors:
  onnx:
    code: null
    data: {MODEL_FILE}
    providers:
    - CUDAExecutionProvider
    - CPUExecutionProvider
  python_function:
    data: {MODEL_FILE}
    loader_module: mlflow.onnx
metadata:
  edgeflow.digest: {digest}
"
    )
}

/// A bundle as a folder of artifacts.
struct View {
    kept: Vec<BundleFile>,
    made: [(&'static str, Bytes); 2],
    created_at_us: i64,
}

impl View {
    fn of(version: ModelVersion) -> Option<Self> {
        let created_at_us = version.registered.created_at_us;
        let bundle = version.registered.bundle?;
        let made =
            [(DESCRIPTION_FILE, description(&bundle.digest).into()), (REQUIREMENTS_FILE, Bytes::from_static(REQUIREMENTS.as_bytes()))];
        Some(Self { kept: bundle.files, made, created_at_us })
    }

    fn entries(&self) -> Vec<ArtifactEntry> {
        let entry = |name: &str, size_bytes: u64, sha256: Digest| ArtifactEntry {
            name: name.to_owned(),
            is_dir: false,
            size_bytes: Some(size_bytes),
            sha256: Some(sha256.hex()),
        };
        let kept = self.kept.iter().map(|file| entry(&file.path, file.size_bytes, file.sha256));
        let made = self.made.iter().map(|(name, bytes)| entry(name, bytes.len() as u64, Digest::of(bytes)));
        let mut entries: Vec<_> = kept.chain(made).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries
    }
}

impl App {
    /// The folder in which MLflow's clients find a version's files: the one it was logged to, or its bundle's, when it was pushed or
    /// logged without an `MLmodel`. `None` when they are not here.
    pub async fn client_folder(&self, principal: &Principal, version: &ModelVersion) -> Result<Option<ArtifactPath>, AppError> {
        let registered = &version.registered;
        let Some(bundle) = &registered.bundle else { return Ok(registered.origin.folder.clone()) };
        if let Some(folder) = &registered.origin.folder {
            let described = self.stores.artifacts.artifact_file(&principal.organisation, &folder.join(DESCRIPTION_FILE)?).await?;
            if described.is_some() {
                return Ok(Some(folder.clone()));
            }
        }
        let hex = bundle.digest.trim_start_matches("sha256:");
        Ok(Some(ArtifactPath::new(format!("{FOLDER}/{hex}"))?))
    }

    /// A version that still is there and has this bundle.
    pub(crate) async fn version_of_bundle(&self, organisation: &OrganisationId, digest: &Digest) -> Result<Option<ModelVersion>, AppError> {
        let known = self.stores.provenance.registered(organisation, &[digest.to_string()]).await?;
        for registered in known.into_iter().filter(|registered| !registered.deleted) {
            if let Ok(version) = self.find_version(organisation, &registered.model.parse()?, &registered.version).await {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    async fn bundle_view(&self, organisation: &OrganisationId, digest: &Digest) -> Result<Option<View>, AppError> {
        Ok(self.version_of_bundle(organisation, digest).await?.and_then(View::of))
    }

    /// What lies in a bundle's folder, by name, beyond `after`.
    pub(crate) async fn bundle_entries(
        &self,
        organisation: &OrganisationId,
        digest: &Digest,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArtifactEntry>, AppError> {
        let entries = self.bundle_view(organisation, digest).await?.map(|view| view.entries()).unwrap_or_default();
        Ok(entries.into_iter().filter(|entry| after.is_none_or(|after| entry.name.as_str() > after)).take(limit as usize).collect())
    }

    /// A file of a bundle's folder, whose bytes are in their place by their digest then: what is made when it is read is kept for an hour,
    /// for whoever fetches it by its digest.
    pub(crate) async fn bundle_content(
        &self,
        organisation: &OrganisationId,
        (digest, name): (&Digest, &str),
        path: &ArtifactPath,
    ) -> Result<Option<ArtifactFile>, AppError> {
        let Some(view) = self.bundle_view(organisation, digest).await? else { return Ok(None) };
        let file = |sha256, size_bytes| ArtifactFile { path: path.clone(), sha256, size_bytes, created_at_us: view.created_at_us };
        if let Some(kept) = view.kept.iter().find(|kept| kept.path == name) {
            return Ok(Some(file(kept.sha256, kept.size_bytes)));
        }
        let Some((_, bytes)) = view.made.iter().find(|(made, _)| *made == name) else { return Ok(None) };
        let incoming = self.artifacts.receive(futures::stream::iter([Ok::<_, std::convert::Infallible>(bytes.clone())])).await?;
        let _gate = self.artifacts.gate().await;
        self.stores.artifacts.doubt_artifact(&incoming.sha256, self.now_us()).await?;
        self.artifacts.place_incoming(&incoming).await?;
        Ok(Some(file(incoming.sha256, incoming.size_bytes)))
    }

    /// A file of a bundle's folder.
    pub(crate) async fn bundle_file(
        &self,
        organisation: &OrganisationId,
        (digest, name): (&Digest, &str),
        path: &ArtifactPath,
        range: impl FnOnce(u64) -> Result<Option<Range<u64>>, AppError>,
    ) -> Result<(ArtifactFile, ArtifactBytes), AppError> {
        let missing = || AppError::NotFound { what: "artifact", name: path.to_string() };
        let view = self.bundle_view(organisation, digest).await?.ok_or_else(missing)?;
        let file = |sha256, size_bytes| ArtifactFile { path: path.clone(), sha256, size_bytes, created_at_us: view.created_at_us };
        if let Some((_, bytes)) = view.made.iter().find(|(made, _)| *made == name) {
            let size_bytes = bytes.len() as u64;
            let range = range(size_bytes)?.unwrap_or(0..size_bytes);
            let ends = (usize::try_from(range.start).unwrap_or(usize::MAX), usize::try_from(range.end).unwrap_or(usize::MAX));
            let part = bytes.get(ends.0..ends.1).map(|_| bytes.slice(ends.0..ends.1)).unwrap_or_default();
            let stream = futures::stream::iter([Ok(part)]).boxed();
            return Ok((file(Digest::of(bytes), size_bytes), ArtifactBytes { size_bytes, range, stream }));
        }
        let kept = view.kept.iter().find(|kept| kept.path == name).ok_or_else(missing)?;
        let range = range(kept.size_bytes)?;
        let bytes = self.artifacts.read(&kept.sha256.hex(), kept.size_bytes, range).await?;
        Ok((file(kept.sha256, kept.size_bytes), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_name_a_digest_lead_into_a_bundle() {
        let hex = "ab".repeat(32);
        let at = |path: &str| bundle_at(&ArtifactPath::new(path).unwrap()).map(|(digest, below)| (digest.hex(), below.map(str::to_owned)));
        assert_eq!(at(&format!("bundles/{hex}")), Some((hex.clone(), None)));
        assert_eq!(at(&format!("bundles/{hex}/MLmodel")), Some((hex.clone(), Some("MLmodel".to_owned()))));
        assert_eq!(at(&format!("bundles/{hex}/a/b")), Some((hex.clone(), Some("a/b".to_owned()))));
        let upper = hex.to_uppercase();
        for path in [
            "bundles",
            "bundles/x",
            "bundles/x/MLmodel",
            &format!("a/bundles/{hex}"),
            &format!("bundlesx/{hex}"),
            &format!("bundles/{upper}/x"),
        ] {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
