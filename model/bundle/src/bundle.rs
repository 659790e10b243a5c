//! A bundle as files: which there are, what identifies them, what they say.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::HashingReader;
use crate::{BundleFile, Digest, Error, GOLDEN_FILE, Golden, Manifest, OnnxSchema, Result, bundle_digest, check_manifest};

/// The graph with its weights.
pub const MODEL_FILE: &str = "model.onnx";
/// The manifest.
pub const MANIFEST_FILE: &str = "edgeflow.yaml";
/// The drift baseline.
pub const BASELINE_FILE: &str = "baseline.json";
/// All names a bundle of this version may hold.
pub const FILE_NAMES: [&str; 4] = [MODEL_FILE, MANIFEST_FILE, BASELINE_FILE, GOLDEN_FILE];

const MAX_MANIFEST_BYTES: u64 = 1 << 20;
const MAX_BASELINE_BYTES: u64 = 16 << 20;
const MAX_GOLDEN_BYTES: u64 = 64 << 20;

/// Where the content of one file of a bundle is.
#[derive(Debug, Clone)]
pub enum Source {
    /// On disk, read as a stream.
    Path(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// A bundle that has been read and checked: every digest taken, the graph's schema read, manifest and graph fitting.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its files, sorted by path.
    pub files: Vec<BundleFile>,
    /// Its identity.
    pub digest: Digest,
    /// Digest of `model.onnx` alone: a new baseline is a new bundle of the same model.
    pub model_digest: Digest,
    /// What the graph takes and gives.
    pub schema: OnnxSchema,
    /// `edgeflow.yaml`, when there is one.
    pub manifest: Option<Manifest>,
    /// Text of `baseline.json`, when there is one; `edgeflow_drift` reads it.
    pub baseline: Option<String>,
    /// `golden.json`, when there is one.
    pub golden: Option<Golden>,
}

impl Bundle {
    /// Reads the bundle in a folder. The model is read once, as a stream: hashed and parsed as it goes by.
    ///
    /// # Errors
    /// [`Error`] names the file and what is wrong with it.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let read = |source| Error::Read { path: dir.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            files.push((entry.file_name().to_string_lossy().into_owned(), Source::Path(entry.path())));
        }
        Bundle::read(&dir.display().to_string(), files)
    }

    /// Reads a bundle whose files are wherever they are, by their names in the bundle: an upload, a store.
    ///
    /// # Errors
    /// [`Error`] names the file and what is wrong with it.
    pub fn from_files(files: impl IntoIterator<Item = (String, Source)>) -> Result<Self> {
        Bundle::read("the bundle", files.into_iter().collect())
    }

    fn read(place: &str, mut sources: Vec<(String, Source)>) -> Result<Self> {
        sources.sort_by(|a, b| a.0.cmp(&b.0));
        for (i, (name, _)) in sources.iter().enumerate() {
            if !FILE_NAMES.contains(&name.as_str()) || (i > 0 && sources[i - 1].0 == *name) {
                return Err(Error::UnexpectedFile { place: place.to_owned(), name: name.clone() });
            }
        }
        let mut files = Vec::new();
        let mut model = None;
        let mut manifest = None;
        let mut baseline = None;
        let mut golden = None;
        for (name, source) in &sources {
            let (sha256, size_bytes) = if name == MODEL_FILE {
                let (schema, sha256, size_bytes) = read_model(source)?;
                model = Some((schema, sha256));
                (sha256, size_bytes)
            } else {
                let (text, limit) = match name.as_str() {
                    MANIFEST_FILE => (&mut manifest, MAX_MANIFEST_BYTES),
                    GOLDEN_FILE => (&mut golden, MAX_GOLDEN_BYTES),
                    _ => (&mut baseline, MAX_BASELINE_BYTES),
                };
                let bytes = read_small(name, source, limit)?;
                let identity = (Digest::of(&bytes), bytes.len() as u64);
                *text = Some(utf8(name, bytes)?);
                identity
            };
            files.push(BundleFile { path: name.clone(), size_bytes, sha256 });
        }
        let (schema, model_digest) = model.ok_or_else(|| Error::NoModel { place: place.to_owned() })?;
        let manifest = manifest.map(|text| Manifest::parse(&text)).transpose()?;
        if let Some(manifest) = &manifest {
            check_manifest(&schema, manifest)?;
        }
        let golden = golden.map(|text| Golden::parse(&text, &schema)).transpose()?;
        Ok(Bundle { digest: bundle_digest(&files), files, model_digest, schema, manifest, baseline, golden })
    }

    /// Class names in class order; empty when the manifest names none.
    pub fn labels(&self) -> &[String] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.labels)
    }

    /// Sum of its files' sizes.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

fn open(path: &Path) -> Result<File> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.is_dir() {
        return Err(read(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

fn read_model(source: &Source) -> Result<(OnnxSchema, Digest, u64)> {
    fn through(reader: impl Read) -> Result<(OnnxSchema, Digest, u64)> {
        let mut hashing = HashingReader::new(reader);
        let schema = OnnxSchema::read(&mut hashing)?;
        let (digest, size) = hashing.finish();
        Ok((schema, digest, size))
    }
    match source {
        Source::Path(path) => through(open(path)?),
        Source::Bytes(bytes) => through(&bytes[..]),
    }
}

fn read_small(name: &str, source: &Source, limit_bytes: u64) -> Result<Vec<u8>> {
    let too_large = |size_bytes| Error::TooLarge { name: name.to_owned(), size_bytes, limit_bytes };
    let bytes = match source {
        Source::Bytes(bytes) => bytes.clone(),
        Source::Path(path) => {
            let read = |source| Error::Read { path: path.clone(), source };
            let file = open(path)?;
            let size_bytes = file.metadata().map_err(read)?.len();
            if size_bytes > limit_bytes {
                return Err(too_large(size_bytes));
            }
            let mut bytes = Vec::new();
            file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(read)?;
            bytes
        }
    };
    if bytes.len() as u64 > limit_bytes {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

fn utf8(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        Error::Syntax { file: name.to_owned(), line, column, message: "not UTF-8; save it as UTF-8 text".to_owned() }
    })
}
