//! From whatever a camera sends to what models are fed with, as OpenCV's cv_bridge does it.
//!
//! Colours keep the order and the number of channels they came in, since a resize does not care and there are fewer
//! pixels to reorder after it.

use std::borrow::Cow;

use edgeflow_bundle::Encoding;
use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use super::{CheckedFrame, PixelFormat, bayer};
use crate::{Error, Result};

/// Pixels of 8 bits without padding between rows.
pub(super) struct Pixels<'a> {
    pub(super) data: Cow<'a, [u8]>,
    /// Channels of a pixel: 1, 3 or 4.
    pub(super) channels: usize,
    /// For each channel of the model's encoding, where it is in a pixel.
    pub(super) order: [usize; 3],
}

const FORWARD: [usize; 3] = [0, 1, 2];
const BACKWARD: [usize; 3] = [2, 1, 0];

/// Luma of BT.601 in 14-bit fixed point with rounding: OpenCV's `COLOR_RGB2GRAY`.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 4899 + u32::from(g) * 9617 + u32::from(b) * 1868 + (1 << 13)) >> 14) as u8
}

/// Luma of pixels of `N` channels.
fn lumas<const N: usize>(row: &[u8], order: [usize; 3], out: &mut Vec<u8>) {
    let [r, g, b] = order;
    out.extend(row.as_chunks::<N>().0.iter().map(|p| luma(p[r], p[g], p[b])));
}

fn wide(bytes: [u8; 2], is_bigendian: bool) -> u16 {
    if is_bigendian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

/// The upper 8 of 16 bits, rounded: full scale stays full scale (65535 -> 255).
fn narrow(bytes: [u8; 2], is_bigendian: bool) -> u8 {
    ((u32::from(wide(bytes, is_bigendian)) + 128) / 257) as u8
}

/// A float; 0 for what is none (no measurement, too far).
fn float(bytes: [u8; 4], is_bigendian: bool) -> f32 {
    let value = if is_bigendian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
    if value.is_finite() { value } else { 0.0 }
}

/// Rows of 16-bit numbers in 8 bits.
pub(super) fn narrowed(frame: &CheckedFrame<'_>) -> Vec<u8> {
    frame.rows().flat_map(|row| row.as_chunks::<2>().0).map(|p| narrow(*p, frame.is_bigendian)).collect()
}

/// The rows without their padding. Borrowed when there is none.
fn packed<'a>(frame: &CheckedFrame<'a>) -> Cow<'a, [u8]> {
    let row = frame.format.row_bytes(frame.width);
    if frame.step == row { Cow::Borrowed(&frame.data[..row * frame.height]) } else { Cow::Owned(frame.rows().flatten().copied().collect()) }
}

/// Every `nth` byte of each row from `first` on.
fn picked(frame: &CheckedFrame<'_>, first: usize, nth: usize) -> Vec<u8> {
    frame.rows().flat_map(|row| row.iter().skip(first).step_by(nth)).copied().collect()
}

/// A frame's pixels as 8-bit grey, and the bytes from one row to the next. Borrowed when the frame has its grey apart.
/// Of YUV it is the luma as it comes, which is what OpenCV takes.
pub fn gray<'a>(frame: &CheckedFrame<'a>) -> (Cow<'a, [u8]>, usize) {
    let mut out = Vec::new();
    match frame.format {
        PixelFormat::Mono8 | PixelFormat::Nv12 | PixelFormat::Nv21 => return (Cow::Borrowed(frame.data), frame.step),
        PixelFormat::Mono16 => out = narrowed(frame),
        PixelFormat::Float32 => {
            let value = |p: &[u8; 4]| float(*p, frame.is_bigendian).round_ties_even() as u8;
            out.extend(frame.rows().flat_map(|row| row.as_chunks::<4>().0).map(value));
        }
        PixelFormat::Uyvy => out = picked(frame, 1, 2),
        PixelFormat::Yuyv => out = picked(frame, 0, 2),
        PixelFormat::Rgb8 => frame.rows().for_each(|row| lumas::<3>(row, FORWARD, &mut out)),
        PixelFormat::Bgr8 => frame.rows().for_each(|row| lumas::<3>(row, BACKWARD, &mut out)),
        PixelFormat::Rgba8 => frame.rows().for_each(|row| lumas::<4>(row, FORWARD, &mut out)),
        PixelFormat::Bgra8 => frame.rows().for_each(|row| lumas::<4>(row, BACKWARD, &mut out)),
        PixelFormat::Rgb16 => lumas::<3>(&narrowed(frame), FORWARD, &mut out),
        PixelFormat::Bgr16 => lumas::<3>(&narrowed(frame), BACKWARD, &mut out),
        PixelFormat::Bayer8(_) | PixelFormat::Bayer16(_) => lumas::<3>(&colours_of_bayer(frame), FORWARD, &mut out),
    }
    (Cow::Owned(out), frame.width)
}

/// A frame's pixels for a model's encoding of 8 bits.
///
/// # Errors
/// [`Error::Image`] when a conversion refuses the frame.
pub(super) fn to_8_bits<'a>(frame: &CheckedFrame<'a>, encoding: Encoding) -> Result<Pixels<'a>> {
    let grey = |data| Pixels { data, channels: 1, order: [0; 3] };
    if encoding == Encoding::Mono8 {
        let (data, step) = gray(frame);
        // Only a borrowed row can be longer than it is wide.
        let data = if step == frame.width { data } else { packed(frame) };
        return Ok(grey(match data {
            Cow::Borrowed(all) => Cow::Borrowed(&all[..frame.width * frame.height]),
            owned => owned,
        }));
    }
    let colours = |data, channels, order| Pixels { data, channels, order };
    let pixels = match frame.format {
        PixelFormat::Mono8 => grey(packed(frame)),
        PixelFormat::Mono16 | PixelFormat::Float32 => grey(gray(frame).0),
        PixelFormat::Rgb8 => colours(packed(frame), 3, FORWARD),
        PixelFormat::Bgr8 => colours(packed(frame), 3, BACKWARD),
        PixelFormat::Rgba8 => colours(packed(frame), 4, FORWARD),
        PixelFormat::Bgra8 => colours(packed(frame), 4, BACKWARD),
        PixelFormat::Rgb16 => colours(Cow::Owned(narrowed(frame)), 3, FORWARD),
        PixelFormat::Bgr16 => colours(Cow::Owned(narrowed(frame)), 3, BACKWARD),
        PixelFormat::Uyvy | PixelFormat::Yuyv | PixelFormat::Nv12 | PixelFormat::Nv21 => {
            colours(Cow::Owned(colours_of_yuv(frame)?), 3, FORWARD)
        }
        PixelFormat::Bayer8(_) | PixelFormat::Bayer16(_) => colours(Cow::Owned(colours_of_bayer(frame)), 3, FORWARD),
    };
    let mut order = pixels.order;
    if encoding == Encoding::Bgr8 {
        order.reverse();
    }
    Ok(Pixels { order, ..pixels })
}

/// A frame's pixels as red, green and blue, row behind row.
///
/// # Errors
/// [`Error::Image`] when a conversion refuses the frame.
pub fn rgb(frame: &CheckedFrame<'_>) -> Result<Vec<u8>> {
    let Pixels { data, channels, order: [r, g, b] } = to_8_bits(frame, Encoding::Rgb8)?;
    if channels == 3 && [r, g, b] == FORWARD {
        return Ok(data.into_owned());
    }
    Ok(data.chunks_exact(channels).flat_map(|p| [p[r], p[g], p[b]]).collect())
}

/// A frame's pixels for a model's encoding that is more than 8 bits wide, as floats: 0 to 65535 for mono16, the numbers
/// themselves for 32FC1.
pub(super) fn to_floats(frame: &CheckedFrame<'_>, encoding: Encoding) -> Vec<f32> {
    let full_scale = encoding == Encoding::Mono16;
    match frame.format {
        PixelFormat::Mono16 => {
            let rows = frame.rows().flat_map(|row| row.as_chunks::<2>().0);
            rows.map(|p| f32::from(wide(*p, frame.is_bigendian))).collect()
        }
        PixelFormat::Float32 => {
            let rows = frame.rows().flat_map(|row| row.as_chunks::<4>().0);
            let values = rows.map(|p| float(*p, frame.is_bigendian));
            if full_scale { values.map(|v| v.round_ties_even().clamp(0.0, 65535.0)).collect() } else { values.collect() }
        }
        _ => {
            let (pixels, step) = gray(frame);
            let factor = if full_scale { 257.0 } else { 1.0 };
            pixels.chunks_exact(step).take(frame.height).flat_map(|row| &row[..frame.width]).map(|p| f32::from(*p) * factor).collect()
        }
    }
}

fn colours_of_bayer(frame: &CheckedFrame<'_>) -> Vec<u8> {
    match frame.format {
        PixelFormat::Bayer16(cfa) => bayer::demosaic(&narrowed(frame), frame.width, frame.height, cfa),
        PixelFormat::Bayer8(cfa) => bayer::demosaic(&packed(frame), frame.width, frame.height, cfa),
        _ => Vec::new(),
    }
}

/// BT.601, luma from 16 to 235: what webcams send, and what OpenCV takes them for.
pub(super) fn colours_of_yuv(frame: &CheckedFrame<'_>) -> Result<Vec<u8>> {
    const RANGE: YuvRange = YuvRange::Limited;
    const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;
    let (width, height, step) = (frame.width as u32, frame.height as u32, frame.step as u32);
    let mut rgb = vec![0; frame.width * frame.height * 3];
    let packed = YuvPackedImage { yuy: frame.data, yuy_stride: step, width, height };
    let (luma, chroma) = frame.data.split_at(frame.step * frame.height);
    let planes = YuvBiPlanarImage { y_plane: luma, y_stride: step, uv_plane: chroma, uv_stride: step, width, height };
    let mode = YuvConversionMode::default();
    let converted = match frame.format {
        PixelFormat::Uyvy => yuv::uyvy422_to_rgb(&packed, &mut rgb, width * 3, RANGE, MATRIX),
        PixelFormat::Yuyv => yuv::yuyv422_to_rgb(&packed, &mut rgb, width * 3, RANGE, MATRIX),
        PixelFormat::Nv12 => yuv::yuv_nv12_to_rgb(&planes, &mut rgb, width * 3, RANGE, MATRIX, mode),
        _ => yuv::yuv_nv21_to_rgb(&planes, &mut rgb, width * 3, RANGE, MATRIX, mode),
    };
    converted.map_err(|error| Error::Image { reason: format!("its colours cannot be converted: {error}") })?;
    Ok(rgb)
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;

    fn checked<'a>(encoding: &'a str, width: u32, height: u32, step: u32, data: &'a [u8]) -> CheckedFrame<'a> {
        Frame { width, height, step, encoding, is_bigendian: false, data }.check().unwrap()
    }

    /// The pixels in a model's encoding, channel by channel.
    fn converted(frame: &CheckedFrame<'_>, encoding: Encoding) -> Vec<u8> {
        let pixels = to_8_bits(frame, encoding).unwrap();
        let order = &pixels.order[..encoding.channels()];
        pixels.data.chunks_exact(pixels.channels).flat_map(|p| order.iter().map(|c| p[*c])).collect()
    }

    #[test]
    fn every_format_reaches_every_encoding() {
        // A red and a blue pixel, with padding bytes of 9.
        let (red, blue) = (76, 29); // OpenCV's greys of pure red and pure blue
        let frames: [(&str, &[u8]); 8] = [
            ("rgb8", &[255, 0, 0, 0, 0, 255, 9]),
            ("bgr8", &[0, 0, 255, 255, 0, 0, 9]),
            ("8UC3", &[0, 0, 255, 255, 0, 0]),
            ("rgba8", &[255, 0, 0, 1, 0, 0, 255, 1, 9]),
            ("bgra8", &[0, 0, 255, 1, 255, 0, 0, 1]),
            ("8UC4", &[0, 0, 255, 1, 255, 0, 0, 1]),
            ("rgb16", &[255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]),
            ("bgr16", &[0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 9, 9]),
        ];
        for (encoding, data) in frames {
            let frame = checked(encoding, 2, 1, data.len() as u32, data);
            assert_eq!(converted(&frame, Encoding::Mono8), [red, blue], "{encoding}");
            assert_eq!(converted(&frame, Encoding::Rgb8), [255, 0, 0, 0, 0, 255], "{encoding}");
            assert_eq!(rgb(&frame).unwrap(), [255, 0, 0, 0, 0, 255], "{encoding}");
            assert_eq!(converted(&frame, Encoding::Bgr8), [0, 0, 255, 255, 0, 0], "{encoding}");
            assert_eq!(to_floats(&frame, Encoding::Float32), [f32::from(red), f32::from(blue)], "{encoding}");
            assert_eq!(to_floats(&frame, Encoding::Mono16), [f32::from(red) * 257.0, f32::from(blue) * 257.0], "{encoding}");
        }
        let grey = checked("mono8", 2, 2, 3, &[1, 2, 9, 3, 4, 9]);
        assert_eq!(converted(&grey, Encoding::Mono8), [1, 2, 3, 4]);
        assert_eq!(converted(&grey, Encoding::Bgr8), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(rgb(&grey).unwrap(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(to_floats(&grey, Encoding::Float32), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn sixteen_bits_and_floats_keep_their_meaning() {
        for encoding in ["mono16", "16UC1"] {
            let wide = checked(encoding, 2, 1, 4, &[0xff, 0xff, 0x00, 0x80]);
            assert_eq!(converted(&wide, Encoding::Mono8), [255, 128]);
            assert_eq!(converted(&wide, Encoding::Rgb8), [255, 255, 255, 128, 128, 128]);
            assert_eq!(to_floats(&wide, Encoding::Mono16), [65535.0, 32768.0]);
            assert_eq!(to_floats(&wide, Encoding::Float32), [65535.0, 32768.0]);
            let swapped = CheckedFrame { is_bigendian: true, ..wide };
            assert_eq!(converted(&swapped, Encoding::Mono8), [255, 0]);
            assert_eq!(to_floats(&swapped, Encoding::Mono16), [65535.0, 128.0]);
        }
        let depths = [1.5f32, 300.4, -2.0, f32::NAN, f32::INFINITY, 2.5];
        let bytes: Vec<u8> = depths.iter().flat_map(|v| v.to_le_bytes()).collect();
        let frame = checked("32FC1", 6, 1, 24, &bytes);
        assert_eq!(to_floats(&frame, Encoding::Float32), [1.5, 300.4, -2.0, 0.0, 0.0, 2.5]);
        assert_eq!(to_floats(&frame, Encoding::Mono16), [2.0, 300.0, 0.0, 0.0, 0.0, 2.0]);
        assert_eq!(converted(&frame, Encoding::Mono8), [2, 255, 0, 0, 0, 2]);
    }

    #[test]
    fn yuv_is_bt601_with_luma_from_16_to_235() {
        // Two pixels of luma 81 and 145 that share the chroma 90, 240: by the definition
        // r = 1.164 (y - 16) + 1.596 (v - 128), g = ... - 0.813 (v - 128) - 0.392 (u - 128), b = ... + 2.017 (u - 128).
        let expected: [i32; 6] = [254, 0, 0, 255, 74, 74];
        let near = |got: &[u8], what: &str| {
            assert!(got.iter().zip(expected).all(|(g, e)| (i32::from(*g) - e).abs() <= 1), "{what}: {got:?} is not {expected:?}");
        };
        for (encoding, data) in [
            ("uyvy", [90, 81, 240, 145]),
            ("yuv422", [90, 81, 240, 145]),
            ("yuyv", [81, 90, 145, 240]),
            ("yuv422_yuy2", [81, 90, 145, 240]),
        ] {
            let frame = checked(encoding, 2, 1, 4, &data);
            near(&converted(&frame, Encoding::Rgb8), encoding);
            assert_eq!(converted(&frame, Encoding::Mono8), [81, 145], "{encoding}");
        }
        for (encoding, chroma) in [("nv12", [90, 240]), ("nv21", [240, 90])] {
            // Rows of three bytes: two pixels and padding.
            let data = [81, 145, 9, 81, 145, 9, chroma[0], chroma[1], 9];
            let frame = checked(encoding, 2, 2, 3, &data);
            let rgb = converted(&frame, Encoding::Rgb8);
            near(&rgb[..6], encoding);
            near(&rgb[6..], encoding);
            assert_eq!(converted(&frame, Encoding::Mono8), [81, 145, 81, 145], "{encoding}");
            assert_eq!(to_floats(&frame, Encoding::Float32), [81.0, 145.0, 81.0, 145.0], "{encoding}");
        }
    }

    #[test]
    fn bayer_names_are_those_of_the_first_two_by_two_pixels() {
        // Red 200, green 100, blue 50 everywhere.
        let cases: [(&str, [u8; 4]); 4] = [
            ("bayer_rggb8", [200, 100, 100, 50]),
            ("bayer_bggr8", [50, 100, 100, 200]),
            ("bayer_gbrg8", [100, 50, 200, 100]),
            ("bayer_grbg8", [100, 200, 50, 100]),
        ];
        for (encoding, [a, b, c, d]) in cases {
            let data = [a, b, 9, c, d, 9];
            let frame = checked(encoding, 2, 2, 3, &data);
            assert_eq!(converted(&frame, Encoding::Rgb8), [200, 100, 50].repeat(4), "{encoding}");
            assert_eq!(converted(&frame, Encoding::Bgr8), [50, 100, 200].repeat(4), "{encoding}");
            assert_eq!(converted(&frame, Encoding::Mono8), [124; 4], "{encoding}");
            let wide: Vec<u8> = [a, b, c, d].iter().flat_map(|v| (u16::from(*v) * 257).to_le_bytes()).collect();
            let encoding = encoding.replace("b8", "b16").replace("r8", "r16").replace("g8", "g16");
            let frame = checked(&encoding, 2, 2, 4, &wide);
            assert_eq!(converted(&frame, Encoding::Rgb8), [200, 100, 50].repeat(4), "{encoding}");
        }
    }

    #[test]
    fn frames_that_fit_are_not_copied() {
        let frame = checked("mono8", 2, 1, 3, &[1, 2, 9]);
        let (pixels, step) = gray(&frame);
        assert!(matches!(pixels, Cow::Borrowed(_)));
        assert_eq!(step, 3);
        let colours = [1, 2, 3, 4, 5, 6];
        for encoding in [Encoding::Rgb8, Encoding::Bgr8] {
            let pixels = to_8_bits(&checked("bgr8", 2, 1, 6, &colours), encoding).unwrap();
            assert!(matches!(pixels.data, Cow::Borrowed(_)), "{encoding:?}");
        }
    }
}
