//! Frames as cameras send them, checked before anything is computed from them.
//!
//! A frame is described by four numbers that may contradict each other and its data; every contradiction is an error
//! that says which, because a silently misread image is a wrong answer with a high score.

mod bayer;
mod compressed;
mod convert;
mod format;
mod means;
mod placement;
mod prepare;
mod shrink;

pub use compressed::Decompressed;
pub use convert::{gray, rgb};
pub use format::{Cfa, PixelFormat};
pub(crate) use means::colour_means;
pub use placement::{Placement, Rect};
pub use prepare::{Prepared, Preparer, Scratch};

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
    /// Byte order of pixels of 16 and 32 bits.
    pub is_bigendian: bool,
    /// `height * step` bytes; half as many again where rows of chroma follow.
    pub data: &'a [u8],
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
            return refuse(format!("encoding `{}` is not supported; publish one of {}", self.encoding, format::ENCODINGS));
        };
        if self.width == 0 || self.height == 0 {
            return refuse(format!("it is {} x {} pixels; both must be at least 1", self.width, self.height));
        }
        if self.width > MAX_EDGE || self.height > MAX_EDGE {
            return refuse(format!("it is {} x {} pixels; at most {MAX_EDGE} a side are read", self.width, self.height));
        }
        let (width, height, step) = (self.width as usize, self.height as usize, self.step as usize);
        let (pairs_across, pairs_down) = format.pairs();
        if (pairs_across && width % 2 != 0) || (pairs_down && height % 2 != 0) {
            return refuse(format!("it is {width} x {height} pixels, but {} shares colours between pairs of them", self.encoding));
        }
        let row = format.row_bytes(width);
        if step < row {
            return refuse(format!("step is {step} bytes, but {width} pixels of {} need {row}", self.encoding));
        }
        let rows = format.rows(height);
        if self.data.len() != rows * step {
            let times = if rows == height { "height" } else { "1.5 height" };
            return refuse(format!("data has {} bytes, but {times} x step is {rows} x {step} = {}", self.data.len(), rows * step));
        }
        Ok(CheckedFrame { width, height, step, format, is_bigendian: self.is_bigendian, data: self.data })
    }
}

impl<'a> CheckedFrame<'a> {
    /// The rows, without their padding and without rows of chroma.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let row = self.format.row_bytes(self.width);
        self.data.chunks_exact(self.step).take(self.height).map(move |r| &r[..row])
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
        Frame { height: 2, encoding: "nv12", ..frame(&data) }.check().unwrap();
        let cases = [
            (Frame { encoding: "yuv411", ..frame(&data) }, "encoding `yuv411` is not supported; publish one of mono8"),
            (Frame { encoding: "", ..frame(&data) }, "encoding `` is not supported"),
            (Frame { width: 0, ..frame(&data) }, "it is 0 x 3 pixels"),
            (Frame { height: 0, ..frame(&[]) }, "it is 4 x 0 pixels"),
            (Frame { height: u32::MAX, ..frame(&data) }, "at most 32768 a side"),
            (Frame { step: 3, ..frame(&data) }, "step is 3 bytes, but 4 pixels of mono8 need 4"),
            (Frame { encoding: "rgb8", ..frame(&data) }, "4 pixels of rgb8 need 12"),
            (Frame { step: 5, ..frame(&data) }, "data has 12 bytes, but height x step is 3 x 5 = 15"),
            (Frame { height: 2, ..frame(&data) }, "data has 12 bytes, but height x step is 2 x 4 = 8"),
            (frame(&data[..11]), "data has 11 bytes"),
            (Frame { width: 3, encoding: "uyvy", step: 8, ..frame(&data) }, "it is 3 x 3 pixels, but uyvy shares colours between pairs"),
            (Frame { encoding: "bayer_rggb8", ..frame(&data) }, "it is 4 x 3 pixels, but bayer_rggb8"),
            (Frame { height: 2, encoding: "nv12", ..frame(&data[..11]) }, "data has 11 bytes, but 1.5 height x step is 3 x 4 = 12"),
            (Frame { encoding: "32FC1", ..frame(&data) }, "4 pixels of 32FC1 need 16"),
        ];
        for (bad, want) in cases {
            let err = bad.check().unwrap_err().to_string();
            assert!(err.starts_with("image refused: ") && err.contains(want), "{err} should contain {want}");
        }
    }
}
