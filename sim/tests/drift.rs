//! The drift of the demo: seen at once where a camera is off, never seen where it is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic

use edgeflow_drift::{Baseline, Config, IMAGE_FEATURES, Monitor, OTHER, Report, image_features};
use edgeflow_sim::digits::{Digits, Split};
use edgeflow_sim::render::{Camera, Effects, FRAME_SIZE};

const BASELINE: &str = include_str!("../models/v1/baseline.json");

/// Reports of a camera that looks at the digits robots meet, and of a model that reads all of them right.
fn watch(seed: u64, effects: Effects, windows: u64) -> Vec<Report> {
    watch_reader(seed, effects, windows, |label, _| label)
}

/// The same of a model that reads a label, of the frame of that number, as it does.
fn watch_reader(seed: u64, effects: Effects, windows: u64, read: impl Fn(u8, u64) -> u8) -> Vec<Report> {
    let digits = Digits::embedded().unwrap();
    let test = digits.of(Split::Test);
    let config = Config::default();
    let mut monitor = Monitor::new(Baseline::from_json(BASELINE).unwrap(), config).unwrap();
    let mut camera = Camera::new(seed);
    camera.effects = effects;
    let mut report = |i| {
        let frame = camera.shoot(&test).unwrap();
        let features = image_features(&frame.pixels, FRAME_SIZE, FRAME_SIZE, FRAME_SIZE).unwrap();
        let [brightness, contrast, sharpness] = features.values();
        monitor.push(i as i64 * 50_000_000, &[brightness, contrast, sharpness, f64::from(read(frame.label, i))]).unwrap()
    };
    (0..windows * 100).filter_map(&mut report).collect()
}

#[test]
fn the_committed_baseline_is_of_the_features_nodes_measure() {
    let baseline = Baseline::from_json(BASELINE).unwrap();
    let names: Vec<_> = baseline.features.iter().map(|f| (f.name.as_str(), f.unit.as_str())).collect();
    assert_eq!(names, [&IMAGE_FEATURES[..], &[("output.class", "")]].concat());
    assert!(baseline.features.iter().all(|f| f.n == 4000));
    let labels = baseline.features.last().unwrap();
    assert_eq!(labels.bin_names(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", OTHER]);
    assert!(labels.counts[..10].iter().all(|&count| (340..=460).contains(&count)) && labels.counts[10] == 0, "{:?}", labels.counts);
}

#[test]
fn a_sound_camera_is_never_flagged() {
    for seed in [101, 202, 303] {
        let reports = watch(seed, Effects::default(), 30);
        assert_eq!(reports.len(), 30);
        assert!(reports.iter().all(|report| !report.flagged), "seed {seed}");
    }
}

#[test]
fn a_dark_and_blurred_camera_is_flagged_by_its_second_window() {
    for seed in 0..5 {
        let reports = watch(seed, Effects { exposure: 0.6, blur_px: 2.0 }, 4);
        assert!(!reports[0].flagged && reports[1..].iter().all(|report| report.flagged), "seed {seed}");
        let of_frames = |report: &Report| report.features.iter().filter(|f| f.name != "output.class").all(|f| f.significant);
        assert!(reports.iter().all(of_frames), "seed {seed}");
    }
}

#[test]
fn a_model_that_says_some_labels_too_often_is_flagged_by_its_answers_alone() {
    for seed in 0..5 {
        // Every other frame it says 8 where it should not.
        let reports = watch_reader(seed, Effects::default(), 6, |label, frame| if label < 5 && frame % 2 == 0 { 8 } else { label });
        let flagged: Vec<_> = reports.last().unwrap().features.iter().filter(|f| f.flagged).map(|f| f.name.as_str()).collect();
        assert_eq!(flagged, ["output.class"], "seed {seed}");
    }
}

#[test]
fn a_slightly_dark_or_slightly_blurred_camera_is_flagged_too() {
    for effects in [Effects { exposure: 0.85, blur_px: 0.0 }, Effects { exposure: 1.0, blur_px: 2.0 }] {
        let reports = watch(7, effects, 4);
        assert!(reports.last().unwrap().flagged, "{effects:?}");
    }
}
