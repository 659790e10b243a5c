//! `output`: from tensors to what they mean. One decoder per kind of answer, each with its own keys.

use serde::{Deserialize, Serialize};

use super::value;
use crate::Result;

/// What the output means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decode", rename_all = "snake_case", deny_unknown_fields)]
pub enum OutputSpec {
    /// The class with the greatest score.
    Classification(ClassificationSpec),
    /// Boxes with classes.
    Detection(DetectionSpec),
    /// A class per pixel.
    Segmentation(SegmentationSpec),
    /// Numbers, handed on as tensors.
    Regression(TensorsSpec),
    /// A vector that stands for the frame, handed on as a tensor.
    Embedding(TensorsSpec),
}

/// One score per class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationSpec {
    /// Graph output with one score per class, `[1, classes]` or `[classes]`. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// What makes scores of the graph's numbers.
    #[serde(default)]
    pub activation: Activation,
    /// Least score of a class in the list of classes. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_threshold: Option<f32>,
    /// Most classes in the list of classes.
    #[serde(default = "five")]
    pub top_k: u32,
}

/// Boxes with classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionSpec {
    /// How the graph writes boxes down.
    pub format: DetectionFormat,
    /// The YOLO formats: graph output with everything. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// ssd, detr: graph output with the boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// ssd, detr: graph output with the scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// ssd: graph output with the class of each box, where scores have one number per box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// ssd: order of a box's numbers. Absent: xyxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corners: Option<Corners>,
    /// ssd: the class that is no object. Absent: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<u32>,
    /// Unit of the boxes. Absent: as the format usually has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
    /// What makes scores of the graph's numbers. Absent: as the format usually has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Least score of a detection, 0 to 1.
    #[serde(default = "quarter")]
    pub score_threshold: f32,
    /// Greatest overlap (intersection over union) of two detections of one class, 0 to 1; with 1 nothing is suppressed.
    /// Absent: 0.45, or 1 for formats that need no suppression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iou_threshold: Option<f32>,
    /// Most detections of a frame.
    #[serde(default = "three_hundred")]
    pub max_detections: u32,
}

/// How a graph writes boxes down; `n` boxes, `c` classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectionFormat {
    /// `[1, n, 5 + c]`: centre x, centre y, width, height, objectness, class scores.
    Yolov5,
    /// `[1, 4 + c, n]`: rows of centre x, centre y, width, height and class scores.
    Yolov8,
    /// `[1, n, 6]`: left, top, right, bottom, score, class; suppressed already.
    Yolov10,
    /// Corners `[1, n, 4]` and scores `[1, n, c]`, or scores `[1, n]` and classes `[1, n]`.
    Ssd,
    /// Logits `[1, n, c + 1]`, the last of no object, and boxes `[1, n, 4]`: centre x, centre y, width, height.
    Detr,
}

impl DetectionFormat {
    /// As the manifest says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yolov5 => "yolov5",
            Self::Yolov8 => "yolov8",
            Self::Yolov10 => "yolov10",
            Self::Ssd => "ssd",
            Self::Detr => "detr",
        }
    }

    /// Whether one output has everything.
    pub fn is_one_tensor(self) -> bool {
        matches!(self, Self::Yolov5 | Self::Yolov8 | Self::Yolov10)
    }
}

impl DetectionSpec {
    /// Unit of the boxes.
    pub fn coordinates(&self) -> Coordinates {
        self.coordinates.unwrap_or(if self.format.is_one_tensor() { Coordinates::Pixels } else { Coordinates::Normalised })
    }

    /// What makes scores of the graph's numbers.
    pub fn activation(&self) -> Activation {
        self.activation.unwrap_or(if self.format == DetectionFormat::Detr { Activation::Softmax } else { Activation::None })
    }

    /// Greatest overlap of two detections of one class.
    pub fn iou_threshold(&self) -> f32 {
        let suppressed_already = matches!(self.format, DetectionFormat::Yolov10 | DetectionFormat::Detr);
        self.iou_threshold.unwrap_or(if suppressed_already { 1.0 } else { 0.45 })
    }

    /// Whether the last of the class scores stands for no object.
    pub fn has_no_object_class(&self) -> bool {
        self.format == DetectionFormat::Detr && self.activation() == Activation::Softmax
    }
}

/// Order of a box's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corners {
    /// Left, top, right, bottom.
    #[default]
    Xyxy,
    /// Top, left, bottom, right, as TensorFlow has it.
    Yxyx,
}

/// Unit of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// Pixels of the graph's input.
    Pixels,
    /// Parts of the graph's input, 0 to 1.
    Normalised,
}

/// What makes a score of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// It is one already.
    #[default]
    None,
    /// `1 / (1 + exp(-x))`, each class on its own.
    Sigmoid,
    /// `exp(x) / sum(exp(x))` over the classes.
    Softmax,
}

/// A class per pixel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationSpec {
    /// Graph output: scores `[1, classes, height, width]`, or classes `[1, height, width]` or `[1, 1, height, width]` in
    /// whole numbers. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// With one channel of scores: what makes scores of the graph's numbers.
    #[serde(default)]
    pub activation: Activation,
    /// With one channel of scores: the least score of a pixel of class 1.
    #[serde(default = "half")]
    pub score_threshold: f32,
}

/// Tensors handed on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorsSpec {
    /// Graph outputs, in the order in which they are published. Empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
}

fn five() -> u32 {
    5
}

fn three_hundred() -> u32 {
    300
}

fn quarter() -> f32 {
    0.25
}

fn half() -> f32 {
    0.5
}

impl OutputSpec {
    /// Whether the answer is in a frame's pixels.
    pub fn wants_frames(&self) -> bool {
        matches!(self, Self::Detection(_) | Self::Segmentation(_))
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self {
            Self::Classification(spec) => {
                if spec.score_threshold.is_some_and(f32::is_nan) {
                    return Err(value("output.score_threshold", "is no number".to_owned()));
                }
                at_least_one("output.top_k", spec.top_k)
            }
            Self::Detection(spec) => spec.validate(),
            Self::Segmentation(spec) => {
                if spec.activation == Activation::Softmax {
                    return Err(value("output.activation", "softmax changes no argmax; take it out".to_owned()));
                }
                part("output.score_threshold", spec.score_threshold)
            }
            Self::Regression(spec) | Self::Embedding(spec) => {
                match spec.tensors.iter().enumerate().find(|(i, t)| spec.tensors[..*i].contains(t)) {
                    Some((_, twice)) => Err(value("output.tensors", format!("{twice:?} is there twice; name each output once"))),
                    None => Ok(()),
                }
            }
        }
    }
}

impl DetectionSpec {
    fn validate(&self) -> Result<()> {
        use DetectionFormat::Ssd;
        let one = self.format.is_one_tensor();
        let stray = [
            (self.tensor.is_some() && !one, "output.tensor"),
            (self.boxes.is_some() && one, "output.boxes"),
            (self.scores.is_some() && one, "output.scores"),
            (self.classes.is_some() && self.format != Ssd, "output.classes"),
            (self.corners.is_some() && self.format != Ssd, "output.corners"),
            (self.background.is_some() && self.format != Ssd, "output.background"),
        ];
        if let Some((_, key)) = stray.into_iter().find(|(stray, _)| *stray) {
            return Err(value(key, format!("means nothing in the format {}; take it out", self.format.name())));
        }
        for (key, name) in [("output.boxes", &self.boxes), ("output.scores", &self.scores)] {
            if !one && name.is_none() {
                return Err(value(
                    key,
                    format!("is missing; the format {} has its boxes and scores in two outputs: name both", self.format.name()),
                ));
            }
        }
        if self.activation() == Activation::Softmax && (one || self.classes.is_some()) {
            return Err(value("output.activation", "softmax needs one score per class for each box; give none or sigmoid".to_owned()));
        }
        part("output.score_threshold", self.score_threshold)?;
        part("output.iou_threshold", self.iou_threshold())?;
        at_least_one("output.max_detections", self.max_detections)
    }
}

fn part(key: &'static str, given: f32) -> Result<()> {
    if (0.0..=1.0).contains(&given) { Ok(()) } else { Err(value(key, format!("{given} is out of range; give 0 to 1"))) }
}

fn at_least_one(key: &'static str, given: u32) -> Result<()> {
    if given > 0 { Ok(()) } else { Err(value(key, "0 would give nothing; give 1 or more".to_owned())) }
}
