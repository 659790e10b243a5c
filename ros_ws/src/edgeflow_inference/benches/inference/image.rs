//! From a camera's frame to a graph's input: 640x480 `rgb8` to 3x224x224 float32 on one core, for each way to resize, beside a plain copy of
//! the frame and of the tensor.

use std::hint::black_box;

use edgeflow_bundle::Manifest;
use edgeflow_inference::image::{Decompressed, Frame, Preparer, Scratch};
use edgeflow_inference::tensor::{ElementType, TensorSpec};

use super::{figure, interleaved, median};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const CALLS: usize = 500;

pub(super) fn run() {
    // Pseudo-random, so that nothing is easier than in a picture.
    let data: Vec<u8> = (0..WIDTH * HEIGHT * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // The default, and what a manifest may ask for instead.
    for (id, filter, mode) in [
        ("preprocess_ms", "bilinear", "stretch"),
        ("preprocess_letterbox_ms", "linear", "letterbox"),
        ("preprocess_crop_ms", "bilinear", "centre_crop"),
        ("preprocess_box_ms", "box", "stretch"),
        ("preprocess_bicubic_ms", "bicubic", "stretch"),
    ] {
        let preparer = preparer(filter, mode);
        let mut scratch = Scratch::default();
        let frame = Frame { width: WIDTH, height: HEIGHT, step: WIDTH * 3, encoding: "rgb8", is_bigendian: false, data: &data };
        let prepare = || {
            let frame = black_box(&frame).check().unwrap();
            black_box(preparer.prepare(&frame, &mut scratch).unwrap());
        };
        let copy = || {
            black_box(black_box(&data).clone());
        };
        let (prepared, copied) = interleaved(CALLS, 10, prepare, copy);
        figure(id, median(prepared) / 1e3, "ms/frame");
        if id == "preprocess_ms" {
            figure("preprocess_copy_ms", median(copied) / 1e3, "ms/frame");
        }
    }
    let jpeg = include_bytes!("../../tests/models/digit_scene.jpg");
    let decode = || {
        black_box(Decompressed::new(black_box(jpeg)).unwrap());
    };
    let (decoded, _) = interleaved(CALLS / 5, 10, decode, || ());
    figure("decode_jpeg_ms", median(decoded) / 1e3, "ms/frame");
}

fn preparer(filter: &str, mode: &str) -> Preparer {
    let manifest = format!(
        "v: 1\ninput: {{encoding: rgb8, resize: {{width: 224, height: 224, mode: {mode}, filter: {filter}}}, layout: nchw, scale: 0.00392156862745098, \
         mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}\n"
    );
    let spec = TensorSpec {
        name: "images".into(),
        element_type: Some(ElementType::F32),
        type_name: "float32".into(),
        shape: vec![1, 3, 224, 224],
        rank_known: true,
    };
    let input = Manifest::parse(&manifest).unwrap().input.unwrap();
    Preparer::new(input.image().unwrap().clone(), &spec).unwrap()
}
