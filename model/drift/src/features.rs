//! What a frame is reduced to: one number each for light, contrast and focus.
//!
//! Counted in integers over whole rows, without branches, so that the compiler vectorises the loops: always on must be
//! cheap. Per frame, never per pixel: a histogram of pixels would claim a million samples where there is one.

use crate::{Error, Result};

/// Names and units of the features of an image, in the order of [`ImageFeatures::values`].
pub const IMAGE_FEATURES: [(&str, &str); 3] = [("brightness", "0..255"), ("contrast", "0..255"), ("sharpness", "0..255")];

/// How the names of features of a model's outputs begin, in baselines and reports: `output.class`, `output.confidence`.
pub const OUTPUT_PREFIX: &str = "output.";

/// Features of one image of 8-bit pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageFeatures {
    /// Mean pixel value, 0 to 255.
    pub brightness: f64,
    /// Standard deviation of the pixel values, 0 to 127.5.
    pub contrast: f64,
    /// Mean absolute difference of neighbouring pixels, to the right and below, 0 to 255. Falls with defocus and motion blur.
    pub sharpness: f64,
}

impl ImageFeatures {
    /// The values in the order of [`IMAGE_FEATURES`].
    pub fn values(self) -> [f64; 3] {
        [self.brightness, self.contrast, self.sharpness]
    }
}

/// Features of a grey image: `height` rows of `width` pixels, row `y` starting at `gray[y * step]`.
///
/// An image without pixels has NaN for every feature, which windows leave out; so has a single pixel for sharpness.
///
/// # Errors
/// [`Error::ImageSize`] when `gray` is too short or `step` is less than `width`.
pub fn image_features(gray: &[u8], width: usize, height: usize, step: usize) -> Result<ImageFeatures> {
    let needed = if height == 0 { 0 } else { (height - 1).saturating_mul(step).saturating_add(width) };
    if gray.len() < needed || (step < width && height > 0) {
        return Err(Error::ImageSize { width, height, step, needed: needed.max(height.saturating_mul(width)), given: gray.len() });
    }
    let row = |y: usize| &gray[y * step..y * step + width];
    let (mut sum, mut squares, mut gradient) = (0u64, 0u64, 0u64);
    for y in 0..height {
        let here = row(y);
        let (row_sum, row_squares) = sums(here);
        sum += row_sum;
        squares += row_squares;
        if let Some(next) = here.get(1..) {
            gradient += differences(here, next);
        }
        if y + 1 < height {
            gradient += differences(here, row(y + 1));
        }
    }
    let pixels = (width * height) as f64;
    let pairs = (width.saturating_sub(1) * height + width * height.saturating_sub(1)) as f64;
    let mean = sum as f64 / pixels;
    let variance = (squares as f64 / pixels - mean * mean).max(0.0);
    // NaN must survive `max`, which drops it.
    let contrast = if pixels > 0.0 { variance.sqrt() } else { f64::NAN };
    Ok(ImageFeatures { brightness: mean, contrast, sharpness: gradient as f64 / pairs })
}

/// Grey of a colour, 0 to 255: luma of BT.601 in 14-bit fixed point with rounding, as OpenCV's `COLOR_RGB2GRAY` and the
/// inference node have it.
pub fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 4899 + u32::from(green) * 9617 + u32::from(blue) * 1868 + (1 << 13)) >> 14) as u8
}

/// Mean of each of the 1 to 4 interleaved channels of an image of 8 bits, 0 to 255, in the order of the pixels' bytes;
/// `height` rows of `width` pixels, row `y` starting at `pixels[y * step]`. What is not there, or has no pixels, is NaN.
///
/// # Errors
/// [`Error::ImageSize`] when `pixels` is too short or `step` is less than a row.
pub fn channel_means(pixels: &[u8], width: usize, height: usize, step: usize, channels: usize) -> Result<[f64; 4]> {
    let row_bytes = width.saturating_mul(channels);
    let needed = if height == 0 { 0 } else { (height - 1).saturating_mul(step).saturating_add(row_bytes) };
    if pixels.len() < needed || (step < row_bytes && height > 0) {
        return Err(Error::ImageSize { width, height, step, needed: needed.max(height.saturating_mul(row_bytes)), given: pixels.len() });
    }
    let mut lanes = [0u64; LANES];
    for y in 0..height {
        add_lanes(&pixels[y * step..y * step + row_bytes], &mut lanes);
    }
    let mut means = [f64::NAN; 4];
    for (channel, mean) in means.iter_mut().enumerate().take(channels) {
        let sum: u64 = lanes.iter().skip(channel).step_by(channels).sum();
        *mean = sum as f64 / (width * height) as f64;
    }
    Ok(means)
}

/// Bytes summed side by side: a multiple of 2, 3 and 4 and of what a vector register holds.
const LANES: usize = 48;

/// Adds byte `i` of a row to lane `i % LANES`.
fn add_lanes(row: &[u8], lanes: &mut [u64; LANES]) {
    let (blocks, rest) = row.as_chunks::<LANES>();
    // As many sums of bytes as stay within 16 bits.
    for piece in blocks.chunks(256) {
        let mut sums = [0u16; LANES];
        for block in piece {
            sums.iter_mut().zip(block).for_each(|(sum, &byte)| *sum += u16::from(byte));
        }
        lanes.iter_mut().zip(sums).for_each(|(lane, sum)| *lane += u64::from(sum));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &byte)| *lane += u64::from(byte));
}

/// Pieces whose sums of squares stay within 32 bits, the widest the loops vectorise well with.
const PIECE: usize = 4096;

fn sums(row: &[u8]) -> (u64, u64) {
    row.chunks(PIECE).fold((0, 0), |(sum, squares), piece| {
        let piece_sum: u32 = piece.iter().map(|&p| u32::from(p)).sum();
        let piece_squares: u32 = piece.iter().map(|&p| u32::from(p) * u32::from(p)).sum();
        (sum + u64::from(piece_sum), squares + u64::from(piece_squares))
    })
}

fn differences(a: &[u8], b: &[u8]) -> u64 {
    a.chunks(PIECE).zip(b.chunks(PIECE)).fold(0, |sum, (a, b)| {
        let piece: u32 = a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
        sum + u64::from(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_has_its_grey_and_nothing_else() {
        let features = image_features(&[77; 12 * 7], 10, 7, 12).unwrap();
        assert_eq!(features.values(), [77.0, 0.0, 0.0]);
    }

    #[test]
    fn agrees_with_the_definition_on_a_padded_image() {
        let (width, height, step) = (5000, 3, 5007);
        let gray: Vec<u8> = (0..step * height).map(|i| (i * i / 7 % 251) as u8).collect();
        let at = |x: usize, y: usize| f64::from(gray[y * step + x]);
        let pixels: Vec<f64> = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
        let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
        let variance = pixels.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / pixels.len() as f64;
        let mut steps = Vec::new();
        for y in 0..height {
            for x in 0..width {
                if x + 1 < width {
                    steps.push((at(x, y) - at(x + 1, y)).abs());
                }
                if y + 1 < height {
                    steps.push((at(x, y) - at(x, y + 1)).abs());
                }
            }
        }
        let features = image_features(&gray, width, height, step).unwrap();
        assert!((features.brightness - mean).abs() < 1e-9);
        assert!((features.contrast - variance.sqrt()).abs() < 1e-6);
        assert!((features.sharpness - steps.iter().sum::<f64>() / steps.len() as f64).abs() < 1e-9);
    }

    #[test]
    fn channels_are_told_apart_on_a_padded_image() {
        for (channels, width, height, padding) in [(3, 5000, 3, 7), (4, 17, 5, 0), (3, 1, 1, 1), (2, 77, 4, 5), (1, 9, 2, 0)] {
            let step = width * channels + padding;
            let pixels: Vec<u8> = (0..step * height).map(|i| (i * i / 7 % 251) as u8).collect();
            let means = channel_means(&pixels, width, height, step, channels).unwrap();
            for (channel, mean) in means.into_iter().enumerate().take(channels) {
                let all = (0..height).flat_map(|y| (0..width).map(move |x| y * step + x * channels + channel));
                let expected = all.map(|at| f64::from(pixels[at])).sum::<f64>() / (width * height) as f64;
                assert!((mean - expected).abs() < 1e-9, "{mean}, not {expected}, of channel {channel} of {channels}");
            }
            assert!((0..4).all(|channel| means[channel].is_nan() == (channel >= channels)), "{means:?}");
        }
        assert!(channel_means(&[], 0, 0, 0, 3).unwrap().iter().all(|mean| mean.is_nan()));
        // The brightest image overflows nothing.
        assert_eq!(channel_means(&vec![255; 40_000 * 3], 40_000, 1, 120_000, 3).unwrap()[..3], [255.0; 3]);
        for (len, step) in [(29, 15), (30, 14)] {
            let error = channel_means(&vec![0; len], 5, 2, step, 3).unwrap_err().to_string();
            assert!(error.contains(&format!("has {len}")), "{error}");
        }
    }

    #[test]
    fn no_pixels_means_no_values() {
        assert!(image_features(&[], 0, 0, 0).unwrap().values().iter().all(|v| v.is_nan()));
        let one = image_features(&[9], 1, 1, 1).unwrap();
        assert_eq!((one.brightness, one.contrast, one.sharpness.is_nan()), (9.0, 0.0, true));
    }

    #[test]
    fn data_that_does_not_fit_is_refused() {
        for (len, width, height, step) in [(99, 10, 10, 10), (100, 10, 10, 9), (10, usize::MAX, 2, usize::MAX)] {
            let error = image_features(&vec![0; len], width, height, step).unwrap_err().to_string();
            assert!(error.contains(&format!("has {len}")), "{error}");
        }
    }
}
