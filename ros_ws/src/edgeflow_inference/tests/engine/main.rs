//! The engine on real graphs and the real runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod binding;
mod http;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod swap;
mod tensors;
mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use edgeflow_inference::Error;
use edgeflow_inference::engine::{Engine, LoadRequest, Stage};
use edgeflow_inference::image::Frame;
use support::*;

fn black() -> Frame<'static> {
    Frame { width: 4, height: 4, step: 4, encoding: "mono8", is_bigendian: false, data: &[0; 16] }
}

fn load(engine: &Engine, request: &LoadRequest) -> Result<u32, Error> {
    engine.load(request, &mut |_| Ok(())).map(|loaded| loaded.swapped.gap_us())
}

fn label(engine: &Engine, frame: &Frame<'_>) -> String {
    engine.current().unwrap().infer_frame(&frame.check().unwrap()).unwrap().classification().cloned().unwrap().label
}

#[test]
fn a_load_that_is_called_off_at_any_stage_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    load(&engine, &request(&pixel_bundle(dir.path(), 0))).unwrap();
    let other = request(&pixel_bundle(dir.path(), 1));
    for last in 1..=3 {
        let mut stages = 0;
        let called_off = engine.load(&other, &mut |_| {
            stages += 1;
            if stages == last { Err(Error::Canceled) } else { Ok(()) }
        });
        assert!(matches!(called_off, Err(Error::Canceled)));
        assert_eq!(label(&engine, &black()), "a", "called off at stage {last}");
    }
    assert_eq!(engine.unload().map(|model| model.name.clone()).as_deref(), Some("test"));
    assert!(matches!(engine.current(), Err(Error::NoModel)));
}

#[test]
fn a_bundle_is_loaded_in_stages_and_classifies_frames() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    assert!(matches!(engine.current(), Err(Error::NoModel)));

    let mut stages = Vec::new();
    let mut note = |stage| {
        stages.push(stage);
        Ok(())
    };
    let loaded = engine.load(&request(&pixel_bundle(dir.path(), 1)), &mut note).unwrap();
    assert_eq!(stages, [Stage::Verifying, Stage::Warming(loaded.model.digest), Stage::Swapping]);
    assert_eq!(loaded.swapped.gap_us(), 0, "nobody waited for the first model");
    assert!(loaded.swapped.replaced.is_none());

    assert_eq!(label(&engine, &black()), "b");
    // White in the lower right quarter lifts d to 255 / 256, still below b's 2; white in the upper right lifts b.
    let mut data = [0; 16];
    for i in [2, 3, 6, 7] {
        data[i] = 255;
    }
    let frame = Frame { data: &data, ..black() };
    let inference = engine.current().unwrap().infer_frame(&frame.check().unwrap()).unwrap();
    let class = inference.classification().cloned().unwrap();
    assert_eq!((class.label.as_str(), class.class_id), ("b", 1));
    assert!((class.score - (2.0 + 255.0 / 256.0)).abs() < 1e-6, "{}", class.score);
    assert_eq!(class.scores.len(), 4);
    assert_eq!(inference.outputs.len(), 1);
}

#[test]
fn swaps_under_load_lose_no_frame_and_mix_no_models() {
    const SWAPS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(engine());
    let bundles: Vec<LoadRequest> = (0..2).map(|i| request(&pixel_bundle(dir.path(), i))).collect();
    let digests: Vec<_> = bundles
        .iter()
        .map(|b| {
            load(&engine, b).unwrap();
            engine.current().unwrap().digest
        })
        .collect();
    assert_ne!(digests[0], digests[1]);

    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let frames = std::thread::spawn({
        let (engine, stop, done, digests) = (Arc::clone(&engine), Arc::clone(&stop), Arc::clone(&done), digests.clone());
        move || {
            let mut seen = [0u64; 2];
            while !stop.load(Ordering::Relaxed) {
                let model = engine.current().expect("there is always a model");
                let class = model.infer_frame(&black().check().unwrap()).expect("no frame fails").classification().cloned().unwrap();
                let which = digests.iter().position(|d| *d == model.digest).unwrap();
                assert_eq!(class.class_id as usize, which, "the result is of the model it names");
                seen[which] += 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
            seen
        }
    });
    let mut worst = 0;
    for i in 0..SWAPS {
        // Frames go on between any two swaps.
        let before = done.load(Ordering::Relaxed);
        while done.load(Ordering::Relaxed) == before && !frames.is_finished() {
            std::thread::yield_now();
        }
        worst = worst.max(load(&engine, &bundles[i % 2]).unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    let seen = frames.join().unwrap();
    eprintln!("{SWAPS} swaps, {seen:?} frames, worst gap {worst} us");
    assert!(worst > 0, "a gap is measured");
    assert!(seen.iter().all(|n| *n > 0), "both models served: {seen:?}");
}

#[test]
fn a_bad_bundle_is_named_and_the_running_model_keeps_running() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let good = pixel_bundle(dir.path(), 2);
    load(&engine, &request(&good)).unwrap();
    let running = engine.current().unwrap().digest;

    let whole = pixel_model([0.0; 4]);
    let at = |name: &str| dir.path().join(name);
    let unknown_op = model(
        &[node("Frobnicate", &["X"], &["probabilities"])],
        &[],
        &[value("X", FLOAT, &[0, 4])],
        &[value("probabilities", FLOAT, &[0, 4])],
    );
    // Element 9 of 4 does not exist, which only running it can tell.
    let fails_when_run = model(
        &[node("Gather", &["flat", "nine"], &["probabilities"]), node("Reshape", &["X", "minus"], &["flat"])],
        &[ints("nine", &[4], &[9, 9, 9, 9]), ints("minus", &[1], &[-1])],
        &[value("X", FLOAT, &[0, 4])],
        &[value("probabilities", FLOAT, &[4])],
    );
    let with_baseline = |name: &str, text: &str| {
        let path = bundle(&at(name), &whole, Some(PIXEL_MANIFEST));
        std::fs::write(path.join("baseline.json"), text).unwrap();
        path
    };
    let feature = |name: &str| {
        format!(
            r#"{{"v": 1, "features": [{{"name": "{name}", "unit": "1", "edges": [1.0], "counts": [1, 1], "n": 2, "n_effective": 2.0, "mean": 1.0, "std": 1.0, "min": 0.0, "max": 2.0}}]}}"#
        )
    };
    std::fs::create_dir(at("empty")).unwrap();
    let cases = [
        (std::path::PathBuf::new(), "bundle_path is empty"),
        (at("nowhere"), "nowhere"),
        (at("empty"), "no model.onnx"),
        (bundle(&at("noise"), b"this is no model at all, but long enough to look at", None), "model.onnx"),
        (bundle(&at("truncated"), &whole[..whole.len() - 7], None), "model.onnx"),
        (bundle(&at("half"), &whole[..whole.len() / 2], Some(PIXEL_MANIFEST)), "model.onnx"),
        (bundle(&at("op"), &unknown_op, Some(PIXEL_MANIFEST)), "Frobnicate"),
        (bundle(&at("run"), &fails_when_run, Some(PIXEL_MANIFEST)), "failed its warm-up"),
        (bundle(&at("size"), &whole, Some(&PIXEL_MANIFEST.replace("width: 2", "width: 3"))), "does not fit model.onnx"),
        (bundle(&at("labels"), &whole, Some(&PIXEL_MANIFEST.replace("a, b", "a"))), "3 labels"),
        (bundle(&at("key"), &whole, Some(&PIXEL_MANIFEST.replace("layout", "lay_out"))), "lay_out"),
        (bundle(&at("scores"), &whole, Some(&PIXEL_MANIFEST.replace("probabilities", "odds"))), "odds"),
        (with_baseline("json", "{"), "baseline.json"),
        (with_baseline("feature", &feature("temperature")), "`temperature`"),
    ];
    for (path, want) in cases {
        let error = load(&engine, &request(&path)).unwrap_err().to_string();
        assert!(error.contains(want), "{}: `{error}` should contain `{want}`", path.display());
        assert_eq!(engine.current().unwrap().digest, running, "{}", path.display());
        assert_eq!(label(&engine, &black()), "c");
    }
    load(&engine, &request(&with_baseline("fine", &feature("sharpness")))).unwrap();
}

#[test]
fn the_digest_asked_for_is_the_one_that_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let (one, two) = (pixel_bundle(dir.path(), 0), pixel_bundle(dir.path(), 1));
    load(&engine, &request(&one)).unwrap();
    let first = engine.current().unwrap().digest;
    let wrong = LoadRequest { expected: Some(first), ..request(&two) };
    let error = load(&engine, &wrong).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert!(error.to_string().contains(&format!("expected {first}")), "{error}");
    assert_eq!(engine.current().unwrap().digest, first);
    load(&engine, &LoadRequest { expected: Some(first), ..request(&one) }).unwrap();
}

#[test]
fn a_frame_of_the_wrong_size_is_refused_where_the_manifest_does_not_resize() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let manifest = PIXEL_MANIFEST.replace("resize: {width: 2, height: 2, filter: box}, ", "");
    load(&engine, &request(&bundle(&dir.path().join("as-is"), &pixel_model([0.0, 0.0, 0.0, 1.5]), Some(&manifest)))).unwrap();
    let fits = Frame { width: 2, height: 2, step: 2, data: &[0; 4], ..black() };
    assert_eq!(label(&engine, &fits), "d");
    let error = engine.current().unwrap().infer_frame(&black().check().unwrap()).unwrap_err().to_string();
    assert!(error.contains("expected float32 of shape [-1, 4] (-1 is free), got float32 of shape [1, 16]"), "{error}");
}
