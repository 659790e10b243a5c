//! The committed label-reader models answer here what they answer in Python: same frames, same scores.
//! `make_reference.py` wrote what Python said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use edgeflow_inference::image::Frame;
use support::{engine, request};

/// As `frame` of make_reference.py.
fn render(index: u64, pixels: &str) -> Vec<u8> {
    let digits: Vec<u32> = pixels.chars().map(|c| c.to_digit(17).unwrap()).collect();
    let pixel = |i: usize| {
        let (x, y) = (i % 96, i / 96);
        let noise = (i as u64 * 7919 + index * 104_729) % 16;
        (digits[y / 12 * 8 + x / 12] * 15) as u8 + noise as u8
    };
    (0..96 * 96).map(pixel).collect()
}

#[test]
fn scores_are_what_python_computes() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(here.join("tests/label_reader_reference.json")).unwrap()).unwrap();
    let frames = reference["frames"].as_array().unwrap();
    assert!(frames.len() >= 50);
    let engine = engine();
    for version in ["v1", "v2"] {
        let path = here.join("../../../sim/models").join(version);
        engine.load(&request(&path), &mut |_| Ok(())).unwrap();
        let model = engine.current().unwrap();
        for (i, entry) in frames.iter().enumerate() {
            let data = render(i as u64, entry["pixels"].as_str().unwrap());
            let frame = Frame { width: 96, height: 96, step: 96, encoding: "mono8", is_bigendian: false, data: &data };
            let class = model.infer_frame(&frame.check().unwrap()).unwrap().classification().cloned().unwrap();
            let expected: Vec<f64> = entry[version].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
            assert_eq!(class.scores.len(), expected.len());
            for (got, want) in class.scores.iter().zip(&expected) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{version}, frame {i}: {:?} is not {expected:?}", class.scores);
            }
            let best = expected.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            assert_eq!(class.label, best.to_string(), "{version}, frame {i}");
        }
    }
}
