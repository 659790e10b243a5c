//! Frames as cameras send them, checked before anything is computed from them.
//!
//! A frame is described by four numbers that may contradict each other and its data; every contradiction is an error
//! that says which, because a silently misread image is a wrong answer with a high score.

mod convert;
mod prepare;

pub use convert::gray;
pub use prepare::{Preparer, Scratch};

use crate::{Error, Result};

/// Greatest edge of a frame, in pixels.
const MAX_EDGE: u32 = 32_768;

/// One frame as `sensor_msgs/Image` carries it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes per row, padding included.
    pub step: u32,
    /// Name from `sensor_msgs/image_encodings`.
    pub encoding: &'a str,
    /// Byte order of 16-bit pixels.
    pub is_bigendian: bool,
    /// `height * step` bytes.
    pub data: &'a [u8],
}

/// Pixel formats this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One channel, 8 bits.
    Mono8,
    /// One channel, 16 bits, full scale 65535.
    Mono16,
    /// Red, green, blue.
    Rgb8,
    /// Blue, green, red.
    Bgr8,
    /// Red, green, blue, alpha (ignored).
    Rgba8,
    /// Blue, green, red, alpha (ignored).
    Bgra8,
}

/// The encodings understood, as error messages list them.
const ENCODINGS: &str = "mono8, 8UC1, mono16, 16UC1, rgb8, bgr8, 8UC3, rgba8, bgra8";

impl PixelFormat {
    /// From a name of `sensor_msgs/image_encodings`. `8UC1`, `16UC1` and `8UC3` count as mono8, mono16 and bgr8, as
    /// OpenCV has them.
    pub fn from_encoding(encoding: &str) -> Option<Self> {
        Some(match encoding {
            "mono8" | "8UC1" => Self::Mono8,
            "mono16" | "16UC1" => Self::Mono16,
            "rgb8" => Self::Rgb8,
            "bgr8" | "8UC3" => Self::Bgr8,
            "rgba8" => Self::Rgba8,
            "bgra8" => Self::Bgra8,
            _ => return None,
        })
    }

    /// Bytes per pixel.
    pub fn pixel_bytes(self) -> usize {
        match self {
            Self::Mono8 => 1,
            Self::Mono16 => 2,
            Self::Rgb8 | Self::Bgr8 => 3,
            Self::Rgba8 | Self::Bgra8 => 4,
        }
    }
}

/// A frame whose numbers agree with each other and with its data.
#[derive(Clone, Copy, Debug)]
pub struct CheckedFrame<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) step: usize,
    pub(crate) format: PixelFormat,
    pub(crate) is_bigendian: bool,
    pub(crate) data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks size, encoding, step and data length.
    ///
    /// # Errors
    /// [`Error::Image`] naming the number that is wrong.
    pub fn check(&self) -> Result<CheckedFrame<'a>> {
        let refuse = |reason: String| Err(Error::Image { reason });
        let Some(format) = PixelFormat::from_encoding(self.encoding) else {
            return refuse(format!("encoding `{}` is not supported; publish one of {ENCODINGS}", self.encoding));
        };
        if self.width == 0 || self.height == 0 {
            return refuse(format!("it is {} x {} pixels; both must be at least 1", self.width, self.height));
        }
        if self.width > MAX_EDGE || self.height > MAX_EDGE {
            return refuse(format!("it is {} x {} pixels; at most {MAX_EDGE} a side are read", self.width, self.height));
        }
        let (width, height, step) = (self.width as usize, self.height as usize, self.step as usize);
        let row = width * format.pixel_bytes();
        if step < row {
            return refuse(format!("step is {step} bytes, but {width} pixels of {} need {row}", self.encoding));
        }
        if self.data.len() != height * step {
            return refuse(format!("data has {} bytes, but height x step is {height} x {step} = {}", self.data.len(), height * step));
        }
        Ok(CheckedFrame { width, height, step, format, is_bigendian: self.is_bigendian, data: self.data })
    }
}

impl<'a> CheckedFrame<'a> {
    /// The rows, without their padding.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let row = self.width * self.format.pixel_bytes();
        self.data.chunks_exact(self.step).map(move |r| &r[..row])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame { width: 4, height: 3, step: 4, encoding: "mono8", is_bigendian: false, data }
    }

    #[test]
    fn frames_that_contradict_themselves_are_refused_by_name() {
        let data = [0; 12];
        frame(&data).check().unwrap();
        let cases = [
            (Frame { encoding: "yuv422", ..frame(&data) }, "encoding `yuv422` is not supported; publish one of mono8"),
            (Frame { encoding: "", ..frame(&data) }, "encoding `` is not supported"),
            (Frame { width: 0, ..frame(&data) }, "it is 0 x 3 pixels"),
            (Frame { height: 0, ..frame(&[]) }, "it is 4 x 0 pixels"),
            (Frame { height: u32::MAX, ..frame(&data) }, "at most 32768 a side"),
            (Frame { step: 3, ..frame(&data) }, "step is 3 bytes, but 4 pixels of mono8 need 4"),
            (Frame { encoding: "rgb8", ..frame(&data) }, "4 pixels of rgb8 need 12"),
            (Frame { step: 5, ..frame(&data) }, "data has 12 bytes, but height x step is 3 x 5 = 15"),
            (Frame { height: 2, ..frame(&data) }, "data has 12 bytes, but height x step is 2 x 4 = 8"),
            (frame(&data[..11]), "data has 11 bytes"),
        ];
        for (bad, want) in cases {
            let err = bad.check().unwrap_err().to_string();
            assert!(err.starts_with("image refused: ") && err.contains(want), "{err} should contain {want}");
        }
    }
}
