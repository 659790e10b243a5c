//! Artifacts: bytes named by their SHA-256, through `object_store` (a folder now, a bucket later).

use bytes::Bytes;
use edgeflow_bundle::{BundleFile, Digest};
use edgeflow_core::{
    Principal,
    principal::{Action, Resource},
};
use futures::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path as ObjectPath};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncReadExt;

use crate::app::{App, AppError};

const CHUNK_BYTES: usize = 1 << 20;

/// The artifacts of a control plane, and the folder uploads wait in.
pub(crate) struct Artifacts {
    store: Arc<dyn ObjectStore>,
    uploads: PathBuf,
}

/// An artifact, or a part of it, as a stream.
pub struct ArtifactBytes {
    /// Size of the whole artifact.
    pub size_bytes: u64,
    /// Which part this is.
    pub range: Range<u64>,
    /// The bytes of the part.
    pub stream: BoxStream<'static, Result<Bytes, std::io::Error>>,
}

impl Artifacts {
    pub(crate) fn open(data_dir: &Path) -> Result<Self, AppError> {
        let folder = data_dir.join("artifacts");
        let uploads = data_dir.join("uploads");
        // What an earlier process left there was never registered.
        if uploads.exists() {
            std::fs::remove_dir_all(&uploads).map_err(AppError::artifact("clearing the folder of uploads"))?;
        }
        for made in [&folder, &uploads] {
            std::fs::create_dir_all(made).map_err(AppError::artifact("making a folder for artifacts"))?;
        }
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(AppError::artifact("opening the folder of artifacts"))?;
        Ok(Self { store: Arc::new(store.with_fsync(true)), uploads })
    }

    pub(crate) fn uploads(&self) -> &Path {
        &self.uploads
    }

    fn place(sha256: &str) -> ObjectPath {
        ObjectPath::from(format!("sha256/{}/{sha256}", sha256.get(..2).unwrap_or_default()))
    }

    /// Keeps a file under its digest. One that is there already is left as it is.
    pub(crate) async fn keep(&self, source: &Path, file: &BundleFile) -> Result<(), AppError> {
        let place = Self::place(&file.sha256.hex());
        if let Ok(there) = self.store.head(&place).await
            && there.size == file.size_bytes
        {
            return Ok(());
        }
        let mut reader = tokio::fs::File::open(source).await.map_err(AppError::artifact("reading an upload"))?;
        let upload = self.store.put_multipart(&place).await.map_err(AppError::artifact("keeping an artifact"))?;
        let mut writer = WriteMultipart::new(upload);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = reader.read(&mut chunk).await.map_err(AppError::artifact("reading an upload"))?;
            if read == 0 {
                break;
            }
            writer.wait_for_capacity(4).await.map_err(AppError::artifact("keeping an artifact"))?;
            writer.write(&chunk[..read]);
        }
        writer.finish().await.map(drop).map_err(AppError::artifact("keeping an artifact"))
    }

    async fn read(&self, sha256: &str, size_bytes: u64, range: Option<Range<u64>>) -> Result<ArtifactBytes, AppError> {
        let range = range.unwrap_or(0..size_bytes);
        if range.is_empty() && size_bytes == 0 {
            return Ok(ArtifactBytes { size_bytes, range, stream: futures::stream::empty().boxed() });
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = self.store.get_opts(&Self::place(sha256), options).await.map_err(AppError::artifact("reading an artifact"))?;
        let stream = found.into_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed();
        Ok(ArtifactBytes { size_bytes, range, stream })
    }
}

impl App {
    /// An artifact of the principal's organisation: `range` picks a part out of its size, `None` takes all.
    pub async fn artifact(
        &self,
        principal: &Principal,
        sha256: &str,
        range: impl FnOnce(u64) -> Result<Option<Range<u64>>, AppError>,
    ) -> Result<ArtifactBytes, AppError> {
        self.permit(principal, Action::ReadArtifact, Resource::Organisation).await?;
        let digest = Digest::from_hex(sha256).map_err(|error| AppError::Invalid(error.to_string()))?.hex();
        let size_bytes = self.stores.models.artifact(&principal.organisation, &digest).await?;
        let size_bytes = size_bytes.ok_or_else(|| AppError::NotFound { what: "artifact", name: sha256.to_owned() })?;
        let range = range(size_bytes)?;
        self.artifacts.read(&digest, size_bytes, range).await
    }
}
