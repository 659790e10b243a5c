//! `input` of kind `image`: from a frame to a tensor.

use serde::{Deserialize, Serialize};

use super::value;
use crate::{ElemType, Result};

/// Greatest edge length, in pixels, that a frame may be resized to.
const MAX_EDGE: u32 = 16_384;

/// How a frame becomes the graph's input: converted to `encoding`, resized, then per channel
/// `value = ((invert ? full - pixel : pixel) * scale - mean) / std`, laid out as `layout`. `full` is 255, for mono16 65535.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
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
    /// Element type. Absent: the graph input's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<PixelType>,
    /// Factor on pixel values: 0 to 255 in 8 bits, 0 to 65535 in 16, as they come in 32FC1.
    #[serde(default = "one")]
    pub scale: f32,
    /// Subtracted after `scale`; one value, or one per channel.
    #[serde(default = "zeros")]
    pub mean: Vec<f32>,
    /// Divided by after `mean`; one value, or one per channel.
    #[serde(default = "ones")]
    pub std: Vec<f32>,
    /// Take the distance to full scale: dark on light for a model trained light on dark.
    #[serde(default)]
    pub invert: bool,
}

impl ImageSpec {
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
    /// One channel, 16 bits.
    Mono16,
    /// One channel of floats, such as depth in metres.
    #[serde(rename = "32FC1")]
    Float32,
    /// Red, green, blue, 8 bits each.
    Rgb8,
    /// Blue, green, red, 8 bits each.
    Bgr8,
}

impl Encoding {
    /// Channels per pixel.
    pub fn channels(self) -> usize {
        match self {
            Encoding::Mono8 | Encoding::Mono16 | Encoding::Float32 => 1,
            Encoding::Rgb8 | Encoding::Bgr8 => 3,
        }
    }

    /// Bytes of one channel of a pixel.
    pub fn channel_bytes(self) -> usize {
        match self {
            Encoding::Mono8 | Encoding::Rgb8 | Encoding::Bgr8 => 1,
            Encoding::Mono16 => 2,
            Encoding::Float32 => 4,
        }
    }

    /// The greatest value of a channel; `None` where there is none.
    pub fn full_scale(self) -> Option<f32> {
        match self {
            Encoding::Mono8 | Encoding::Rgb8 | Encoding::Bgr8 => Some(255.0),
            Encoding::Mono16 => Some(65535.0),
            Encoding::Float32 => None,
        }
    }

    /// Its name in ROS.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Mono8 => "mono8",
            Encoding::Mono16 => "mono16",
            Encoding::Float32 => "32FC1",
            Encoding::Rgb8 => "rgb8",
            Encoding::Bgr8 => "bgr8",
        }
    }
}

/// Size and manner of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// With letterbox: value of the border's pixels, in every channel. Absent: 114.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_value: Option<f32>,
    /// With letterbox: where the frame lies. Absent: in the centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// With centre_crop: part of the greatest possible crop that is taken, along each axis. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_fraction: Option<f32>,
}

/// What a resize does when the aspect ratio differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Both axes are scaled on their own; the aspect ratio is lost.
    #[default]
    Stretch,
    /// The whole frame with its aspect ratio kept, and a border for what is left of the tensor.
    Letterbox,
    /// The middle of the frame with its aspect ratio kept; what does not fit is cut off.
    CentreCrop,
}

/// Where a letterboxed frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// Borders on both sides.
    #[default]
    Centre,
    /// The border is right of it, or below.
    TopLeft,
}

/// How a resize averages pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The one pixel at the centre.
    Nearest,
    /// Mean over the area: what to shrink with.
    Box,
    /// Triangle, widened when shrinking: Pillow's and torchvision's bilinear.
    #[default]
    Bilinear,
    /// The four nearest pixels, whatever the size: OpenCV's INTER_LINEAR.
    Linear,
    /// Cubic with a = -0.5, widened when shrinking: Pillow's bicubic.
    Bicubic,
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

impl Layout {
    /// As the manifest says it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Flat => "flat",
            Layout::Nchw => "nchw",
            Layout::Nhwc => "nhwc",
        }
    }
}

/// Element type of an image tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelType {
    /// As computed.
    Float32,
    /// Rounded to half precision.
    Float16,
    /// Rounded to whole numbers from 0 to 255; what lies beyond is cut off.
    Uint8,
    /// Rounded to whole numbers from -128 to 127; what lies beyond is cut off.
    Int8,
}

impl PixelType {
    /// All of them, for error messages.
    pub const NAMES: &'static str = "float32, float16, uint8 or int8";

    /// The type of a graph input; `None` when no image becomes one.
    pub fn of(elem_type: ElemType) -> Option<Self> {
        Some(match elem_type {
            ElemType::Float32 => Self::Float32,
            ElemType::Float16 => Self::Float16,
            ElemType::Uint8 => Self::Uint8,
            ElemType::Int8 => Self::Int8,
            _ => return None,
        })
    }

    /// As the graph says it.
    pub fn elem_type(self) -> ElemType {
        match self {
            Self::Float32 => ElemType::Float32,
            Self::Float16 => ElemType::Float16,
            Self::Uint8 => ElemType::Uint8,
            Self::Int8 => ElemType::Int8,
        }
    }
}

impl ImageSpec {
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(resize) = &self.resize {
            resize.validate(self.encoding)?;
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
        if self.invert && self.encoding.full_scale().is_none() {
            return Err(value("input.invert", "32FC1 has no greatest value to count from; give scale -1 instead".to_owned()));
        }
        Ok(())
    }
}

impl Resize {
    fn validate(&self, encoding: Encoding) -> Result<()> {
        for (key, edge) in [("input.resize.width", self.width), ("input.resize.height", self.height)] {
            if edge == 0 || edge > MAX_EDGE {
                return Err(value(key, format!("{edge} is out of range; give 1 to {MAX_EDGE} pixels")));
            }
        }
        if let Some(pad) = self.pad_value {
            let greatest = encoding.full_scale().unwrap_or(f32::MAX);
            if !(0.0..=greatest).contains(&pad) {
                return Err(value("input.resize.pad_value", format!("{pad} is no pixel of {}; give 0 to {greatest}", encoding.name())));
            }
        }
        if self.crop_fraction.is_some_and(|part| !(part > 0.0 && part <= 1.0)) {
            return Err(value("input.resize.crop_fraction", "must be more than 0 and at most 1".to_owned()));
        }
        let stray = [
            (self.pad_value.is_some(), "input.resize.pad_value", ResizeMode::Letterbox, "letterbox"),
            (self.anchor.is_some(), "input.resize.anchor", ResizeMode::Letterbox, "letterbox"),
            (self.crop_fraction.is_some(), "input.resize.crop_fraction", ResizeMode::CentreCrop, "centre_crop"),
        ];
        let stray = stray.iter().find(|(given, _, mode, _)| *given && *mode != self.mode);
        match stray {
            Some((_, key, _, mode)) => Err(value(key, format!("means something with `mode: {mode}` only; take it out or change the mode"))),
            None => Ok(()),
        }
    }
}
