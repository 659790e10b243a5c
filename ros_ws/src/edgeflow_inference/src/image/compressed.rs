//! Frames that come as JPEG or PNG, as `sensor_msgs/CompressedImage` carries them. What the bytes are is read from the
//! bytes: the message's `format` is written in several ways, and a camera's is not always true.

use std::io::Cursor;

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Frame, MAX_EDGE};
use crate::{Error, Result};

/// Most pixels of a compressed frame: a few bytes can ask for any amount of memory.
const MAX_PIXELS: u64 = 1 << 27;

/// A frame that was compressed, with rows one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decompressed {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes per row.
    pub step: u32,
    /// Name from `sensor_msgs/image_encodings`: `mono8`, `rgb8` or `rgba8`; of a PNG of 16 bits `mono16` or `rgb16`.
    pub encoding: &'static str,
    /// Byte order of pixels of 16 bits.
    pub is_bigendian: bool,
    /// `height * step` bytes.
    pub data: Vec<u8>,
}

impl Decompressed {
    /// Decodes a JPEG or a PNG.
    ///
    /// # Errors
    /// [`Error::Image`] for anything else, and for what is damaged or larger than 2^27 pixels.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => jpeg(bytes),
            [0x89, b'P', b'N', b'G', ..] => png(bytes),
            _ => Err(refuse("its data is neither JPEG nor PNG; publish one of the two, or sensor_msgs/Image".into())),
        }
    }

    /// A view of it.
    pub fn frame(&self) -> Frame<'_> {
        let Self { width, height, step, encoding, is_bigendian, ref data } = *self;
        Frame { width, height, step, encoding, is_bigendian, data }
    }

    fn packed(width: u32, height: u32, encoding: &'static str, bytes_per_pixel: u32, data: Vec<u8>) -> Self {
        let is_bigendian = encoding.ends_with("16");
        Self { width, height, step: width * bytes_per_pixel, encoding, is_bigendian, data }
    }
}

fn refuse(reason: String) -> Error {
    Error::Image { reason }
}

fn check_size(width: u64, height: u64) -> Result<()> {
    if width == 0 || height == 0 || width > u64::from(MAX_EDGE) || height > u64::from(MAX_EDGE) || width * height > MAX_PIXELS {
        return Err(refuse(format!(
            "it is {width} x {height} pixels; compressed ones have at most {MAX_EDGE} a side and {MAX_PIXELS} in all"
        )));
    }
    Ok(())
}

fn jpeg(bytes: &[u8]) -> Result<Decompressed> {
    let damaged = |error: &dyn std::fmt::Display| refuse(format!("its JPEG data cannot be decoded: {error}"));
    // The decoder would fill up what is missing with grey. Within a scan no marker can be mistaken.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    if last([0xff, 0xd9]) < last([0xff, 0xda]) {
        return Err(damaged(&"it is cut off"));
    }
    let options = DecoderOptions::default().set_max_width(MAX_EDGE as usize).set_max_height(MAX_EDGE as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| damaged(&e))?;
    let Some(info) = decoder.info() else { return Err(damaged(&"it has no header")) };
    check_size(info.width.into(), info.height.into())?;
    let (space, encoding, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, "mono8", 1),
        _ => (ColorSpace::RGB, "rgb8", 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let data = decoder.decode().map_err(|e| damaged(&e))?;
    Ok(Decompressed::packed(info.width.into(), info.height.into(), encoding, channels, data))
}

fn png(bytes: &[u8]) -> Result<Decompressed> {
    let damaged = |error: &dyn std::fmt::Display| refuse(format!("its PNG data cannot be decoded: {error}"));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    let (width, height) = decoder.read_header_info().map_err(|e| damaged(&e))?.size();
    check_size(width.into(), height.into())?;
    // Palettes become colours, fewer than 8 bits become 8.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|e| damaged(&e))?;
    let size = reader.output_buffer_size().ok_or_else(|| damaged(&"it is too large"))?;
    let mut data = vec![0; size];
    let info = reader.next_frame(&mut data).map_err(|e| damaged(&e))?;
    data.truncate(info.buffer_size());
    let wide = info.bit_depth == BitDepth::Sixteen;
    let bytes_per_channel = if wide { 2 } else { 1 };
    let (encoding, channels) = match (info.color_type, wide) {
        (ColorType::Grayscale | ColorType::GrayscaleAlpha, false) => ("mono8", 1),
        (ColorType::Grayscale | ColorType::GrayscaleAlpha, true) => ("mono16", 1),
        (ColorType::Rgba, false) => ("rgba8", 4),
        (ColorType::Rgb | ColorType::Indexed, false) => ("rgb8", 3),
        (_, true) => ("rgb16", 3),
    };
    // Where ROS has no name for a format with alpha, the alpha is left out: nobody looks at it.
    let samples = info.color_type.samples();
    if samples > channels {
        let kept = data.chunks_exact(samples * bytes_per_channel).flat_map(|pixel| &pixel[..channels * bytes_per_channel]);
        data = kept.copied().collect();
    }
    Ok(Decompressed::packed(info.width, info.height, encoding, (channels * bytes_per_channel) as u32, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn every_sort_of_png_becomes_an_encoding_of_ros() {
        use BitDepth::{Eight, One, Sixteen};
        type Case<'a> = (ColorType, BitDepth, &'a [u8], &'a str, &'a [u8]);
        let cases: [Case<'_>; 8] = [
            (ColorType::Grayscale, Eight, &[7, 9], "mono8", &[7, 9]),
            (ColorType::Grayscale, One, &[0b1000_0000], "mono8", &[255, 0]),
            (ColorType::Grayscale, Sixteen, &[1, 2, 3, 4], "mono16", &[1, 2, 3, 4]),
            (ColorType::GrayscaleAlpha, Eight, &[7, 255, 9, 255], "mono8", &[7, 9]),
            (ColorType::Rgb, Eight, &[1, 2, 3, 4, 5, 6], "rgb8", &[1, 2, 3, 4, 5, 6]),
            (ColorType::Indexed, One, &[0b0100_0000], "rgb8", &[1, 2, 3, 4, 5, 6]),
            (ColorType::Rgba, Eight, &[1, 2, 3, 4, 5, 6, 7, 8], "rgba8", &[1, 2, 3, 4, 5, 6, 7, 8]),
            (
                ColorType::Rgba,
                Sixteen,
                &[1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0],
                "rgb16",
                &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            ),
        ];
        for (color, depth, data, encoding, expected) in cases {
            let got = Decompressed::new(&encoded(color, depth, data)).unwrap();
            assert_eq!((got.encoding, &got.data[..], got.is_bigendian), (encoding, expected, depth == Sixteen), "{color:?} {depth:?}");
            got.frame().check().unwrap();
        }
    }

    #[test]
    fn what_is_no_picture_is_refused_by_name() {
        let whole = encoded(ColorType::Grayscale, BitDepth::Eight, &[7, 9]);
        let mut large = whole.clone();
        large[16..24].copy_from_slice(&[0, 0, 0x7f, 0xff, 0, 0, 0x7f, 0xff]);
        // The header's checksum is over the size.
        let crc = large[12..29].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        });
        large[29..33].copy_from_slice(&(!crc).to_be_bytes());
        let jpeg = include_bytes!("../../tests/models/digit_scene.jpg");
        assert_eq!(Decompressed::new(jpeg).unwrap().encoding, "rgb8");
        let cases: [(&[u8], &str); 7] = [
            (&jpeg[..jpeg.len() / 2], "JPEG data cannot be decoded: it is cut off"),
            (&jpeg[..jpeg.len() - 2], "JPEG data cannot be decoded: it is cut off"),
            (b"GIF89a", "neither JPEG nor PNG"),
            (b"", "neither JPEG nor PNG"),
            (&whole[..40], "PNG data cannot be decoded"),
            (&[0xff, 0xd8, 0xff, 0xe0, 0, 4], "JPEG data cannot be decoded"),
            (&large, "it is 32767 x 32767 pixels; compressed ones have at most 32768 a side and 134217728 in all"),
        ];
        for (bytes, want) in cases {
            let error = Decompressed::new(bytes).unwrap_err().to_string();
            assert!(error.starts_with("image refused: ") && error.contains(want), "{error}");
        }
    }
}
