//! Measures what the documentation promises: how often nothing is taken for drift, and how often drift is seen.
//!
//! The table printed here is the one in `docs/drift.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic
#![allow(clippy::print_stdout, reason = "the table is what this test is for")]

use edgeflow_drift::{BaselineBuilder, Config, Monitor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const FEATURES: [(&str, &str); 3] = [("a", ""), ("b", ""), ("c", "")];

/// Standard normal, by Box and Muller.
fn normal(random: &mut StdRng) -> f64 {
    let radius: f64 = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

#[derive(Default)]
struct Counts {
    windows: u32,
    significant: u32,
    flagged: u32,
}

impl Counts {
    fn rate(&self) -> f64 {
        f64::from(self.significant) / f64::from(self.windows)
    }
}

/// Windows of `n` frames of three independent AR(1) features with a shift, each against baselines of 4000 frames.
fn watch(n: u64, rho: f64, shift: f64, rate: f64, windows: u64) -> Counts {
    const STREAMS: u64 = 4;
    let mut random = StdRng::seed_from_u64(n * 1000 + (rho * 100.0) as u64);
    let mut counts = Counts::default();
    for _ in 0..STREAMS {
        let mut three = || [(); 3].map(|()| normal(&mut random));
        let mut builder = BaselineBuilder::new(&FEATURES);
        for _ in 0..4000 {
            builder.push(&three()).unwrap();
        }
        let config = Config { window_frames: n, false_alarm_rate: rate };
        let mut monitor = Monitor::new(builder.build().unwrap(), config).unwrap();
        let mut state = three();
        for t in 0..windows / STREAMS * n {
            let fresh = three();
            for (x, e) in state.iter_mut().zip(fresh) {
                *x = rho * *x + (1.0 - rho * rho).sqrt() * e;
            }
            if let Some(report) = monitor.push(t as i64, &state.map(|x| x + shift)).unwrap() {
                counts.windows += 1;
                counts.significant += u32::from(report.features.iter().any(|feature| feature.significant));
                counts.flagged += u32::from(report.flagged);
            }
        }
    }
    counts
}

#[test]
fn without_drift_windows_are_significant_no_more_often_than_stated() {
    const RATE: f64 = 0.01;
    println!("| frames a window | rho | windows | significant | flagged |\n| --- | --- | --- | --- | --- |");
    for (n, windows) in [(50, 4000), (100, 4000), (500, 1000), (2000, 240)] {
        for rho in [0.0, 0.5, 0.95] {
            let counts = watch(n, rho, 0.0, RATE, windows);
            println!("| {n} | {rho} | {} | {:.2} % | {} |", counts.windows, 100.0 * counts.rate(), counts.flagged);
            // Three standard errors above the stated rate: beyond it, the rate is not what is stated.
            let error = (RATE * (1.0 - RATE) / f64::from(counts.windows)).sqrt();
            assert!(counts.rate() <= RATE + 3.0 * error, "{} at n = {n}, rho = {rho}", counts.rate());
            assert!(counts.flagged <= 1, "{} windows flagged at n = {n}, rho = {rho}", counts.flagged);
        }
    }
}

#[test]
fn a_shift_is_seen() {
    println!("| frames a window | shift, sigma | significant | flagged |\n| --- | --- | --- | --- |");
    for (n, shift, least) in [(50, 1.0, 0.99), (100, 0.5, 0.65), (500, 0.25, 0.85), (500, 0.5, 1.0), (2000, 0.25, 1.0)] {
        let counts = watch(n, 0.0, shift, 0.001, 400_000 / n.max(1000));
        let flagged = f64::from(counts.flagged) / f64::from(counts.windows);
        println!("| {n} | {shift} | {:.0} % | {:.0} % |", 100.0 * counts.rate(), 100.0 * flagged);
        assert!(counts.rate() >= least, "{} at n = {n}, shift = {shift}", counts.rate());
    }
}

#[test]
fn a_shift_of_a_correlated_stream_is_seen_too() {
    let counts = watch(500, 0.8, 1.5, 0.001, 200);
    assert!(counts.rate() > 0.95, "{}", counts.rate());
}

#[test]
fn the_usual_band_would_cry_wolf() {
    // Why thresholds come from the null: psi > 0.1 at n = 50, with no drift at all.
    let mut random = StdRng::seed_from_u64(1);
    let mut builder = BaselineBuilder::new(&FEATURES[..1]);
    (0..4000).for_each(|_| builder.push(&[normal(&mut random)]).unwrap());
    let mut monitor = Monitor::new(builder.build().unwrap(), Config { window_frames: 50, ..Config::default() }).unwrap();
    let reports: Vec<_> = (0..50_000).filter_map(|t| monitor.push(t, &[normal(&mut random)]).unwrap()).collect();
    let alarms = reports.iter().filter(|report| report.max_psi > 0.1).count();
    assert_eq!(reports.len(), 1000);
    assert!(alarms > 700, "{alarms} of 1000");
    assert!(reports.iter().all(|report| !report.flagged));
}
