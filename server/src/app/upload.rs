//! A bundle on its way in: streamed to a folder of its own, which goes away with it.

use edgeflow_bundle::{Bundle, BundleFile, Digest, FILE_NAMES, Source};
use edgeflow_wire::SlotKind;
use std::path::{Path, PathBuf};
use tokio::{
    fs::File,
    io::{AsyncWriteExt, BufWriter},
};

use crate::app::AppError;

/// Most files of a bundle that is no model.
const MAX_FILES: usize = 1_000;
/// Longest name of one, bytes.
const MAX_NAME_BYTES: usize = 200;

/// A bundle on its way in. Dropping it forgets it.
pub struct Upload {
    folder: tempfile::TempDir,
    kind: SlotKind,
    files: Vec<String>,
    open: Option<BufWriter<File>>,
    taken_bytes: u64,
    limit_bytes: u64,
}

impl Upload {
    pub(crate) fn begin(uploads: &Path, limit_bytes: u64, kind: SlotKind) -> Result<Self, AppError> {
        let folder = tempfile::TempDir::new_in(uploads).map_err(AppError::artifact("making a folder for an upload"))?;
        Ok(Self { folder, kind, files: Vec::new(), open: None, taken_bytes: 0, limit_bytes })
    }

    /// What follows is the file `name`.
    pub async fn file(&mut self, name: &str) -> Result<(), AppError> {
        self.flush().await?;
        if self.kind.is_model() && !FILE_NAMES.contains(&name) {
            return Err(AppError::Invalid(format!(
                "the part {name:?} has no meaning in a bundle: send \"model.onnx\" and, if you have them, \"edgeflow.yaml\", \"baseline.json\" and \"golden.json\""
            )));
        }
        let plain = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if !plain || name.chars().any(char::is_control) {
            let rule = format!("use 1 to {MAX_NAME_BYTES} bytes without slashes, not beginning with a dot; pack folders into an archive");
            return Err(AppError::Invalid(format!("the part {name:?} is no name of a bundle's file: {rule}")));
        }
        if self.files.len() >= MAX_FILES {
            return Err(AppError::Invalid(format!("a bundle has at most {MAX_FILES} files: pack them into an archive")));
        }
        if self.files.iter().any(|file| file == name) {
            return Err(AppError::Invalid(format!("the part {name:?} was sent twice")));
        }
        let file = File::create(self.path(name)).await.map_err(AppError::artifact("writing an upload"))?;
        self.open = Some(BufWriter::with_capacity(1 << 18, file));
        self.files.push(name.to_owned());
        Ok(())
    }

    /// What follows is the file `name` in the place of what it was.
    pub(crate) async fn again(&mut self, name: &str) -> Result<(), AppError> {
        self.flush().await?;
        self.files.retain(|file| file != name);
        self.file(name).await
    }

    /// More of the current file.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), AppError> {
        self.taken_bytes += chunk.len() as u64;
        if self.taken_bytes > self.limit_bytes {
            return Err(AppError::TooLarge { what: "the bundle".to_owned(), limit_bytes: self.limit_bytes });
        }
        match &mut self.open {
            Some(file) => file.write_all(chunk).await.map_err(AppError::artifact("writing an upload")),
            None => Err(AppError::Invalid("bytes came before the name of their file".to_owned())),
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<(), AppError> {
        if let Some(mut file) = self.open.take() {
            file.flush().await.map_err(AppError::artifact("writing an upload"))?;
        }
        Ok(())
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What came is said to be.
    pub(crate) fn kind(&self) -> SlotKind {
        self.kind
    }

    /// The files of what is no model: they are as they are.
    pub(crate) async fn finish_files(&mut self) -> Result<Vec<BundleFile>, AppError> {
        self.flush().await?;
        if self.files.is_empty() {
            return Err(AppError::Invalid("the bundle has no files".to_owned()));
        }
        self.files.sort();
        let files: Vec<(String, PathBuf)> = self.files.iter().map(|name| (name.clone(), self.path(name))).collect();
        let read = tokio::task::spawn_blocking(move || {
            let one = |(path, file): (String, PathBuf)| {
                Digest::of_reader(std::fs::File::open(file)?).map(|(sha256, size_bytes)| BundleFile { path, size_bytes, sha256 })
            };
            files.into_iter().map(one).collect::<std::io::Result<Vec<_>>>()
        });
        read.await.map_err(AppError::artifact("reading an upload"))?.map_err(AppError::artifact("reading an upload"))
    }

    /// Reads and checks what came: digests, schema, manifest, and whether they fit.
    pub(crate) async fn finish(&mut self) -> Result<Bundle, AppError> {
        self.flush().await?;
        let files: Vec<(String, Source)> = self.files.iter().map(|name| (name.clone(), Source::Path(self.path(name)))).collect();
        let read = tokio::task::spawn_blocking(move || Bundle::from_files(files)).await;
        read.map_err(AppError::artifact("checking a bundle"))?.map_err(|error| AppError::Invalid(error.to_string()))
    }
}
