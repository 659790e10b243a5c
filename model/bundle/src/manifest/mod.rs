//! `edgeflow.yaml`: how a message becomes the graph's input, and what the graph's output means. README.md of this crate
//! is its reference.

mod image;
mod input;
mod output;
mod rows;

use serde::{Deserialize, Serialize};

use crate::{Error, GoldenTensor, MANIFEST_FILE, Result};

pub use image::{Anchor, Encoding, Filter, ImageSpec, Layout, PixelType, Resize, ResizeMode};
pub use input::InputSpec;
pub use output::{
    Activation, ClassificationSpec, Coordinates, Corners, DetectionFormat, DetectionSpec, OutputSpec, SegmentationSpec, TensorsSpec,
};
pub use rows::{
    ArraySpec, ImuField, ImuSpec, JointField, JointStateSpec, PointCloudSpec, RowLayout, Rows, WhenFewer, WhenMore, WindowSpec,
};

/// Content of `edgeflow.yaml`. Unknown keys are errors: a misspelt one must not silently do nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(deserialize = "I: Deserialize<'de>"))]
pub struct Manifest<I = InputSpec> {
    /// Version of the format: 1.
    pub v: u32,
    /// How a message becomes the graph's input. Absent: the model takes tensors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<I>,
    /// Graph inputs that are the same for every message, beside the one `input` fills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<GoldenTensor>,
    /// What the output means. Absent: raw tensors are handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    /// Class names in class order. Empty: classes have numbers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// Only whether `input` says of which kind it is.
#[derive(Deserialize)]
struct Kind {
    input: Option<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    kind: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads and checks a manifest; `text` is the content of `edgeflow.yaml`.
    ///
    /// # Errors
    /// [`Error::Syntax`] with line and column, or [`Error::ManifestValue`] with the key.
    pub fn parse(text: &str) -> Result<Self> {
        // Reading a kind first costs the parser the place of a mistake, so what names none, as most do, is read as an image.
        let kind: Option<Kind> = serde_norway::from_str(text).ok();
        let manifest: Self = if kind.and_then(|kind| kind.input).is_some_and(|input| input.kind.is_some()) {
            serde_norway::from_str(text).map_err(|error| syntax(&error))?
        } else {
            let Manifest { v, input, constants, output, labels } =
                serde_norway::from_str::<Manifest<ImageSpec>>(text).map_err(|error| syntax(&error))?;
            Self { v, input: input.map(InputSpec::Image), constants, output, labels }
        };
        manifest.validate()?;
        Ok(manifest)
    }

    /// As `edgeflow.yaml`, every default spelled out.
    ///
    /// # Errors
    /// [`Error::ManifestValue`] when it makes no sense.
    pub fn to_yaml(&self) -> Result<String> {
        self.validate()?;
        serde_norway::to_string(self).map_err(|error| syntax(&error))
    }

    fn validate(&self) -> Result<()> {
        if self.v != 1 {
            return Err(value("v", format!("{} is a version this program does not know; it knows 1", self.v)));
        }
        if let Some(input) = &self.input {
            input.validate()?;
        }
        if let Some(output) = &self.output {
            output.validate()?;
            if output.wants_frames() && self.input.as_ref().is_none_or(|input| input.image().is_none()) {
                return Err(value("output.decode", "boxes and label images are in a frame's pixels; describe the frame as `input`".into()));
            }
        }
        if !self.constants.is_empty() && self.input.is_none() {
            return Err(value("constants", "mean something beside `input` only: who sends tensors sends them all; take them out".into()));
        }
        for (i, label) in self.labels.iter().enumerate() {
            if label.is_empty() {
                return Err(value("labels", format!("label {i} is empty; give every class a name")));
            }
            if self.labels[..i].contains(label) {
                return Err(value("labels", format!("{label:?} is there twice; give every class a name of its own")));
            }
        }
        Ok(())
    }
}

fn value(key: &'static str, message: String) -> Error {
    Error::ManifestValue { file: MANIFEST_FILE.to_owned(), key, message }
}

fn syntax(error: &serde_norway::Error) -> Error {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let text = error.to_string();
    // The parser ends its messages with the place, which the error names in front.
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    Error::Syntax { file: MANIFEST_FILE.to_owned(), line, column, message }
}
