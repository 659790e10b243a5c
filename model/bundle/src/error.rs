//! What can be wrong with a bundle.

use std::io;
use std::path::PathBuf;

/// What can be wrong with a bundle. Messages name the file and say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no digest.
    #[error("{given:?} is no digest: expected \"sha256:\" and 64 hex digits")]
    Digest {
        /// The text.
        given: String,
    },
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no `model.onnx`.
    #[error(
        "{place} has no model.onnx: a bundle is a folder with model.onnx and, optionally, edgeflow.yaml, baseline.json and golden.json"
    )]
    NoModel {
        /// The bundle.
        place: String,
    },
    /// A file whose name has no meaning in a bundle, or is there twice.
    #[error(
        "{place} holds {name:?}: a bundle holds model.onnx, edgeflow.yaml, baseline.json and golden.json, each at most once; take it out"
    )]
    UnexpectedFile {
        /// The bundle.
        place: String,
        /// The file.
        name: String,
    },
    /// A text file of the bundle is larger than it can sensibly be.
    #[error("{name} has {size_bytes} bytes, more than the {limit_bytes} it may have")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A text file does not parse: bad YAML, an unknown key, a missing key, a value of the wrong kind.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// `edgeflow.yaml` parses, but a value makes no sense.
    #[error("{file}: {key}: {message}")]
    ManifestValue {
        /// The file.
        file: String,
        /// Key, dotted.
        key: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// `model.onnx` is no whole ONNX model.
    #[error("model.onnx is not a readable ONNX model: {message}; export or copy it again")]
    Onnx {
        /// What is wrong, and where.
        message: String,
    },
    /// `golden.json` parses, but makes no sense or does not fit the graph.
    #[error("golden.json: {message}")]
    Golden {
        /// What is wrong, in which case.
        message: String,
    },
    /// Graph and manifest do not fit each other.
    #[error("edgeflow.yaml does not fit model.onnx: {message}")]
    Mismatch {
        /// What does not fit, expected and given.
        message: String,
    },
}

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
