//! `edgeflow.yaml`: how a frame becomes the graph's input, and what the graph's output means.

use serde::{Deserialize, Serialize};

use crate::{Error, MANIFEST_FILE, Result};

/// Greatest edge length, in pixels, that a frame may be resized to.
const MAX_EDGE: u32 = 16_384;

/// Content of `edgeflow.yaml`. Unknown keys are errors: a misspelt one must not silently do nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: 1.
    pub v: u32,
    /// How a frame becomes the graph's input. Absent: the model takes tensors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// What the output means. Absent: raw tensors are handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    /// Class names in class order. Empty: classes have numbers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// How a frame becomes the graph's input: converted to `encoding`, resized, then per channel
/// `value = ((invert ? 255 - pixel : pixel) * scale - mean) / std`, laid out as `layout`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Graph input to fill. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// Pixel format frames are converted to.
    pub encoding: Encoding,
    /// Size the model wants. Absent: frames as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Order of the elements.
    pub layout: Layout,
    /// Factor on pixel values, which are 0 to 255.
    #[serde(default = "one")]
    pub scale: f32,
    /// Subtracted after `scale`; one value, or one per channel.
    #[serde(default = "zeros")]
    pub mean: Vec<f32>,
    /// Divided by after `mean`; one value, or one per channel.
    #[serde(default = "ones")]
    pub std: Vec<f32>,
    /// Take `255 - pixel`: dark on light for a model trained light on dark.
    #[serde(default)]
    pub invert: bool,
}

impl InputSpec {
    /// `mean` of one channel, counted from 0.
    pub fn mean_of(&self, channel: usize) -> f32 {
        pick(&self.mean, channel, 0.0)
    }

    /// `std` of one channel, counted from 0.
    pub fn std_of(&self, channel: usize) -> f32 {
        pick(&self.std, channel, 1.0)
    }
}

fn pick(values: &[f32], channel: usize, default: f32) -> f32 {
    values.get(channel).or(values.first()).copied().unwrap_or(default)
}

fn one() -> f32 {
    1.0
}

fn zeros() -> Vec<f32> {
    vec![0.0]
}

fn ones() -> Vec<f32> {
    vec![1.0]
}

/// Pixel format, named as in `sensor_msgs/image_encodings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One channel, 8 bits.
    Mono8,
    /// Red, green, blue, 8 bits each.
    Rgb8,
    /// Blue, green, red, 8 bits each.
    Bgr8,
}

impl Encoding {
    /// Channels per pixel.
    pub fn channels(self) -> usize {
        match self {
            Encoding::Mono8 => 1,
            Encoding::Rgb8 | Encoding::Bgr8 => 3,
        }
    }

    /// Its name in ROS.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Mono8 => "mono8",
            Encoding::Rgb8 => "rgb8",
            Encoding::Bgr8 => "bgr8",
        }
    }
}

/// Size and manner of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What happens when the aspect ratio differs.
    #[serde(default)]
    pub mode: ResizeMode,
    /// How pixels are averaged.
    #[serde(default)]
    pub filter: Filter,
}

/// What a resize does when the aspect ratio differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Both axes are scaled on their own; the aspect ratio is lost.
    #[default]
    Stretch,
}

/// How a resize averages pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The one pixel at the centre.
    Nearest,
    /// Mean over the area: what to shrink with.
    Box,
    /// Triangle, widened when shrinking.
    #[default]
    Bilinear,
}

/// Order of the elements of an image tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[1, height * width * channels]`, row by row, channels together.
    Flat,
    /// `[1, channels, height, width]`.
    Nchw,
    /// `[1, height, width, channels]`.
    Nhwc,
}

/// What the output means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Decoder.
    pub decode: Decode,
    /// Graph output with one score per class, `[1, classes]` or `[classes]`. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
}

/// How an output is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// The class with the greatest score.
    Classification,
}

impl Manifest {
    /// Reads and checks a manifest; `text` is the content of `edgeflow.yaml`.
    ///
    /// # Errors
    /// [`Error::Syntax`] with line and column, or [`Error::ManifestValue`] with the key.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Manifest = serde_norway::from_str(text).map_err(|error| syntax(&error))?;
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

impl InputSpec {
    fn validate(&self) -> Result<()> {
        if let Some(resize) = &self.resize {
            for (key, edge) in [("input.resize.width", resize.width), ("input.resize.height", resize.height)] {
                if edge == 0 || edge > MAX_EDGE {
                    return Err(value(key, format!("{edge} is out of range; give 1 to {MAX_EDGE} pixels")));
                }
            }
        }
        if !(self.scale.is_finite() && self.scale != 0.0) {
            return Err(value("input.scale", format!("{} would make every pixel the same; give a finite number other than 0", self.scale)));
        }
        let channels = self.encoding.channels();
        for (key, values) in [("input.mean", &self.mean), ("input.std", &self.std)] {
            if values.len() != 1 && values.len() != channels {
                let encoding = self.encoding.name();
                return Err(value(key, format!("has {} values; give 1, or {channels} for the channels of {encoding}", values.len())));
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                return Err(value(key, format!("{bad} is no finite number")));
            }
        }
        if self.std.contains(&0.0) {
            return Err(value("input.std", "0 cannot be divided by; give 1 for no scaling".to_owned()));
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
