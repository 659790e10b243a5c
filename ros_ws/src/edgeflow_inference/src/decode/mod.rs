//! From the graph's outputs to what they mean, by the bundle's manifest.

mod activation;
mod boxes;
mod classification;
mod detection;
mod nms;
mod segmentation;

use std::borrow::Cow;

use edgeflow_bundle::{Manifest, OutputSpec};

use crate::image::Placement;
use crate::tensor::{Data, Tensor, TensorSpec};
use crate::{Error, Result};

pub use classification::{Classification, ClassificationDecoder};
pub use detection::{Detection, DetectionDecoder};
pub use nms::{Candidate, suppress};
pub use segmentation::{LabelImage, Labels, SegmentationDecoder};

/// What one run's outputs mean.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// These of the outputs, by their place among them, are handed on as they are.
    Tensors(Vec<usize>),
    /// A class.
    Classification(Classification),
    /// Boxes in the frame's pixels, best first.
    Detections(Vec<Detection>),
    /// A class for each of the frame's pixels.
    Segmentation(LabelImage),
}

/// What is asked of a decoder in place of what the manifest says; `None`: as the manifest says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Least score.
    pub score_threshold: Option<f32>,
    /// Greatest overlap of two detections of one class.
    pub iou_threshold: Option<f32>,
    /// Most detections of a frame.
    pub max_detections: Option<usize>,
    /// Most classes of a classification.
    pub top_k: Option<usize>,
}

/// How one model's outputs are read.
#[derive(Clone, Debug)]
pub enum Decoder {
    /// Tensors are handed on as they are: these outputs, or all of them when none is named.
    Tensors(Vec<String>),
    /// One score per class.
    Classification(ClassificationDecoder),
    /// Boxes.
    Detection(DetectionDecoder),
    /// A class per pixel.
    Segmentation(SegmentationDecoder),
}

impl Decoder {
    /// The decoder a manifest asks for, for a graph with these outputs.
    ///
    /// # Errors
    /// [`Error::Decode`] when an output it wants is not there or cannot be told.
    pub fn new(manifest: Option<&Manifest>, outputs: &[TensorSpec]) -> Result<Self> {
        let Some((manifest, output)) = manifest.and_then(|m| Some((m, m.output.as_ref()?))) else { return Ok(Self::Tensors(Vec::new())) };
        let labels = &manifest.labels;
        Ok(match output {
            OutputSpec::Classification(spec) => Self::Classification(ClassificationDecoder::new(spec, labels, outputs)?),
            OutputSpec::Detection(spec) => Self::Detection(DetectionDecoder::new(spec, labels.len(), outputs)?),
            OutputSpec::Segmentation(spec) => Self::Segmentation(SegmentationDecoder::new(spec, labels.len(), outputs)?),
            OutputSpec::Regression(spec) | OutputSpec::Embedding(spec) => Self::Tensors(spec.tensors.clone()),
        })
    }

    /// Reads one run's outputs. `placement` says where the frame is in the input; what is in a frame's pixels is handed on
    /// raw when there was no frame.
    ///
    /// # Errors
    /// [`Error::Decode`] when they are not what the manifest says.
    pub fn decode(&self, outputs: &[Tensor], placement: Option<&Placement>, asked: &Thresholds) -> Result<Decoded> {
        let all = || Decoded::Tensors((0..outputs.len()).collect());
        Ok(match (self, placement) {
            (Self::Classification(decoder), _) => Decoded::Classification(decoder.decode(outputs, asked)?),
            (Self::Detection(decoder), Some(at)) => Decoded::Detections(decoder.decode(outputs, at, asked)?),
            (Self::Segmentation(decoder), Some(at)) => Decoded::Segmentation(decoder.decode(outputs, at, asked)?),
            (Self::Detection(_) | Self::Segmentation(_), None) => all(),
            (Self::Tensors(names), _) if names.is_empty() => all(),
            (Self::Tensors(names), _) => {
                let place = |name: &String| outputs.iter().position(|t| t.name == *name).ok_or_else(|| missing(outputs, name));
                Decoded::Tensors(names.iter().map(place).collect::<Result<_>>()?)
            }
        })
    }

    /// Least score of what is decoded; `None` where scores have none.
    pub fn score_threshold(&self) -> Option<f32> {
        match self {
            Self::Tensors(_) => None,
            Self::Classification(decoder) => decoder.score_threshold(),
            Self::Detection(decoder) => Some(decoder.score_threshold()),
            Self::Segmentation(decoder) => Some(decoder.score_threshold()),
        }
    }
}

fn refuse(reason: String) -> Error {
    Error::Decode { reason }
}

fn missing(outputs: &[Tensor], name: &str) -> Error {
    let names: Vec<&str> = outputs.iter().map(|t| t.name.as_str()).collect();
    refuse(format!("no output `{name}`; the graph gives {names:?}"))
}

/// The output a manifest names, or the only one.
fn the_only(name: Option<&String>, outputs: &[TensorSpec], key: &str) -> Result<String> {
    match (name, outputs) {
        (Some(name), _) => Ok(name.clone()),
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(refuse(format!("the graph has several outputs; name one as `{key}` in edgeflow.yaml"))),
    }
}

/// One of a run's outputs.
fn output<'a>(outputs: &'a [Tensor], name: &str) -> Result<&'a Tensor> {
    outputs.iter().find(|t| t.name == name).ok_or_else(|| missing(outputs, name))
}

/// As many labels as there are classes, if there are labels at all; `what` the output has of them.
fn check_labels(output: &str, classes: usize, what: &str, labels: usize) -> Result<()> {
    if labels == 0 || labels == classes {
        return Ok(());
    }
    Err(refuse(format!(
        "output `{output}` has {classes} {what}, but {labels} labels are named; mend those of edgeflow.yaml or the parameter `labels`"
    )))
}

/// An output's floats.
fn numbers<'a>(tensor: &'a Tensor, what: &str) -> Result<Cow<'a, [f32]>> {
    Ok(match &tensor.data {
        Data::F32(v) => Cow::Borrowed(v),
        Data::F64(v) => Cow::Owned(v.iter().map(|x| *x as f32).collect()),
        Data::F16(v) => Cow::Owned(v.iter().map(|x| x.to_f32()).collect()),
        Data::BF16(v) => Cow::Owned(v.iter().map(|x| x.to_f32()).collect()),
        other => return Err(refuse(format!("output `{}` is {}; {what} are floats", tensor.name, other.element_type()))),
    })
}

/// An output's whole numbers; `None` when it has none.
fn whole_numbers(data: &Data) -> Option<Vec<i64>> {
    Some(match data {
        Data::U8(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::I8(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::U16(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::I16(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::U32(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::I32(v) => v.iter().map(|x| i64::from(*x)).collect(),
        Data::U64(v) => v.iter().map(|x| i64::try_from(*x).unwrap_or(i64::MAX)).collect(),
        Data::I64(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|x| i64::from(*x)).collect(),
        _ => return None,
    })
}
