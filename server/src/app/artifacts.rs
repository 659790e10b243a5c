//! Artifacts: bytes named by their SHA-256, through `object_store` (a folder now, a bucket later).

use bytes::Bytes;
use edgeflow_bundle::{BundleFile, Digest};
use edgeflow_core::{
    Principal,
    capture::Offered,
    multipart::KeptPart,
    principal::{Action, Resource},
};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path as ObjectPath};
use sha2::{Digest as _, Sha256};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::AsyncReadExt,
    sync::{RwLock, RwLockReadGuard},
};

use crate::app::{App, AppError};

const CHUNK_BYTES: usize = 1 << 20;
/// Parts that are written while the next one comes in: what one upload holds of memory, in [`CHUNK_BYTES`].
const PARTS_IN_FLIGHT: usize = 4;
/// Where bytes are until their digest is known.
const INCOMING: &str = "incoming";
/// Where parts are until their file is put together, in a folder for each upload.
const PARTS: &str = "parts";

/// The artifacts of a control plane, and the folder uploads wait in.
pub(crate) struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// The same, which leaves no empty folder behind what it removes.
    tidy: Arc<dyn ObjectStore>,
    uploads: PathBuf,
    /// Whoever puts bytes into place holds it shared until something refers to them; the collector, which removes bytes
    /// that nothing refers to, holds it alone.
    gate: RwLock<()>,
}

/// Bytes that came in whole and are not yet in their place.
pub(crate) struct Incoming {
    at: ObjectPath,
    /// Their digest.
    pub(crate) sha256: Digest,
    /// How many.
    pub(crate) size_bytes: u64,
}

/// How long bytes nobody refers to stay, for whoever is about to: a client that logs a model in many requests, say.
const GRACE_US: i64 = 3_600_000_000;
/// Doubts settled in one go.
const SETTLED_AT_ONCE: u32 = 256;

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
        let incoming = folder.join(INCOMING);
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming).map_err(AppError::artifact("clearing the folder of uploads"))?;
        }
        let open = || LocalFileSystem::new_with_prefix(&folder).map_err(AppError::artifact("opening the folder of artifacts"));
        let (store, tidy) = (open()?.with_fsync(true), open()?.with_automatic_cleanup(true));
        Ok(Self { store: Arc::new(store), tidy: Arc::new(tidy), uploads, gate: RwLock::new(()) })
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
        self.put(source, &place).await
    }

    async fn put(&self, source: &Path, place: &ObjectPath) -> Result<(), AppError> {
        let mut reader = tokio::fs::File::open(source).await.map_err(AppError::artifact("reading an upload"))?;
        let upload = self.store.put_multipart(place).await.map_err(AppError::artifact("keeping an artifact"))?;
        let mut writer = WriteMultipart::new(upload);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = reader.read(&mut chunk).await.map_err(AppError::artifact("reading an upload"))?;
            if read == 0 {
                break;
            }
            writer.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(AppError::artifact("keeping an artifact"))?;
            writer.write(&chunk[..read]);
        }
        writer.finish().await.map(drop).map_err(AppError::artifact("keeping an artifact"))
    }

    /// Captures have places of their own: they go by age, whoever else has the same bytes.
    fn place_of_capture(offered: &Offered) -> ObjectPath {
        ObjectPath::from(format!("captures/{}/{}/{}.mcap", offered.robot.organisation.as_str(), offered.robot.as_str(), offered.info.id))
    }

    /// Keeps a capture's file.
    pub(crate) async fn keep_capture(&self, source: &Path, offered: &Offered) -> Result<(), AppError> {
        self.put(source, &Self::place_of_capture(offered)).await
    }

    /// Removes a capture's file, whether it is there or not.
    pub(crate) async fn remove_capture(&self, offered: &Offered) -> Result<(), AppError> {
        self.delete(&Self::place_of_capture(offered)).await
    }

    /// A capture's file, or a part of it.
    pub(crate) async fn read_capture(&self, offered: &Offered, range: Option<Range<u64>>) -> Result<ArtifactBytes, AppError> {
        self.read_at(&Self::place_of_capture(offered), offered.info.size_bytes, range).await
    }

    /// Shared, so that bytes may be put into place: held until something refers to them.
    pub(crate) async fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// Takes bytes as they come: hashed while they are written, on disk when this returns, whatever their size in a few
    /// mebibytes of memory.
    pub(crate) async fn receive<S, E>(&self, mut body: S) -> Result<Incoming, AppError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(AppError::artifact("naming an upload"))?;
        let at = ObjectPath::from(format!("{INCOMING}/{}", hex::encode(name)));
        let upload = self.store.put_multipart(&at).await.map_err(AppError::artifact("writing an upload"))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, CHUNK_BYTES);
        let (mut hasher, mut size_bytes) = (Sha256::new(), 0);
        while let Some(chunk) = body.next().await {
            let written = match chunk {
                Ok(chunk) => {
                    hasher.update(&chunk);
                    size_bytes += chunk.len() as u64;
                    let room = writer.wait_for_capacity(PARTS_IN_FLIGHT).await;
                    writer.put(chunk);
                    room.map_err(AppError::artifact("writing an upload"))
                }
                Err(error) => Err(AppError::Upload(error.to_string())),
            };
            if let Err(error) = written {
                // What is left goes when the control plane starts, if not now.
                drop(writer.abort().await);
                return Err(error);
            }
        }
        writer.finish().await.map_err(AppError::artifact("writing an upload"))?;
        let sha256: [u8; 32] = hasher.finalize().into();
        Ok(Incoming { at, sha256: sha256.into(), size_bytes })
    }

    /// Puts what came in where its digest says; the caller holds the gate.
    pub(crate) async fn place_incoming(&self, incoming: &Incoming) -> Result<(), AppError> {
        // What is there already has the same bytes: replacing it is as good as leaving it.
        let place = Self::place(&incoming.sha256.hex());
        self.store.rename(&incoming.at, &place).await.map_err(AppError::artifact("keeping an artifact"))
    }

    fn place_of_part(upload: &str, part: &KeptPart) -> ObjectPath {
        // Of two that come under one number at once, the row says which it is.
        ObjectPath::from(format!("{PARTS}/{upload}/{}-{}", part.number, part.sha256.hex()))
    }

    /// Puts what came in where the parts of its upload are.
    pub(crate) async fn place_part(&self, incoming: &Incoming, upload: &str, part: &KeptPart) -> Result<(), AppError> {
        let place = Self::place_of_part(upload, part);
        self.store.rename(&incoming.at, &place).await.map_err(AppError::artifact("keeping a part"))
    }

    /// The parts of an upload, one after the other.
    pub(crate) fn read_parts(&self, upload: &str, parts: Vec<KeptPart>) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
        let (store, upload) = (self.store.clone(), upload.to_owned());
        let read = move |part: KeptPart| {
            let (store, place) = (store.clone(), Self::place_of_part(&upload, &part));
            async move { store.get(&place).await.map(object_store::GetResult::into_stream) }
        };
        futures::stream::iter(parts).then(read).try_flatten().boxed()
    }

    /// Removes the parts of an upload, whether there are any or not.
    pub(crate) async fn remove_parts(&self, upload: &str) -> Result<(), AppError> {
        let folder = ObjectPath::from(format!("{PARTS}/{upload}"));
        let parts = self.tidy.list(Some(&folder)).map_ok(|part| part.location).boxed();
        let mut gone = self.tidy.delete_stream(parts);
        while let Some(part) = gone.next().await {
            match part {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(AppError::artifact("removing the parts of an upload")(error)),
            }
        }
        Ok(())
    }

    /// Forgets what came in.
    pub(crate) async fn discard(&self, incoming: &Incoming) {
        if let Err(error) = self.store.delete(&incoming.at).await {
            tracing::warn!(%error, "an upload nobody wants was not removed; it goes when the control plane starts");
        }
    }

    /// Removes bytes, whether they are there or not; the caller holds the gate alone.
    async fn remove(&self, sha256: &Digest) -> Result<(), AppError> {
        self.delete(&Self::place(&sha256.hex())).await
    }

    async fn delete(&self, place: &ObjectPath) -> Result<(), AppError> {
        match self.store.delete(place).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(AppError::artifact("removing an artifact")(error)),
        }
    }

    /// All of a small artifact.
    pub(crate) async fn content(&self, sha256: &str, size_bytes: u64) -> Result<Vec<u8>, AppError> {
        let mut bytes = Vec::new();
        let mut stream = self.read(sha256, size_bytes, None).await?.stream;
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(AppError::artifact("reading an artifact"))?);
        }
        Ok(bytes)
    }

    pub(crate) async fn read(&self, sha256: &str, size_bytes: u64, range: Option<Range<u64>>) -> Result<ArtifactBytes, AppError> {
        self.read_at(&Self::place(sha256), size_bytes, range).await
    }

    async fn read_at(&self, place: &ObjectPath, size_bytes: u64, range: Option<Range<u64>>) -> Result<ArtifactBytes, AppError> {
        let range = range.unwrap_or(0..size_bytes);
        if range.is_empty() && size_bytes == 0 {
            return Ok(ArtifactBytes { size_bytes, range, stream: futures::stream::empty().boxed() });
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = self.store.get_opts(place, options).await.map_err(AppError::artifact("reading an artifact"))?;
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

impl App {
    /// Settles what is doubted for longer than a while: bytes that no file, version or robot's desired state refers to are
    /// removed. Answers how many were.
    pub async fn collect_artifacts(&self) -> Result<u64, AppError> {
        let before_us = self.now_us() - GRACE_US;
        let mut removed = 0;
        loop {
            let doubted = self.stores.artifacts.doubted_artifacts(before_us, SETTLED_AT_ONCE).await?;
            if doubted.is_empty() {
                return Ok(removed);
            }
            // Read once: what nothing refers to any more, no robot can newly be told to have.
            let told = self.stores.targets.desired_files().await?;
            for sha256 in &doubted {
                removed += u64::from(self.settle_artifact(sha256, told.contains(&sha256.hex())).await?);
            }
        }
    }

    /// Whether the bytes were removed; not when a robot was `told` to have them.
    async fn settle_artifact(&self, sha256: &Digest, told: bool) -> Result<bool, AppError> {
        // Alone, so that nobody puts the same bytes into place between the question and the removal.
        let _alone = self.artifacts.gate.write().await;
        let referenced = self.stores.artifacts.artifact_referenced(sha256).await?;
        if !referenced {
            if told {
                self.stores.artifacts.doubt_artifact(sha256, self.now_us()).await?;
                return Ok(false);
            }
            self.artifacts.remove(sha256).await?;
            tracing::info!(artifact.sha256 = %sha256, "removed an artifact nobody refers to");
        }
        self.stores.artifacts.settle_artifact(sha256).await?;
        Ok(!referenced)
    }
}
