//! What a load is held against before it may serve, and the way back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::support::*;
use super::{black, label, load};

/// A bundle that says `b`, with a golden case.
fn golden(dir: &Path, name: &str, expected: &str) -> PathBuf {
    let path = bundle(&dir.join(name), &pixel_model([0.0, 2.0, 0.0, 0.0]), Some(PIXEL_MANIFEST));
    let case = format!(
        r#"{{"name": "dark", "inputs": [{{"name": "X", "shape": [1, 4], "data": [0, 0, 0, 0.5]}}],
            "outputs": [{{"name": "probabilities", "shape": [1, 4], "data": {expected}}}]}}"#
    );
    std::fs::write(path.join("golden.json"), format!(r#"{{"v": 1, "cases": [{case}]}}"#)).unwrap();
    path
}

#[test]
fn a_golden_case_is_computed_before_the_model_may_serve() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let (plain, right) = (pixel_bundle(dir.path(), 1), golden(dir.path(), "right", "[0, 2.0004, 0, 0.5]"));
    load(&engine, &request(&plain)).unwrap();
    let without = engine.current().unwrap().digest;
    load(&engine, &request(&right)).unwrap();
    let running = engine.current().unwrap().digest;
    assert_ne!(running, without, "golden.json is part of the bundle's identity");

    let cases = [
        (
            "wrong",
            "[0, 1.5, 0, 0.5]",
            "golden.json case \"dark\": output `probabilities` is off in 1 of 4 elements; most of all element 1: 2 instead of 1.5, off by 5e-1 where 1.51e-3 is allowed",
        ),
        ("shape", "[0, 2]", "output \"probabilities\" has shape [1, 4], but 2 elements"),
        ("text", "[\"a\", \"b\", \"c\", \"d\"]", "its elements are of another type"),
    ];
    for (name, expected, want) in cases {
        let error = load(&engine, &request(&golden(dir.path(), name, expected))).unwrap_err().to_string();
        assert!(error.contains(want), "`{error}` should contain `{want}`");
        assert_eq!(engine.current().unwrap().digest, running);
        assert_eq!(label(&engine, &black()), "b");
    }
}

#[test]
fn a_rollback_needs_no_disk_and_frees_what_it_takes_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let bundles = [0, 1, 2].map(|i| pixel_bundle(dir.path(), i));
    let refused = |engine: &edgeflow_inference::engine::Engine| {
        let error = engine.roll_back().map(drop).unwrap_err().to_string();
        assert!(error.contains("no previous model is kept"), "{error}");
    };
    refused(&engine);
    load(&engine, &request(&bundles[0])).unwrap();
    refused(&engine);
    load(&engine, &request(&bundles[1])).unwrap();
    let first = Arc::downgrade(&engine.previous().unwrap());
    load(&engine, &request(&bundles[2])).unwrap();
    assert!(first.upgrade().is_none(), "one model is kept, not all");
    let bad = Arc::downgrade(&engine.current().unwrap());
    std::fs::remove_dir_all(dir.path()).unwrap();

    let rolled = engine.roll_back().unwrap();
    assert!(rolled.swapped.gap_us() > 0);
    assert_eq!((label(&engine, &black()).as_str(), rolled.swapped.replaced.as_ref().unwrap().digest), ("b", bad.upgrade().unwrap().digest));
    drop(rolled);
    assert!(bad.upgrade().is_none(), "the bad model is gone");
    refused(&engine);
    assert_eq!(label(&engine, &black()), "b");

    engine.set_keep_previous(false);
    let dir = tempfile::tempdir().unwrap();
    load(&engine, &request(&pixel_bundle(dir.path(), 3))).unwrap();
    refused(&engine);
    assert_eq!(label(&engine, &black()), "d");
}

#[test]
fn a_failed_load_leaves_no_session_behind() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    load(&engine, &request(&pixel_bundle(dir.path(), 0))).unwrap();
    // 32 MiB of weights that a session holds, and a golden case that is wrong: refused when everything is built.
    let width = 8 << 20;
    let onnx = model(
        &[node("Add", &["X", "weights"], &["sum"]), node("ReduceMax", &["sum"], &["Y"])],
        &[floats("weights", &[width], &vec![1.0; width as usize])],
        &[value("X", FLOAT, &[1])],
        &[value("Y", FLOAT, &[1])],
    );
    let large = bundle(&dir.path().join("large"), &onnx, None);
    let case = r#"{"inputs": [{"name": "X", "shape": [1], "data": [1]}], "outputs": [{"name": "Y", "shape": [1], "data": [3]}]}"#;
    std::fs::write(large.join("golden.json"), format!(r#"{{"v": 1, "cases": [{case}]}}"#)).unwrap();
    let refuse = || {
        let error = load(&engine, &request(&large)).unwrap_err().to_string();
        assert!(error.contains("2 instead of 3"), "{error}");
    };
    (0..3).for_each(|_| refuse());
    let before = resident_kib();
    (0..10).for_each(|_| refuse());
    let after = resident_kib();
    assert!(after < before + 64 * 1024, "ten failed loads of 32 MiB grew the process from {before} to {after} KiB");
    assert_eq!(label(&engine, &black()), "a");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
