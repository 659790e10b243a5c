//! Model bundles: what robot and control plane must agree on about a model.
//!
//! A bundle is a folder with `model.onnx` and, optionally, `edgeflow.yaml` (how a frame becomes the graph's input and
//! what its output means), `baseline.json` (the drift reference) and `golden.json` (inputs whose right outputs are known). Its identity is its [bundle digest](bundle_digest),
//! which is what desired state, inference results and lineage carry. Nothing here runs a model: the
//! [schema](OnnxSchema) is read from the ONNX protobuf, in one pass that hashes the file as it goes by.

mod bundle;
mod check;
mod digest;
mod error;
mod external;
mod golden;
mod manifest;
mod onnx;
mod report;
mod schema;

pub use bundle::{BASELINE_FILE, Bundle, FILE_NAMES, MANIFEST_FILE, MODEL_FILE, Source};
pub use check::check_manifest;
pub use digest::{BundleFile, Digest, bundle_digest};
pub use error::{Error, Result};
pub use external::{Piece, whole_model};
pub use golden::{GOLDEN_FILE, Golden, GoldenCase, GoldenData, GoldenTensor};
pub use manifest::{
    Activation, Anchor, ArraySpec, ClassificationSpec, Coordinates, Corners, DetectionFormat, DetectionSpec, Encoding, Filter, ImageSpec,
    ImuField, ImuSpec, InputSpec, JointField, JointStateSpec, Layout, Manifest, OutputSpec, PixelType, PointCloudSpec, Resize, ResizeMode,
    RowLayout, Rows, SegmentationSpec, TensorsSpec, WhenFewer, WhenMore, WindowSpec,
};
pub use report::GraphReport;
pub use schema::{ElemType, OnnxSchema, ValueInfo, ValueKind};
