//! What a robot sees of drift: windows that close and add up, flags that hold, baselines that are learnt or refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic

use edgeflow_drift::{Baseline, BaselineBuilder, BaselineSource, Config, Error, Feature, Monitor, OTHER, Report, Window};
use proptest::prelude::*;

const FEATURES: [(&str, &str); 2] = [("light", "0..255"), ("focus", "0..255")];

/// Numbers that look random enough, 0 to 1.
fn scatter(i: u64) -> f64 {
    let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64 / (1u64 << 53) as f64
}

fn frame(i: u64, shift: f64) -> [f64; 2] {
    [100.0 + 20.0 * scatter(2 * i) + shift, 5.0 + scatter(2 * i + 1)]
}

fn baseline() -> Baseline {
    let mut builder = BaselineBuilder::new(&FEATURES);
    (0..2000).for_each(|i| builder.push(&frame(i, 0.0)).unwrap());
    builder.build().unwrap()
}

/// Reports of windows of 50 frames, one for each shift given.
fn reports(shifts: &[f64]) -> Vec<Report> {
    let mut monitor = Monitor::new(baseline(), Config { window_frames: 50, ..Config::default() }).unwrap();
    let mut reports = Vec::new();
    for i in 0..50 * shifts.len() as u64 {
        let values = frame(10_000 + i, shifts[(i / 50) as usize]);
        reports.extend(monitor.push((1000 + i as i64) * SECOND_NS / 20, &values).unwrap());
    }
    reports
}

#[test]
fn two_significant_windows_flag_and_two_clean_ones_clear() {
    let shifts = [0.0, 30.0, 0.0, 30.0, 30.0, 0.0, 30.0, 0.0, 0.0, 0.0];
    let reports = reports(&shifts);
    let light = |f: fn(&edgeflow_drift::FeatureReport) -> bool| reports.iter().map(|r| f(&r.features[0])).collect::<Vec<_>>();
    assert_eq!(light(|f| f.significant), shifts.map(|shift| shift > 0.0));
    assert_eq!(light(|f| f.flagged), [false, false, false, false, true, true, true, true, false, false]);
    assert!(reports.iter().all(|report| report.flagged == report.features[0].flagged && !report.features[1].flagged));
}

#[test]
fn a_report_says_what_was_measured() {
    let reports = reports(&[0.0, 30.0]);
    let report = &reports[1];
    assert_eq!((report.window, report.start_ns, report.end_ns), (2, 1050 * SECOND_NS / 20, 1099 * SECOND_NS / 20));
    assert_eq!((report.baseline, report.false_alarms_per_day), (BaselineSource::Bundle, 0.1));
    let light = &report.features[0];
    assert_eq!((light.name.as_str(), light.n, light.counts.iter().sum::<u64>()), ("light", 50, 50));
    assert_eq!(light.counts.len(), light.edges.len() + 1);
    assert!((light.mean - light.baseline_mean - 30.0).abs() < 3.0, "{light:?}");
    // The whole window lies in the outer bin, which is drawn straight from its edge: some of the way is not seen.
    assert!((20.0..33.0).contains(&light.wasserstein), "{light:?}");
    assert!((light.std - light.baseline_std).abs() < 2.0);
    // Uniform over 20: 30 are 5.2 standard deviations, and every value is above every one of the baseline.
    assert!((light.mean_shift - 5.2).abs() < 0.5 && (light.std_ratio - 1.0).abs() < 0.3, "{light:?}");
    assert!((light.location - 0.45).abs() < 0.01 && light.location > light.location_threshold && light.outside == 1.0, "{light:?}");
    assert!(light.p_value < 1e-12 && light.p_value <= light.p_threshold && light.significant, "{light:?}");
    assert!(light.chi_square > 400.0 && light.chi_square_threshold.is_nan() && light.categories.is_empty());
    assert!(reports[0].features.iter().all(|f| f.p_value > f.p_threshold && f.psi < f.psi_threshold && f.ks < f.ks_threshold));
    assert!(reports[0].features.iter().all(|f| f.location.abs() < f.location_threshold && f.spread.abs() < f.spread_threshold));
    // A tenth of the baseline lies in the outer bin, too.
    assert!((light.ks - 0.9).abs() < 0.02 && light.ks > light.ks_threshold && light.psi > light.psi_threshold, "{light:?}");
    assert_eq!(report.max_psi, light.psi);
}

#[test]
fn a_feature_that_is_missing_alarms_nobody() {
    let mut monitor = Monitor::new(baseline(), Config { window_frames: 20, ..Config::default() }).unwrap();
    let mut last = None;
    for i in 0..60 {
        last = monitor.push(i, &[f64::NAN, frame(i as u64, 0.0)[1]]).unwrap().or(last);
    }
    let report = last.unwrap();
    let missing = &report.features[0];
    assert_eq!((missing.n, missing.significant, report.flagged), (0, false, false));
    assert!(missing.psi.is_nan() && missing.mean.is_nan() && report.max_psi.is_finite());
}

#[test]
fn a_covered_camera_is_drift_though_its_frames_are_all_alike() {
    let mut monitor = Monitor::new(baseline(), Config::default()).unwrap();
    let reports: Vec<_> = (0..200).filter_map(|i| monitor.push(i, &[0.0, 0.0]).unwrap()).collect();
    assert!(reports[1].features.iter().all(|feature| feature.flagged));
}

#[test]
fn a_constant_feature_sees_values_to_either_side() {
    let mut builder = BaselineBuilder::new(&FEATURES[..1]);
    (0..100).for_each(|_| builder.push(&[7.0]).unwrap());
    let baseline = builder.build().unwrap();
    assert_eq!(baseline.features[0].counts, [0, 100, 0]);
    for (value, drifts) in [(7.0, false), (6.9, true), (7.1, true)] {
        let mut monitor = Monitor::new(baseline.clone(), Config::default()).unwrap();
        let reports: Vec<_> = (0..200).filter_map(|i| monitor.push(i, &[value]).unwrap()).collect();
        assert_eq!(reports[1].flagged, drifts, "{value}");
    }
}

#[test]
fn a_baseline_can_be_learnt_and_says_so() {
    let mut monitor = Monitor::learning(&FEATURES, 500, Config::default()).unwrap();
    for i in 0..500 {
        assert!(monitor.baseline().is_none());
        assert!(monitor.push(i, &frame(i as u64, 0.0)).unwrap().is_none());
    }
    assert_eq!(monitor.baseline().unwrap().source, BaselineSource::Learnt);
    let reports: Vec<_> = (500..1500).filter_map(|i| monitor.push(i, &frame(i as u64, 0.0)).unwrap()).collect();
    assert_eq!((reports.len(), reports[0].baseline.name()), (10, "learnt"));
    assert!(!reports.iter().any(|report| report.flagged));
}

#[test]
fn frames_without_values_teach_nothing() {
    let mut monitor = Monitor::learning(&FEATURES, 100, Config::default()).unwrap();
    (0..1000).for_each(|i| assert!(monitor.push(i, &[f64::NAN; 2]).unwrap().is_none()));
    assert!(monitor.baseline().is_none());
    (0..100).for_each(|i| assert!(monitor.push(i, &frame(i as u64, 0.0)).unwrap().is_none()));
    assert!(monitor.baseline().is_some());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let with = |config| Monitor::new(baseline(), config).unwrap_err().to_string();
    assert!(with(Config { window_frames: 5, ..Config::default() }).contains("window_frames is 5"));
    for alarms in [0.0, -1.0, 1001.0, f64::NAN] {
        assert!(with(Config { false_alarms_per_day: alarms, ..Config::default() }).contains("false_alarms_per_day"));
    }
    for window_s in [-1.0, 1e6, f64::NAN] {
        assert!(with(Config { window_s, ..Config::default() }).contains("window_s"));
    }
    let mut monitor = Monitor::new(baseline(), Config::default()).unwrap();
    assert!(matches!(monitor.push(0, &[1.0]), Err(Error::FeatureCount { expected: 2, given: 1 })));
    let mut builder = BaselineBuilder::new(&FEATURES);
    (0..49).for_each(|i| builder.push(&frame(i, 0.0)).unwrap());
    assert!(builder.build().unwrap_err().to_string().contains("at least 50"));
}

#[test]
fn baseline_json_comes_back_and_damage_is_named() {
    let json = baseline().to_json().unwrap();
    assert_eq!(Baseline::from_json(&json).unwrap(), baseline());
    for (from, to, expected) in [
        ("\"v\": 1", "\"v\": 3", "version 3"),
        ("\"n\": 2000", "\"n\": 1999", "do not add up"),
        ("\"name\": \"focus\"", "\"name\": \"light\"", "there twice"),
        ("\"n_effective\": ", "\"n_effective\": -", "n_effective"),
        ("\"unit\"", "\"units\"", "baseline.json:"),
        ("\"edges\": [", "\"edges\": [1e9,", "edges want"),
    ] {
        assert!(json.contains(from));
        let error = Baseline::from_json(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Baseline::from_json(&json[..json.len() / 2]).unwrap_err().to_string().starts_with("baseline.json:"));
}

#[test]
fn windows_of_other_baselines_do_not_merge() {
    let mut other = baseline();
    other.features[0].edges[0] -= 0.5;
    let mut window = Window::new(&baseline());
    assert!(matches!(window.merge(&Window::new(&other)), Err(Error::DifferentEdges)));
}

const SECOND_NS: i64 = 1_000_000_000;

#[test]
fn a_window_closes_by_time_once_it_has_twenty_frames() {
    let config = Config { window_frames: 100, window_s: 10.0, ..Config::default() };
    let ends = |period_ns: i64| {
        let mut monitor = Monitor::new(baseline(), config).unwrap();
        let pushed = (0..300).filter_map(|i| monitor.push(i * period_ns, &frame(i as u64, 0.0)).unwrap());
        pushed.map(|report| (report.end_ns / period_ns, report.features[0].n, report.duration_s)).take(2).collect::<Vec<_>>()
    };
    // At 4 Hz the fortieth interval ends the window, at 1 Hz ten seconds are too few frames, at 20 Hz it is full before.
    assert_eq!(ends(SECOND_NS / 4), [(40, 41, 10.25), (81, 41, 10.25)]);
    assert_eq!(ends(SECOND_NS), [(19, 20, 20.0), (39, 20, 20.0)]);
    assert_eq!(ends(SECOND_NS / 20), [(99, 100, 5.0), (199, 100, 5.0)]);
}

#[test]
fn the_longer_a_window_the_more_alarms_it_may_bring() {
    let rate = |period_ns: i64| {
        let mut monitor = Monitor::new(baseline(), Config::default()).unwrap();
        (0..100).find_map(|i| monitor.push(i * period_ns, &frame(i as u64, 0.0)).unwrap()).unwrap().false_alarm_rate
    };
    assert!((rate(SECOND_NS / 20) / (0.1 * 5.0 / 86_400.0) - 1.0).abs() < 1e-9);
    assert!((rate(SECOND_NS) / (0.1 * 100.0 / 86_400.0) - 1.0).abs() < 1e-9);
    // Stamps that tell nothing: as at 30 Hz.
    for nothing in [0, -5] {
        assert!((rate(nothing) / (0.1 * 100.0 / 30.0 / 86_400.0) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn new_settings_hold_from_the_next_window_on() {
    let mut monitor = Monitor::new(baseline(), Config::default()).unwrap();
    let closed = |monitor: &mut Monitor, frames: u64| (0..frames).filter_map(|i| monitor.push(0, &frame(i, 0.0)).unwrap()).count();
    assert_eq!(closed(&mut monitor, 30), 0);
    monitor.configure(Config { window_frames: 25, ..Config::default() }).unwrap();
    assert_eq!(closed(&mut monitor, 69), 0);
    assert_eq!(closed(&mut monitor, 1), 1);
    assert_eq!(closed(&mut monitor, 50), 2);
    assert!(monitor.configure(Config { window_frames: 0, ..Config::default() }).is_err());
    assert_eq!(closed(&mut monitor, 25), 1);
}

#[test]
fn a_reset_forgets_flags_and_learns_anew_what_was_learnt() {
    let mut monitor = Monitor::new(baseline(), Config::default()).unwrap();
    let reports: Vec<_> = (0..250).filter_map(|i| monitor.push(i, &frame(i as u64, 30.0)).unwrap()).collect();
    assert!(reports[1].flagged);
    monitor.reset();
    let report = (0..100).find_map(|i| monitor.push(i, &frame(i as u64, 30.0)).unwrap()).unwrap();
    assert!(report.window == 1 && report.features[0].significant && !report.flagged);

    let mut monitor = Monitor::learning(&FEATURES, 200, Config::default()).unwrap();
    (0..250).for_each(|i| assert!(monitor.push(i, &frame(i as u64, 0.0)).unwrap().is_none()));
    assert!(!monitor.is_learning());
    monitor.reset();
    assert!(monitor.is_learning() && monitor.baseline().is_none());
    // What was drift is the normal case now.
    let reports: Vec<_> = (0..600).filter_map(|i| monitor.push(i, &frame(i as u64, 30.0)).unwrap()).collect();
    assert!(reports.len() == 4 && reports.iter().all(|report| !report.flagged));
}

#[test]
fn what_the_baseline_lacks_is_learnt_beside_it() {
    let class = |i: u64| (scatter(3 * i) * 3.0).floor();
    let features = |labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        vec![Feature::numeric("light", "0..255"), Feature::numeric("focus", "0..255"), Feature::categorical("class", labels)]
    };
    let mut monitor = Monitor::mixed(features(&["a", "b", "c", "d"]), Some(&baseline()), 150, Config::default()).unwrap();
    let mut at = 0;
    let mut run = |monitor: &mut Monitor, frames: u64, class_of: &dyn Fn(u64) -> f64| {
        let mut reports = Vec::new();
        for _ in 0..frames {
            let [light, focus] = frame(at, 0.0);
            reports.extend(monitor.push(at as i64, &[light, focus, class_of(at)]).unwrap());
            at += 1;
        }
        reports
    };
    let reports = run(&mut monitor, 400, &class);
    let seen: Vec<_> = reports.iter().map(|report| report.features.len()).collect();
    assert_eq!(seen, [2, 2, 3, 3], "learnt within the second window, watched from the third on");
    let one = &reports[3].features[2];
    assert_eq!((one.baseline, reports[3].baseline), (BaselineSource::Learnt, BaselineSource::Bundle));
    assert_eq!(one.categories, ["a", "b", "c", "d", OTHER]);
    assert!(one.mean.is_nan() && one.ks.is_nan() && one.edges.is_empty() && one.psi < one.psi_threshold && !one.flagged);

    // A class nobody has met; then another model, whose classes are learnt while the camera's window goes on.
    let reports = run(&mut monitor, 250, &|_| 7.0);
    assert!(reports[1].features[2].flagged && reports[1].features[2].counts == [0, 0, 0, 0, 100]);
    monitor.replace_features(features(&["x"]), |name| name != "class");
    let reports = run(&mut monitor, 350, &|_| 0.0);
    assert_eq!(reports.iter().map(|report| report.features.len()).collect::<Vec<_>>(), [2, 2, 3, 3]);
    assert_eq!(reports[0].window, 7);
    assert!(reports[3].features[2].categories == ["x", OTHER] && !reports[3].flagged);

    let foreign = vec![Feature::numeric("light", "")];
    let error = Monitor::mixed(foreign, Some(&baseline()), 150, Config::default()).unwrap_err().to_string();
    assert!(error.contains("\"focus\" that is not measured"), "{error}");
}

#[test]
fn categories_are_told_apart_and_kept_few() {
    let mut builder = BaselineBuilder::of(vec![Feature::categorical("class", vec!["a".into(), "b".into()])]);
    (0..1000).for_each(|i| builder.push(&[if i % 2 == 0 { 1.0 } else { f64::from(i % 100) }]).unwrap());
    let baseline = builder.build().unwrap();
    let class = &baseline.features[0];
    assert_eq!((baseline.v, class.categories.len(), class.counts.len()), (2, 32, 33));
    assert_eq!((class.categories[0].name.as_str(), class.categories[1].name.as_str()), ("b", "3"));
    assert_eq!((class.bin(1.0), class.bin(3.0), class.bin(99.0), class.bin(-0.0)), (0, 1, 32, 32));
    assert_eq!(class.counts.iter().sum::<u64>(), 1000);
    let json = baseline.to_json().unwrap();
    assert_eq!(Baseline::from_json(&json).unwrap(), baseline);
    for (from, to, expected) in [("\"code\": 3,", "\"code\": 0,", "ascending"), ("\"counts\": [", "\"counts\": [0, ", "categories want")] {
        let error = Baseline::from_json(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn window(baseline: &Baseline, frames: &[[f64; 2]]) -> Window {
    let mut window = Window::new(baseline);
    frames.iter().for_each(|values| window.push(values).unwrap());
    window
}

fn merged(a: &Window, b: &Window) -> Window {
    let mut sum = a.clone();
    sum.merge(b).unwrap();
    sum
}

fn frames() -> impl Strategy<Value = Vec<[f64; 2]>> {
    let value = prop_oneof![8 => -1e3..1e3, 1 => any::<f64>(), 1 => Just(f64::NAN)];
    proptest::collection::vec([value.clone(), value], 0..40)
}

/// The two numeric features and one with categories.
fn with_categories() -> Baseline {
    let class = Feature::categorical("class", Vec::new());
    let mut builder = BaselineBuilder::of([FEATURES.map(|(name, unit)| Feature::numeric(name, unit)).to_vec(), vec![class]].concat());
    (0..1000).for_each(|i| builder.push(&[frame(i, 0.0)[0], frame(i, 0.0)[1], (i % 7) as f64]).unwrap());
    builder.build().unwrap()
}

fn window_of_three(baseline: &Baseline, frames: &[[f64; 2]]) -> Window {
    let mut window = Window::new(baseline);
    frames.iter().for_each(|&[a, b]| window.push(&[a, b, (a % 9.0).floor()]).unwrap());
    window
}

proptest! {
    #[test]
    fn merging_categories_is_exact_in_any_order(a in frames(), b in frames(), c in frames()) {
        let baseline = with_categories();
        let windows = [&a, &b, &c].map(|frames| window_of_three(&baseline, frames));
        let [x, y, z] = &windows;
        prop_assert_eq!(merged(x, y), merged(y, x));
        prop_assert_eq!(merged(&merged(x, y), z), merged(x, &merged(y, z)));
        let whole = window_of_three(&baseline, &[a, b, c].concat());
        let parts = merged(&merged(x, y), z);
        for (part, all) in parts.features().iter().zip(whole.features()) {
            prop_assert_eq!((part.counts(), part.outside()), (all.counts(), all.outside()));
        }
    }

    #[test]
    fn merging_is_exact_in_any_order(a in frames(), b in frames(), c in frames()) {
        let baseline = baseline();
        let [a, b, c] = [a, b, c].map(|frames| window(&baseline, &frames));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &Window::new(&baseline)), a);
    }

    #[test]
    fn merging_counts_as_if_seen_at_once(a in frames(), b in frames()) {
        let baseline = baseline();
        let parts = merged(&window(&baseline, &a), &window(&baseline, &b));
        let whole = window(&baseline, &[a, b].concat());
        prop_assert_eq!(parts.frames(), whole.frames());
        for (part, all) in parts.features().iter().zip(whole.features()) {
            prop_assert_eq!((part.n(), part.counts(), part.min(), part.max()), (all.n(), all.counts(), all.min(), all.max()));
            prop_assert_eq!(part.outside(), all.outside());
            prop_assert_eq!((part.mean().to_bits(), part.std().to_bits()), (all.mean().to_bits(), all.std().to_bits()));
        }
    }

    #[test]
    fn moments_are_those_of_the_values(values in proptest::collection::vec(0.0f64..255.0, 3..200)) {
        let window = window(&baseline(), &values.iter().map(|&v| [v, v]).collect::<Vec<_>>());
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let seen = &window.features()[0];
        prop_assert!((seen.mean() - mean).abs() < 1e-4);
        prop_assert!((seen.std() - (squares / (n - 1.0)).sqrt()).abs() < 1e-4);
        let pairs = values.windows(2).map(|p| (p[0] - mean) * (p[1] - mean)).sum::<f64>();
        let expected = (pairs / (n - 1.0)) / (squares / n);
        // Or that of the numbers of their bins, where it is greater.
        prop_assert!(seen.autocorrelation() > expected.clamp(-1.0, 1.0) - 1e-3);
    }
}
