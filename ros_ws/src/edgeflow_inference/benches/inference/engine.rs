//! The engine against a bare `session.run` on the same library, with the same session options: a graph that takes microseconds,
//! where every allocation shows, and one of about five milliseconds.

use std::hint::black_box;
use std::sync::Arc;

use edgeflow_inference::engine::ort::OrtBackend;
use edgeflow_inference::engine::{Engine, IoBinding, Model, SessionOptions};
use edgeflow_inference::tensor::{Data, Tensor};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use super::support::*;
use super::{figure, interleaved, median, ratio};

pub(super) fn run() {
    let dir = tempfile::tempdir().unwrap();
    let (tiny, bare) = both(&bundle(&dir.path().join("tiny"), &pixel_model([0.0; 4]), None), &[1, 4], "probabilities", 50_000, 500);
    figure("engine_bare_tiny_us", bare, "us/run");
    figure("engine_overhead_us", tiny - bare, "us/run");

    const WIDTH: u64 = 512;
    let weights: Vec<f32> = (0..WIDTH * WIDTH).map(|i| (i % 17) as f32 * 1e-3).collect();
    let onnx = model(
        // Much in and little out, as most models have it: outputs are copied.
        &[node("MatMul", &["X", "weights"], &["product"]), node("ReduceMax", &["product"], &["Y"])],
        &[floats("weights", &[WIDTH, WIDTH], &weights)],
        &[value("X", FLOAT, &[0, WIDTH])],
        &[value("Y", FLOAT, &[1, 1])],
    );
    // As many rows as make about five milliseconds here.
    let path = bundle(&dir.path().join("five-ms"), &onnx, None);
    let (_, one_row_block) = both(&path, &[128, WIDTH as i64], "Y", 20, 5);
    let rows = (128.0 * 5000.0 / one_row_block).round() as i64;
    let (engine, bare) = both(&path, &[rows, WIDTH as i64], "Y", 400, 10);
    ratio("engine_overhead_ratio", engine, "us/run", "engine_bare_5ms_us", bare);
    binding();
}

/// The engine with I/O binding against the engine without it, on a CPU, where binding costs a copy of the input: a frame's tensor in,
/// as large a one out, next to nothing in between.
fn binding() {
    const SHAPE: [i64; 4] = [1, 3, 224, 224];
    let dir = tempfile::tempdir().unwrap();
    let frame = SHAPE.map(|d| d as u64);
    let onnx = model(&[node("Relu", &["X"], &["Y"])], &[], &[value("X", FLOAT, &frame)], &[value("Y", FLOAT, &frame)]);
    let path = bundle(&dir.path().join("relu"), &onnx, None);
    let tensors = [Tensor::new("X", SHAPE.to_vec(), Data::F32(vec![0.5; SHAPE.iter().product::<i64>() as usize])).unwrap()];
    let [bound, plain] = [IoBinding::Always, IoBinding::Never].map(|io_binding| {
        let engine = engine_with(SessionOptions { io_binding, ..SessionOptions::default() });
        engine.load(&request(&path), &mut |_| Ok(())).unwrap();
        engine.current().unwrap()
    });
    assert!(bound.binds() && !plain.binds());
    let run = |model: &Model| {
        black_box(model.infer_tensors(black_box(&tensors)).unwrap());
    };
    let (bound, plain) = interleaved(4_000, 50, || run(&bound), || run(&plain));
    ratio("io_binding_ratio", median(bound), "us/run", "engine_unbound_us", median(plain));
}

/// A bare session with the engine's own settings.
fn session(backend: &OrtBackend, path: &std::path::Path) -> Session {
    let onnx = std::fs::read(path.join("model.onnx")).unwrap();
    Session::builder(backend.environment())
        .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
        .and_then(|b| Ok(b.with_intra_threads(1)?))
        .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
        .and_then(|mut b| b.commit_from_memory(&onnx))
        .unwrap()
}

/// Median microseconds of a run by the engine, and by a bare session.
fn both(path: &std::path::Path, shape: &[i64], output: &str, calls: usize, turn: usize) -> (f64, f64) {
    let backend = Arc::new(OrtBackend::find("").unwrap());
    let mut session = session(&backend, path);
    let engine = Engine::new(backend, SessionOptions::default());
    engine.load(&request(path), &mut |_| Ok(())).unwrap();

    let elements = shape.iter().product::<i64>() as usize;
    let values = vec![0.5f32; elements];
    let tensors = [Tensor::new("X", shape.to_vec(), Data::F32(values.clone())).unwrap()];
    let by_engine = || {
        black_box(engine.current().unwrap().infer_tensors(black_box(&tensors)).unwrap());
    };
    let mut bare = || {
        let input = TensorRef::from_array_view((shape, black_box(values.as_slice()))).unwrap();
        let outputs = session.run(ort::inputs![input]).unwrap();
        black_box(outputs.get(output).unwrap().try_extract_tensor::<f32>().unwrap());
    };
    (0..turn).for_each(|_| {
        by_engine();
        bare();
    });
    let (engine, bare) = interleaved(calls, turn, by_engine, bare);
    (median(engine), median(bare))
}
