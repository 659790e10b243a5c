//! The pixel formats this crate reads, by the names of `sensor_msgs/image_encodings`.

/// Pixel formats this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One channel, 8 bits.
    Mono8,
    /// One channel, 16 bits, full scale 65535.
    Mono16,
    /// One channel of floats.
    Float32,
    /// Red, green, blue.
    Rgb8,
    /// Blue, green, red.
    Bgr8,
    /// Red, green, blue, alpha (ignored).
    Rgba8,
    /// Blue, green, red, alpha (ignored).
    Bgra8,
    /// Red, green, blue, 16 bits each.
    Rgb16,
    /// Blue, green, red, 16 bits each.
    Bgr16,
    /// Two pixels in four bytes: chroma, luma, chroma, luma.
    Uyvy,
    /// Two pixels in four bytes: luma, chroma, luma, chroma.
    Yuyv,
    /// Rows of luma, then half as many rows of chroma for two by two pixels, blue difference first.
    Nv12,
    /// As [`PixelFormat::Nv12`], red difference first.
    Nv21,
    /// One colour per pixel, 8 bits.
    Bayer8(Cfa),
    /// One colour per pixel, 16 bits.
    Bayer16(Cfa),
}

/// Colour filter array: the colours of the first two pixels of the first two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cfa {
    /// Red green, green blue.
    Rggb,
    /// Blue green, green red.
    Bggr,
    /// Green blue, red green.
    Gbrg,
    /// Green red, blue green.
    Grbg,
}

impl Cfa {
    /// Column and row of the red pixel among the first two by two.
    pub(super) fn red_at(self) -> (usize, usize) {
        match self {
            Self::Rggb => (0, 0),
            Self::Grbg => (1, 0),
            Self::Gbrg => (0, 1),
            Self::Bggr => (1, 1),
        }
    }
}

/// The encodings understood, as error messages list them.
pub(super) const ENCODINGS: &str = "mono8, 8UC1, mono16, 16UC1, 32FC1, rgb8, bgr8, 8UC3, rgba8, bgra8, 8UC4, rgb16, bgr16, uyvy, yuv422, yuyv, \
     yuv422_yuy2, nv12, nv21, bayer_{rggb,bggr,gbrg,grbg}{8,16}";

impl PixelFormat {
    /// From a name of `sensor_msgs/image_encodings`, or from what cameras write for it. `8UC1`, `16UC1`, `8UC3` and `8UC4`
    /// count as mono8, mono16, bgr8 and bgra8, as OpenCV has them.
    pub fn from_encoding(encoding: &str) -> Option<Self> {
        Some(match encoding {
            "mono8" | "8UC1" => Self::Mono8,
            "mono16" | "16UC1" => Self::Mono16,
            "32FC1" => Self::Float32,
            "rgb8" => Self::Rgb8,
            "bgr8" | "8UC3" => Self::Bgr8,
            "rgba8" => Self::Rgba8,
            "bgra8" | "8UC4" => Self::Bgra8,
            "rgb16" => Self::Rgb16,
            "bgr16" => Self::Bgr16,
            "uyvy" | "UYVY" | "yuv422" => Self::Uyvy,
            "yuyv" | "YUYV" | "yuv422_yuy2" => Self::Yuyv,
            "nv12" => Self::Nv12,
            "nv21" => Self::Nv21,
            "bayer_rggb8" => Self::Bayer8(Cfa::Rggb),
            "bayer_bggr8" => Self::Bayer8(Cfa::Bggr),
            "bayer_gbrg8" => Self::Bayer8(Cfa::Gbrg),
            "bayer_grbg8" => Self::Bayer8(Cfa::Grbg),
            "bayer_rggb16" => Self::Bayer16(Cfa::Rggb),
            "bayer_bggr16" => Self::Bayer16(Cfa::Bggr),
            "bayer_gbrg16" => Self::Bayer16(Cfa::Gbrg),
            "bayer_grbg16" => Self::Bayer16(Cfa::Grbg),
            _ => return None,
        })
    }

    /// Bytes of a row of pixels; of a row of luma where chroma lies elsewhere.
    pub fn row_bytes(self, width: usize) -> usize {
        width
            * match self {
                Self::Mono8 | Self::Bayer8(_) | Self::Nv12 | Self::Nv21 => 1,
                Self::Mono16 | Self::Bayer16(_) | Self::Uyvy | Self::Yuyv => 2,
                Self::Rgb8 | Self::Bgr8 => 3,
                Self::Float32 | Self::Rgba8 | Self::Bgra8 => 4,
                Self::Rgb16 | Self::Bgr16 => 6,
            }
    }

    /// Rows of data of an image of this height.
    pub fn rows(self, height: usize) -> usize {
        match self {
            Self::Nv12 | Self::Nv21 => height + height / 2,
            _ => height,
        }
    }

    /// Whether pixels share their colour in pairs along the row, and along the column.
    pub(super) fn pairs(self) -> (bool, bool) {
        match self {
            Self::Uyvy | Self::Yuyv => (true, false),
            Self::Nv12 | Self::Nv21 | Self::Bayer8(_) | Self::Bayer16(_) => (true, true),
            _ => (false, false),
        }
    }
}
