//! Scenes of digits, drawn from what the detector of `tests/models` was made of: where they are is known.

use std::path::PathBuf;

use edgeflow_ros::sensor_msgs::msg::Image;

/// Names of the ten classes.
pub(crate) const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn models() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models"))
}

/// The detector's bundle.
pub(crate) fn detector() -> PathBuf {
    models().join("digit_detector")
}

/// A digit in a frame, by its outer edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) digit: usize,
    pub(crate) left: usize,
    pub(crate) top: usize,
}

pub(crate) fn placed(digit: usize, left: usize, top: usize) -> Placed {
    Placed { digit, left, top }
}

/// The scene that `make_digit_detector.py` drew, and its picture as a JPEG.
pub(crate) fn python_scene() -> (Vec<Placed>, Vec<u8>) {
    let scenes = scenes();
    let number = |entry: &serde_json::Value, key: &str| entry[key].as_u64().unwrap() as usize;
    let scene = scenes["scene"].as_array().unwrap();
    let scene = scene.iter().map(|entry| placed(number(entry, "digit"), number(entry, "left"), number(entry, "top")));
    (scene.collect(), std::fs::read(models().join("digit_scene.jpg")).unwrap())
}

fn scenes() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(models().join("digit_scenes.json")).unwrap()).unwrap()
}

/// Draws digits on a slope of dark grey, each of their 8 x 8 pixels as a square of `cell` pixels.
pub(crate) fn scene(width: usize, height: usize, cell: usize, digits: &[Placed]) -> Image {
    let glyphs: Vec<Vec<u32>> = scenes()["digits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|glyph| glyph.as_str().unwrap().chars().map(|c| c.to_digit(17).unwrap()).collect())
        .collect();
    let mut data: Vec<u8> = (0..width * height).map(|i| ((i % width + i / width) / 64) as u8).collect();
    for Placed { digit, left, top } in digits {
        for y in 0..8 * cell {
            for x in 0..8 * cell {
                data[(top + y) * width + left + x] = (glyphs[*digit][y / cell * 8 + x / cell] * 255 / 16) as u8;
            }
        }
    }
    Image { width: width as u32, height: height as u32, step: width as u32, encoding: "mono8".into(), data, ..Default::default() }
}

/// A grey image in another encoding.
pub(crate) fn in_encoding(grey: &Image, encoding: &str) -> Image {
    let pixels = &grey.data;
    let data: Vec<u8> = match encoding {
        "mono16" | "16UC1" => pixels.iter().flat_map(|p| (u16::from(*p) * 257).to_le_bytes()).collect(),
        "32FC1" => pixels.iter().flat_map(|p| f32::from(*p).to_le_bytes()).collect(),
        "rgb8" | "bgr8" => pixels.iter().flat_map(|p| [*p; 3]).collect(),
        "bgra8" => pixels.iter().flat_map(|p| [*p, *p, *p, 255]).collect(),
        "yuyv" => pixels.iter().flat_map(|p| [*p, 128]).collect(),
        "uyvy" => pixels.iter().flat_map(|p| [128, *p]).collect(),
        "nv12" => pixels.iter().copied().chain(std::iter::repeat_n(128, pixels.len() / 2)).collect(),
        other => panic!("nobody needs {other}"),
    };
    let rows = if encoding == "nv12" { grey.height + grey.height / 2 } else { grey.height };
    Image { encoding: encoding.into(), step: data.len() as u32 / rows, data, ..grey.clone() }
}

/// A grey or coloured image as a PNG.
pub(crate) fn png(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(if image.encoding == "mono8" { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.write_header().unwrap().write_image_data(&image.data).unwrap();
    bytes
}
