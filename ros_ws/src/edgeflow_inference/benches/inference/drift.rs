//! What it costs to watch every frame for drift, beside what the frame costs anyway: its conversion and an inference of 5 ms.

use std::hint::black_box;
use std::sync::Arc;

use edgeflow_bundle::{InputSpec, Manifest};
use edgeflow_drift::{Config, Monitor};
use edgeflow_inference::engine::ort::OrtBackend;
use edgeflow_inference::engine::{Engine, SessionOptions};
use edgeflow_inference::image::{Frame, Preparer, Scratch};
use edgeflow_inference::watch::{Measures, Seen};

use super::support::*;
use super::{figure, interleaved, median, ratio};

const EDGE: usize = 224;
const INFERENCE_US: f64 = 5000.0;
const MANIFEST: &str = "v: 1
input: {encoding: rgb8, layout: nchw, scale: 0.00392157}
output: {decode: classification, scores: Y}
labels: [a, b, c]
";

pub(super) fn run() {
    let dir = tempfile::tempdir().unwrap();
    let edge = EDGE as u64;
    let axes = ints("axes", &[2], &[2, 3]);
    let onnx = model(
        &[node("ReduceSum", &["X", "axes"], &["sums"]), node("Reshape", &["sums", "rows"], &["Y"])],
        &[axes, ints("rows", &[2], &[-1, 3])],
        &[value("X", FLOAT, &[1, 3, edge, edge])],
        &[value("Y", FLOAT, &[1, 3])],
    );
    let engine = Engine::new(Arc::new(OrtBackend::find("").unwrap()), SessionOptions::default());
    engine.load(&request(&bundle(&dir.path().join("rgb"), &onnx, Some(MANIFEST))), &mut |_| Ok(())).unwrap();
    let model = engine.current().unwrap();
    let Some(InputSpec::Image(input)) = Manifest::parse(MANIFEST).unwrap().input else { panic!("an image") };
    let preparer = Preparer::new(input, &model.inputs()[0]).unwrap();

    let data: Vec<u8> = (0..EDGE * EDGE * 3).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let frame = Frame { width: 224, height: 224, step: 672, encoding: "rgb8", is_bigendian: false, data: &data }.check().unwrap();
    let answer = model.infer_frame(&frame).unwrap();
    let measures = Measures::of(&model, None).unwrap();
    let mut monitor = Monitor::mixed(measures.features(), None, 100, Config::default()).unwrap();
    let mut stamp_ns = 0;
    let mut watch = || {
        stamp_ns += 50_000_000;
        let values = measures.values(Seen::Image(black_box(&frame)), Some(&answer)).unwrap();
        black_box(monitor.push(stamp_ns, &values).unwrap());
    };
    (0..200).for_each(|_| watch());
    let mut scratch = Scratch::default();
    let mut convert = || {
        black_box(preparer.prepare(black_box(&frame), &mut scratch).unwrap());
    };
    convert();
    const WINDOW: usize = 100;
    let (watched, converted) = interleaved(10_000, WINDOW, watch, convert);
    // Every hundredth frame closes a window.
    let (frames, closing): (Vec<_>, Vec<_>) = watched.into_iter().enumerate().partition(|(i, _)| !(i + 1).is_multiple_of(WINDOW));
    let [frame, close] = [frames, closing].map(|calls| median(calls.into_iter().map(|(_, us)| us).collect()));
    let mean = frame + (close - frame) / WINDOW as f64;
    figure("drift_window_close_us", close - frame, "us/window");
    ratio("drift_share", mean, "us/frame", "conversion_and_5_ms_us", median(converted) + INFERENCE_US);
}
