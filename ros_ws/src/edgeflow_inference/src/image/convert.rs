//! From whatever a camera sends to the three pixel formats models are fed with, in 8 bits as OpenCV's cv_bridge does it.

use std::borrow::Cow;

use edgeflow_bundle::Encoding;

use super::{CheckedFrame, PixelFormat};

/// Luma of BT.601 in 14-bit fixed point with rounding: OpenCV's `COLOR_RGB2GRAY`.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 4899 + u32::from(g) * 9617 + u32::from(b) * 1868 + (1 << 13)) >> 14) as u8
}

/// The upper 8 of 16 bits, rounded: full scale stays full scale (65535 -> 255).
fn narrow(bytes: [u8; 2], is_bigendian: bool) -> u8 {
    let wide = if is_bigendian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    ((u32::from(wide) + 128) / 257) as u8
}

/// Red, green and blue of each pixel of a colour row.
fn colours(format: PixelFormat, row: &[u8]) -> impl Iterator<Item = (u8, u8, u8)> + '_ {
    let blue_first = matches!(format, PixelFormat::Bgr8 | PixelFormat::Bgra8);
    row.chunks_exact(format.pixel_bytes()).map(move |p| if blue_first { (p[2], p[1], p[0]) } else { (p[0], p[1], p[2]) })
}

/// A frame's pixels as 8-bit grey, and the bytes from one row to the next. Borrowed when the frame is grey already.
pub fn gray<'a>(frame: &CheckedFrame<'a>) -> (Cow<'a, [u8]>, usize) {
    if frame.format == PixelFormat::Mono8 {
        return (Cow::Borrowed(frame.data), frame.step);
    }
    let mut out = Vec::with_capacity(frame.width * frame.height);
    for row in frame.rows() {
        match frame.format {
            PixelFormat::Mono8 => out.extend_from_slice(row),
            PixelFormat::Mono16 => out.extend(row.as_chunks::<2>().0.iter().map(|p| narrow(*p, frame.is_bigendian))),
            colour => out.extend(colours(colour, row).map(|(r, g, b)| luma(r, g, b))),
        }
    }
    (Cow::Owned(out), frame.width)
}

/// A frame's pixels in a model's encoding, without row padding.
pub(super) fn to_encoding<'a>(frame: &CheckedFrame<'a>, encoding: Encoding) -> Cow<'a, [u8]> {
    let packed = frame.step == frame.width * frame.format.pixel_bytes();
    let same = match encoding {
        Encoding::Mono8 => frame.format == PixelFormat::Mono8,
        Encoding::Rgb8 => frame.format == PixelFormat::Rgb8,
        Encoding::Bgr8 => frame.format == PixelFormat::Bgr8,
    };
    if same && packed {
        return Cow::Borrowed(frame.data);
    }
    if same {
        return Cow::Owned(frame.rows().flatten().copied().collect());
    }
    if encoding == Encoding::Mono8 {
        return gray(frame).0;
    }
    let mut out = Vec::with_capacity(frame.width * frame.height * 3);
    for row in frame.rows() {
        match frame.format {
            PixelFormat::Mono8 => out.extend(row.iter().flat_map(|p| [*p; 3])),
            PixelFormat::Mono16 => out.extend(row.as_chunks::<2>().0.iter().flat_map(|p| [narrow(*p, frame.is_bigendian); 3])),
            colour if encoding == Encoding::Rgb8 => out.extend(colours(colour, row).flat_map(|(r, g, b)| [r, g, b])),
            colour => out.extend(colours(colour, row).flat_map(|(r, g, b)| [b, g, r])),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;

    fn checked<'a>(encoding: &'a str, step: u32, data: &'a [u8]) -> CheckedFrame<'a> {
        Frame { width: 2, height: 1, step, encoding, is_bigendian: false, data }.check().unwrap()
    }

    #[test]
    fn every_format_reaches_every_encoding() {
        // A red and a blue pixel, with padding bytes of 9.
        let (red, blue) = (76, 29); // OpenCV's greys of pure red and pure blue
        let frames: [(&str, &[u8]); 5] = [
            ("rgb8", &[255, 0, 0, 0, 0, 255, 9]),
            ("bgr8", &[0, 0, 255, 255, 0, 0, 9]),
            ("8UC3", &[0, 0, 255, 255, 0, 0]),
            ("rgba8", &[255, 0, 0, 1, 0, 0, 255, 1, 9]),
            ("bgra8", &[0, 0, 255, 1, 255, 0, 0, 1]),
        ];
        for (encoding, data) in frames {
            let frame = checked(encoding, data.len() as u32, data);
            assert_eq!(*to_encoding(&frame, Encoding::Mono8), [red, blue], "{encoding}");
            assert_eq!(*to_encoding(&frame, Encoding::Rgb8), [255, 0, 0, 0, 0, 255], "{encoding}");
            assert_eq!(*to_encoding(&frame, Encoding::Bgr8), [0, 0, 255, 255, 0, 0], "{encoding}");
        }
        let grey = checked("mono8", 3, &[1, 2, 9]);
        assert_eq!(*to_encoding(&grey, Encoding::Mono8), [1, 2]);
        assert_eq!(*to_encoding(&grey, Encoding::Bgr8), [1, 1, 1, 2, 2, 2]);
        let wide = checked("mono16", 4, &[0xff, 0xff, 0x00, 0x80]);
        assert_eq!(*to_encoding(&wide, Encoding::Mono8), [255, 128]);
        assert_eq!(*to_encoding(&wide, Encoding::Rgb8), [255, 255, 255, 128, 128, 128]);
        let swapped = CheckedFrame { is_bigendian: true, ..wide };
        assert_eq!(*to_encoding(&swapped, Encoding::Mono8), [255, 0]);
    }

    #[test]
    fn grey_frames_are_not_copied() {
        let frame = checked("mono8", 3, &[1, 2, 9]);
        let (pixels, step) = gray(&frame);
        assert!(matches!(pixels, Cow::Borrowed(_)));
        assert_eq!(step, 3);
    }
}
