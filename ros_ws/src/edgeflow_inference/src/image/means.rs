//! Mean colour of a frame, whatever encoding it came in, without a picture that nobody looks at where there is a shorter way.

use edgeflow_drift::channel_means;

use super::convert::{colours_of_yuv, narrowed};
use super::{CheckedFrame, PixelFormat};
use crate::Result;

const FORWARD: [usize; 3] = [0, 1, 2];
const BACKWARD: [usize; 3] = [2, 1, 0];

/// Means of red, green and blue, 0 to 255; `None` of a frame without colours.
///
/// Of YUV it is the mean of the pixels as they are converted for a model. Of a Bayer pattern it is the mean of the pixels that
/// saw the colour: interpolation gives each of them the same weight, but for the frame's edge and its rounding.
///
/// # Errors
/// [`Error::Image`](crate::Error::Image) when a conversion refuses the frame, which a checked one does not bring about.
pub(crate) fn colour_means(frame: &CheckedFrame<'_>) -> Result<Option<[f64; 3]>> {
    let CheckedFrame { width, height, step, format, data, .. } = *frame;
    let means = |pixels: &[u8], step, channels, order: [usize; 3]| -> Result<_> {
        let means = channel_means(pixels, width, height, step, channels)?;
        Ok(Some(order.map(|channel| means[channel])))
    };
    match format {
        PixelFormat::Mono8 | PixelFormat::Mono16 | PixelFormat::Float32 => Ok(None),
        PixelFormat::Rgb8 => means(data, step, 3, FORWARD),
        PixelFormat::Bgr8 => means(data, step, 3, BACKWARD),
        PixelFormat::Rgba8 => means(data, step, 4, FORWARD),
        PixelFormat::Bgra8 => means(data, step, 4, BACKWARD),
        PixelFormat::Rgb16 => means(&narrowed(frame), 3 * width, 3, FORWARD),
        PixelFormat::Bgr16 => means(&narrowed(frame), 3 * width, 3, BACKWARD),
        PixelFormat::Uyvy | PixelFormat::Yuyv | PixelFormat::Nv12 | PixelFormat::Nv21 => {
            means(&colours_of_yuv(frame)?, 3 * width, 3, FORWARD)
        }
        PixelFormat::Bayer8(cfa) => mosaic_means(data, width, height, step, cfa.red_at()).map(Some),
        PixelFormat::Bayer16(cfa) => mosaic_means(&narrowed(frame), width, height, width, cfa.red_at()).map(Some),
    }
}

/// Even and odd pixels of even and odd rows are the four colour filters; both sides are even.
fn mosaic_means(raw: &[u8], width: usize, height: usize, step: usize, red_at: (usize, usize)) -> Result<[f64; 3]> {
    let rows = |first: usize| channel_means(&raw[first * step..], width / 2, height / 2, 2 * step, 2);
    let sites = [rows(0)?, rows(1)?];
    let (x, y) = red_at;
    let green = (sites[y][1 - x] + sites[1 - y][x]) / 2.0;
    Ok([sites[y][x], green, sites[1 - y][1 - x]])
}

#[cfg(test)]
mod tests {
    use super::super::{Frame, convert::rgb};
    use super::*;

    const WIDTH: usize = 52;
    const HEIGHT: usize = 34;

    /// A smooth picture: red rises to the right, green downwards, blue falls to the right; none is dark or saturated.
    fn picture(x: usize, y: usize) -> [u8; 3] {
        [(40 + 3 * x) as u8, (60 + 4 * y) as u8, (210 - 2 * x) as u8]
    }

    /// Rows of bytes with `padding` behind each.
    fn rows(height: usize, padding: usize, row: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        (0..height).flat_map(|y| [row(y), vec![7; padding]].concat()).collect()
    }

    /// Luma and the two chromas of BT.601, 16 to 235.
    fn yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = [r, g, b].map(f64::from);
        let y = 16.0 + 0.257 * r + 0.504 * g + 0.098 * b;
        let u = 128.0 - 0.148 * r - 0.291 * g + 0.439 * b;
        let v = 128.0 + 0.439 * r - 0.368 * g - 0.071 * b;
        [y, u, v].map(|value| value.round() as u8)
    }

    /// The picture as a camera would send it, and its step.
    fn sent(encoding: &str) -> (Vec<u8>, usize) {
        let pixels = |y: usize| (0..WIDTH).map(move |x| picture(x, y));
        let wide = |values: Vec<u8>| values.iter().flat_map(|v| (u16::from(*v) * 257).to_le_bytes()).collect::<Vec<_>>();
        let pair = |x: usize, y: usize| [yuv(picture(x, y)), yuv(picture(x + 1, y))];
        let interleaved =
            |order: fn([[u8; 3]; 2]) -> [u8; 4]| rows(HEIGHT, 6, |y| (0..WIDTH).step_by(2).flat_map(|x| order(pair(x, y))).collect());
        let planes = |order: fn([u8; 3]) -> [u8; 2]| {
            let luma = rows(HEIGHT, 6, |y| pixels(y).map(|p| yuv(p)[0]).collect());
            let chroma = rows(HEIGHT / 2, 6, |y| (0..WIDTH).step_by(2).flat_map(|x| order(yuv(picture(x, 2 * y)))).collect());
            [luma, chroma].concat()
        };
        let mosaic = |red: (usize, usize)| {
            let filtered = move |x: usize, y: usize| match (x % 2 == red.0, y % 2 == red.1) {
                (true, true) => picture(x, y)[0],
                (false, false) => picture(x, y)[2],
                _ => picture(x, y)[1],
            };
            move |y: usize| (0..WIDTH).map(|x| filtered(x, y)).collect::<Vec<u8>>()
        };
        let red = if encoding.contains("rggb") {
            (0, 0)
        } else if encoding.contains("grbg") {
            (1, 0)
        } else if encoding.contains("gbrg") {
            (0, 1)
        } else {
            (1, 1)
        };
        let data = match encoding {
            "rgb8" => rows(HEIGHT, 6, |y| pixels(y).flatten().collect()),
            "bgr8" | "8UC3" => rows(HEIGHT, 6, |y| pixels(y).flat_map(|[r, g, b]| [b, g, r]).collect()),
            "rgba8" => rows(HEIGHT, 6, |y| pixels(y).flat_map(|[r, g, b]| [r, g, b, 255]).collect()),
            "bgra8" | "8UC4" => rows(HEIGHT, 6, |y| pixels(y).flat_map(|[r, g, b]| [b, g, r, 255]).collect()),
            "rgb16" => rows(HEIGHT, 6, |y| wide(pixels(y).flatten().collect())),
            "bgr16" => rows(HEIGHT, 6, |y| wide(pixels(y).flat_map(|[r, g, b]| [b, g, r]).collect())),
            "uyvy" | "yuv422" => interleaved(|[a, b]| [a[1], a[0], a[2], b[0]]),
            "yuyv" | "yuv422_yuy2" => interleaved(|[a, b]| [a[0], a[1], b[0], a[2]]),
            "nv12" => planes(|[_, u, v]| [u, v]),
            "nv21" => planes(|[_, u, v]| [v, u]),
            bayer if bayer.ends_with("16") => rows(HEIGHT, 6, |y| wide(mosaic(red)(y))),
            _ => rows(HEIGHT, 6, mosaic(red)),
        };
        let rows = if encoding.starts_with("nv") { HEIGHT + HEIGHT / 2 } else { HEIGHT };
        let step = data.len() / rows;
        (data, step)
    }

    fn naive(pixels: impl Iterator<Item = [u8; 3]>) -> [f64; 3] {
        let (mut sums, mut count) = ([0.0; 3], 0.0);
        for pixel in pixels {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f64::from(value));
            count += 1.0;
        }
        sums.map(|sum| sum / count)
    }

    #[test]
    fn every_encoding_with_colours_has_their_means() {
        let truth = naive((0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| picture(x, y))));
        let exact = ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "8UC4", "rgb16", "bgr16"];
        let yuv = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"];
        let bayer = ["rggb8", "bggr8", "gbrg8", "grbg8", "rggb16", "bggr16", "gbrg16", "grbg16"].map(|filters| format!("bayer_{filters}"));
        let all = exact.iter().chain(&yuv).map(ToString::to_string).chain(bayer);
        for encoding in all {
            let (data, step) = sent(&encoding);
            let frame = Frame {
                width: WIDTH as u32,
                height: HEIGHT as u32,
                step: step as u32,
                encoding: &encoding,
                is_bigendian: false,
                data: &data,
            };
            let frame = frame.check().unwrap();
            let means = colour_means(&frame).unwrap().unwrap();
            let converted = naive(rgb(&frame).unwrap().as_chunks::<3>().0.iter().copied());
            // Of the picture as the model would see it: all but a Bayer pattern to the last digit.
            let slack = if encoding.starts_with("bayer") { 1.5 } else { 1e-9 };
            let near = |a: [f64; 3], b: [f64; 3], slack: f64| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= slack);
            assert!(near(means, converted, slack), "{encoding}: {means:?}, converted {converted:?}");
            // And of the scene: chroma that is shared by two or four pixels, and sites that lie one aside, move it by a level or two.
            let slack = if exact.contains(&encoding.as_str()) { 1e-9 } else { 4.0 };
            assert!(near(means, truth, slack), "{encoding}: {means:?}, not {truth:?}");
        }
    }

    #[test]
    fn big_endian_numbers_are_read_as_meant() {
        for encoding in ["rgb16", "bayer_rggb16"] {
            let (mut data, step) = sent(encoding);
            data.chunks_exact_mut(step).for_each(|row| row.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1)));
            // 257 times a level reads the same either way; one that does not tells.
            data[0] = 0;
            let frame = Frame { width: WIDTH as u32, height: HEIGHT as u32, step: step as u32, encoding, is_bigendian: true, data: &data };
            let frame = frame.check().unwrap();
            let red = colour_means(&frame).unwrap().unwrap()[0];
            let sites = if encoding == "rgb16" { WIDTH * HEIGHT } else { WIDTH * HEIGHT / 4 } as f64;
            let (data, step) = sent(encoding);
            let whole = Frame { width: WIDTH as u32, height: HEIGHT as u32, step: step as u32, encoding, is_bigendian: false, data: &data };
            let expected = colour_means(&whole.check().unwrap()).unwrap().unwrap()[0] - 40.0 / sites;
            assert!((red - expected).abs() < 1e-9, "{encoding}: {red}, not {expected}");
        }
    }

    #[test]
    fn a_frame_without_colours_has_none() {
        for (encoding, bytes) in [("mono8", 1), ("8UC1", 1), ("mono16", 2), ("16UC1", 2), ("32FC1", 4)] {
            let data = vec![0; 4 * bytes];
            let frame = Frame { width: 2, height: 2, step: 2 * bytes as u32, encoding, is_bigendian: false, data: &data };
            assert_eq!(colour_means(&frame.check().unwrap()).unwrap(), None, "{encoding}");
        }
    }
}
