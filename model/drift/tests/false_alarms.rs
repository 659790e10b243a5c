//! Measures what the documentation promises: how often nothing is taken for drift, and how often drift is seen.
//!
//! The tables printed here are those in `docs/drift.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic
#![allow(clippy::print_stdout, reason = "the tables are what these tests are for")]

use edgeflow_drift::{BaselineBuilder, Config, Feature, Monitor, Report};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const FEATURES: [(&str, &str); 3] = [("a", ""), ("b", ""), ("c", "")];
/// Time from frame to frame: 20 a second.
const PERIOD_NS: i64 = 50_000_000;
const DAY_S: f64 = 86_400.0;

/// Standard normal values, two by two (Box and Muller).
struct Normal {
    random: SmallRng,
    spare: Option<f64>,
}

impl Normal {
    fn new(seed: u64) -> Self {
        Normal { random: SmallRng::seed_from_u64(seed), spare: None }
    }

    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius: f64 = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.random.random::<f64>()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    fn three(&mut self) -> [f64; 3] {
        [(); 3].map(|()| self.next())
    }
}

/// What a normal value becomes.
type Shape = fn(f64) -> f64;

/// Windows of `n` frames of three independent AR(1) features, each against its own baseline of 4000 frames.
#[derive(Clone, Copy)]
struct Stream {
    n: u64,
    rho: f64,
    shift: f64,
    /// The same in baseline and window.
    shape: Shape,
    /// False alarms stated per window.
    alarms: f64,
}

impl Stream {
    fn config(&self) -> Config {
        let window_s = self.n as f64 * PERIOD_NS as f64 * 1e-9;
        Config { window_frames: self.n, false_alarms_per_day: self.alarms * DAY_S / window_s, ..Config::default() }
    }

    /// Shows each report, with the window's values and the baseline's by feature, to `look`.
    fn watch(&self, windows: u64, mut look: impl FnMut(&Report, &[Vec<f64>; 3], &[Vec<f64>; 3])) {
        const STREAMS: u64 = 4;
        let mut normal = Normal::new(self.n * 1000 + (self.rho * 100.0) as u64);
        for _ in 0..STREAMS {
            let mut builder = BaselineBuilder::new(&FEATURES);
            let mut known: [Vec<f64>; 3] = Default::default();
            for _ in 0..4000 {
                let values = normal.three().map(self.shape);
                builder.push(&values).unwrap();
                known.iter_mut().zip(values).for_each(|(known, value)| known.push(value));
            }
            known.iter_mut().for_each(|known| known.sort_by(f64::total_cmp));
            let mut monitor = Monitor::new(builder.build().unwrap(), self.config()).unwrap();
            let mut state = normal.three();
            let mut seen: [Vec<f64>; 3] = Default::default();
            for t in 0..(windows / STREAMS * self.n) as i64 {
                for x in &mut state {
                    *x = self.rho * *x + (1.0 - self.rho * self.rho).sqrt() * normal.next();
                }
                let values = state.map(|x| (self.shape)(x + self.shift));
                seen.iter_mut().zip(values).for_each(|(seen, value)| seen.push(value));
                if let Some(report) = monitor.push(t * PERIOD_NS, &values).unwrap() {
                    look(&report, &seen, &known);
                    seen.iter_mut().for_each(Vec::clear);
                }
            }
        }
    }

    fn count(&self, windows: u64) -> Counts {
        let mut counts = Counts::default();
        let mut before = [false; 3];
        self.watch(windows, |report, _, _| {
            counts.windows += 1;
            if report.window == 1 {
                before = [false; 3];
            }
            counts.significant += u64::from(report.features.iter().any(|feature| feature.significant));
            counts.flagged += u64::from(report.flagged);
            for (before, feature) in before.iter_mut().zip(&report.features) {
                counts.alarms += u64::from(feature.flagged && !*before);
                *before = feature.flagged;
            }
            for feature in report.features.iter().filter(|feature| feature.significant) {
                *counts.by.entry(feature.strongest).or_default() += 1;
            }
        });
        counts
    }
}

#[derive(Default, Debug)]
struct Counts {
    windows: u64,
    significant: u64,
    flagged: u64,
    /// Times a feature came to be flagged.
    alarms: u64,
    by: std::collections::BTreeMap<&'static str, u64>,
}

impl Counts {
    fn rate(&self) -> f64 {
        self.significant as f64 / self.windows as f64
    }
}

/// How many events a Poisson count of that mean may reach before chance is no explanation: three standard deviations and one.
fn allowed(expected: f64) -> u64 {
    (expected + 3.0 * expected.sqrt()) as u64 + 1
}

#[test]
fn without_drift_there_are_no_more_alarms_than_stated() {
    println!("| frames a window | rho | hours | alarms stated | alarms | significant windows |\n| --- | --- | --- | --- | --- | --- |");
    for (n, windows) in [(50, 16_000), (100, 12_000), (500, 5000), (2000, 1600)] {
        for rho in [0.0, 0.5, 0.95] {
            for alarms in [1e-2, 1e-4] {
                let counts = Stream { n, rho, shift: 0.0, shape: |x| x, alarms }.count(windows);
                let stated = alarms * counts.windows as f64;
                let hours = (counts.windows * n) as f64 * PERIOD_NS as f64 * 1e-9 / 3600.0;
                println!("| {n} | {rho} | {hours:.0} | {stated:.1} | {} | {:.2} % |", counts.alarms, 100.0 * counts.rate());
                assert!(counts.alarms <= allowed(stated), "{counts:?} at n = {n}, rho = {rho}, {alarms} a window");
                // Nobody is served by a monitor that never says anything: chance still shows in single windows.
                assert!(counts.windows < 10_000 || alarms < 1e-3 || counts.significant > 0, "{counts:?} at n = {n}, rho = {rho}");
            }
        }
    }
}

#[test]
fn a_feature_of_any_shape_alarms_no_more_often_than_stated() {
    // What means and variances are no help with: a heavy tail, a skewed one, and a count with many equal values.
    let shapes: [(&str, Shape); 3] = [("cubed", |x| x * x * x), ("exponential", f64::exp), ("rounded", |x| (2.0 * x).round())];
    for (name, shape) in shapes {
        for rho in [0.0, 0.95] {
            let counts = Stream { n: 100, rho, shift: 0.0, shape, alarms: 1e-3 }.count(12_000);
            println!("{name}, rho {rho}: {} alarms, 12 stated, {:.2} % significant", counts.alarms, 100.0 * counts.rate());
            assert!(counts.alarms <= allowed(12.0), "{counts:?} of {name}");
        }
    }
}

#[test]
fn a_quarter_sigma_is_seen_no_less_often_than_by_a_ks_test() {
    println!("| frames a window | false rate | here | KS test |\n| --- | --- | --- | --- |");
    // Alarms stated per window such that about one window in a hundred is significant without drift.
    for (n, alarms, windows) in [(50, 2e-3, 16_000), (100, 5e-4, 12_000), (500, 2e-4, 6000), (2000, 2e-4, 2000)] {
        let still = Stream { n, rho: 0.0, shift: 0.0, shape: |x| x, alarms };
        let (mut significant, mut distances) = (0, Vec::new());
        still.watch(windows, |report, seen, known| {
            significant += usize::from(report.features.iter().any(|feature| feature.significant));
            distances.push(ks_distance(seen, known));
        });
        // The KS test gets the threshold with which exactly as many windows are false: it could not do better.
        distances.sort_by(|a, b| b.total_cmp(a));
        let threshold = distances[significant];
        let false_rate = significant as f64 / distances.len() as f64;

        let moved = Stream { shift: 0.25, ..still };
        let (mut here, mut by_ks, mut all) = (0, 0, 0);
        moved.watch(windows / 4, |report, seen, known| {
            all += 1;
            here += u32::from(report.features.iter().any(|feature| feature.significant));
            by_ks += u32::from(ks_distance(seen, known) > threshold);
        });
        let [here, by_ks] = [here, by_ks].map(|count| f64::from(count) / f64::from(all));
        println!("| {n} | {:.2} % | {:.1} % | {:.1} % |", 100.0 * false_rate, 100.0 * here, 100.0 * by_ks);
        assert!(significant >= 10, "{significant} false windows do not make a threshold");
        // At the top both see everything; there a window more or less is chance.
        assert!(here >= by_ks - if by_ks > 0.99 { 0.01 } else { 0.0 }, "{here} against {by_ks} at n = {n}");
    }
}

/// Greatest two-sample Kolmogorov-Smirnov distance of the features, of the values themselves.
fn ks_distance(seen: &[Vec<f64>; 3], known: &[Vec<f64>; 3]) -> f64 {
    let distance = |(seen, known): (&Vec<f64>, &Vec<f64>)| {
        let mut seen = seen.clone();
        seen.sort_by(f64::total_cmp);
        let n = seen.len() as f64;
        let gaps = seen.iter().enumerate().map(|(i, value)| {
            let f = known.partition_point(|k| k < value) as f64 / known.len() as f64;
            (f - i as f64 / n).abs().max(((i + 1) as f64 / n - f).abs())
        });
        gaps.fold(0.0, f64::max)
    };
    seen.iter().zip(known).map(distance).fold(0.0, f64::max)
}

#[test]
fn drift_is_seen_at_the_default_setting() {
    println!("| frames a window | drift | significant | flagged |\n| --- | --- | --- | --- |");
    let default = Config::default().false_alarms_per_day;
    for (n, shift, least) in [(50, 1.0, 0.99), (100, 0.5, 0.65), (500, 0.25, 0.85), (500, 0.5, 1.0), (2000, 0.25, 1.0)] {
        let alarms = default * n as f64 * PERIOD_NS as f64 * 1e-9 / DAY_S;
        let counts = Stream { n, rho: 0.0, shift, shape: |x| x, alarms }.count(400_000 / n.max(1000));
        let flagged = counts.flagged as f64 / counts.windows as f64;
        println!("| {n} | {shift} sigma | {:.0} % | {:.0} % |", 100.0 * counts.rate(), 100.0 * flagged);
        assert!(counts.rate() >= least, "{} at n = {n}, shift = {shift}", counts.rate());
    }
}

#[test]
fn a_shift_of_a_correlated_stream_is_seen_too() {
    let counts = Stream { n: 500, rho: 0.8, shift: 1.5, shape: |x| x, alarms: 1e-4 }.count(200);
    assert!(counts.rate() > 0.95, "{}", counts.rate());
}

#[test]
fn a_wider_and_a_narrower_feature_are_drift_too() {
    for factor in [0.6, 1.6] {
        let mut normal = Normal::new(5);
        let mut builder = BaselineBuilder::new(&FEATURES[..1]);
        (0..4000).for_each(|_| builder.push(&[normal.next()]).unwrap());
        let mut monitor = Monitor::new(builder.build().unwrap(), Config { window_frames: 200, ..Config::default() }).unwrap();
        let reports: Vec<_> = (0..2000).filter_map(|t| monitor.push(t * PERIOD_NS, &[factor * normal.next()]).unwrap()).collect();
        let last = &reports[9].features[0];
        assert!(last.flagged && last.spread.abs() > last.spread_threshold, "{last:?}");
        assert!(last.location.abs() < last.location_threshold && (last.std_ratio / factor - 1.0).abs() < 0.2, "{last:?}");
    }
}

#[test]
fn categories_alarm_when_their_shares_change_and_not_before() {
    let class = |x: f64| {
        if x < 0.5 {
            0.0
        } else if x < 0.8 {
            1.0
        } else {
            2.0
        }
    };
    let labels = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
    for (stay, alarms_expected) in [(0.0, false), (0.9, false), (0.0, true)] {
        let mut random = SmallRng::seed_from_u64(3);
        let mut builder = BaselineBuilder::of(vec![Feature::categorical("class", labels.clone())]);
        (0..4000).for_each(|_| builder.push(&[class(random.random())]).unwrap());
        let config = Config { false_alarms_per_day: 17.28, ..Config::default() };
        let mut monitor = Monitor::new(builder.build().unwrap(), config).unwrap();
        let mut now = 0.0;
        let (mut windows, mut significant, mut alarms, mut before) = (0, 0, 0, false);
        for t in 0..1_000_000 {
            // Stays where it is or draws anew: autocorrelation `stay`.
            if random.random::<f64>() >= stay {
                now = class(random.random::<f64>() * if alarms_expected { 0.85 } else { 1.0 });
            }
            let Some(report) = monitor.push(t * PERIOD_NS, &[now]).unwrap() else { continue };
            let one = &report.features[0];
            windows += 1;
            significant += u32::from(one.significant);
            alarms += u32::from(one.flagged && !before);
            before = one.flagged;
        }
        // A thousandth of an alarm per window is stated: ten.
        println!("categories, staying {stay}: {significant} of {windows} significant, {alarms} alarms");
        if alarms_expected {
            assert!(significant > windows / 2 && alarms > 0, "{significant} of {windows}");
        } else {
            assert!(u64::from(alarms) <= allowed(10.0), "{alarms}");
        }
    }
}

#[test]
fn the_usual_band_would_cry_wolf() {
    // Why thresholds come from the null: psi > 0.1 at n = 50, with no drift at all.
    let mut normal = Normal::new(1);
    let mut builder = BaselineBuilder::new(&FEATURES[..1]);
    (0..4000).for_each(|_| builder.push(&[normal.next()]).unwrap());
    let mut monitor = Monitor::new(builder.build().unwrap(), Config { window_frames: 50, ..Config::default() }).unwrap();
    let reports: Vec<_> = (0..50_000).filter_map(|t| monitor.push(t * PERIOD_NS, &[normal.next()]).unwrap()).collect();
    let alarms = reports.iter().filter(|report| report.max_psi > 0.1).count();
    assert_eq!(reports.len(), 1000);
    assert!(alarms > 700, "{alarms} of 1000");
    assert!(reports.iter().all(|report| !report.flagged));
}
