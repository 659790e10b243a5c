#![allow(clippy::unwrap_used)]

use super::*;
use edgeflow_drift::{BaselineBuilder, Config, Monitor, Report};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const FEATURES: [(&str, &str); 3] = [("a", ""), ("b", ""), ("c", "")];
const FRAMES: i64 = 200;

fn normal(random: &mut SmallRng) -> f64 {
    let radius: f64 = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

fn body(report: &Report) -> DriftReportBody {
    let features = report.features.iter().map(|feature| {
        let number = |value: f64| {
            if value.is_finite() { serde_json::json!(value) } else { serde_json::json!(value.to_string().replace("inf", "Infinity")) }
        };
        serde_json::from_value(
            serde_json::json!({"name": feature.name, "n": feature.n, "n_effective": feature.n_effective, "mean": feature.mean,
            "baseline_mean": feature.baseline_mean, "std": feature.std, "baseline_std": feature.baseline_std, "psi": feature.psi,
            "psi_threshold": number(feature.psi_threshold), "ks": feature.ks, "ks_threshold": number(feature.ks_threshold),
            "p_value": feature.p_value, "edges": feature.edges, "counts": feature.counts, "flagged": feature.flagged}),
        )
        .unwrap()
    });
    DriftReportBody {
        model: "m".into(),
        model_version: "1".into(),
        digest: "d".into(),
        baseline: "bundle".into(),
        window: report.window,
        windows: 1,
        start_us: 0,
        end_us: 1,
        false_alarm_rate: report.false_alarm_rate,
        false_alarms_per_day: 1.0,
        duration_s: 10.0,
        flagged: report.flagged,
        max_psi: report.max_psi,
        features: features.collect(),
    }
}

/// A window of each robot, of features that are AR(1) with 0.8, by a baseline they share. The first feature of a robot is off by so much.
fn fleet(random: &mut SmallRng, off: &[f64]) -> Vec<DriftReportBody> {
    let mut builder = BaselineBuilder::new(&FEATURES);
    for _ in 0..4000 {
        builder.push(&[(); 3].map(|()| normal(random))).unwrap();
    }
    let baseline = builder.build().unwrap();
    let window = |off: &f64| {
        let config = Config { window_frames: FRAMES as u64, ..Config::default() };
        let mut monitor = Monitor::new(baseline.clone(), config).unwrap();
        let mut state = [(); 3].map(|()| normal(random));
        for t in 0.. {
            for x in &mut state {
                *x = 0.8 * *x + 0.6 * normal(random);
            }
            let [a, b, c] = state;
            if let Some(report) = monitor.push(t * 50_000_000, &[a + off, b, c]).unwrap() {
                return body(&report);
            }
        }
        unreachable!()
    };
    off.iter().map(window).collect()
}

/// Four robots a site.
fn judged(reports: &[DriftReportBody]) -> FleetDriftView {
    let names: Vec<(String, String)> = (0..reports.len()).map(|i| (format!("r{i:02}"), format!("site-{}", i / 4))).collect();
    let of: Vec<RobotReport<'_>> =
        reports.iter().zip(&names).map(|(report, (robot, site))| RobotReport { robot, site: Some(site), report }).collect();
    verdict(&of)
}

#[test]
fn false_discoveries_are_as_rare_as_stated() {
    let mut random = SmallRng::seed_from_u64(3);
    const FLEETS: usize = 150;
    let told = (0..FLEETS).filter(|_| judged(&fleet(&mut random, &[0.0; 12])).verdict != FleetVerdict::None).count();
    // Where nothing has drifted, each discovery is false: at most 5 % of fleets may have any, and three standard deviations.
    assert!(told as f64 <= 0.05 * FLEETS as f64 + 3.0 * (0.05 * 0.95 * FLEETS as f64).sqrt(), "{told} of {FLEETS} fleets");
}

#[test]
fn one_robot_is_a_sensor_a_site_is_the_site_and_all_are_the_world() {
    let mut random = SmallRng::seed_from_u64(5);
    let mut verdicts = |off: [f64; 12], expected: FleetVerdict| {
        const FLEETS: usize = 20;
        let (mut right, mut falsely, mut told) = (0, 0, 0);
        for _ in 0..FLEETS {
            let view = judged(&fleet(&mut random, &off));
            assert_eq!(view.features.len(), 3);
            right += usize::from(view.features[0].verdict == expected);
            let drifted: Vec<String> = off.iter().enumerate().filter(|(_, off)| **off != 0.0).map(|(i, _)| format!("r{i:02}")).collect();
            let robots = view.features.iter().flat_map(|feature| feature.robots.iter().map(move |robot| (feature.name.as_str(), robot)));
            for (feature, robot) in robots {
                told += 1;
                falsely += usize::from(feature != "a" || !drifted.contains(robot));
            }
        }
        assert!(right * 10 >= FLEETS * 9, "{expected:?}: {right} of {FLEETS}");
        assert!(falsely as f64 <= 0.1 * f64::from(told.max(1)), "{expected:?}: {falsely} false of {told}");
    };
    let of = |drifts: fn(usize) -> bool, by: f64| -> [f64; 12] { std::array::from_fn(|i| if drifts(i) { by } else { 0.0 }) };
    verdicts(of(|i| i == 5, 3.0), FleetVerdict::Sensor);
    verdicts(of(|i| i / 4 == 1, 2.0), FleetVerdict::Site);
    verdicts(of(|i| i % 4 != 0, 2.0), FleetVerdict::Fleet);
    verdicts([2.0; 12], FleetVerdict::Fleet);
}

#[test]
fn histograms_add_up_exactly_and_others_are_left_out() {
    let mut random = SmallRng::seed_from_u64(9);
    let mut reports = fleet(&mut random, &[0.5; 5]);
    reports[4].features[0].edges[0] -= 1.0;
    let view = judged(&reports);
    let of = &view.features[0];
    let sum: Vec<u64> = (0..of.counts.len()).map(|bin| reports[..4].iter().map(|report| report.features[0].counts[bin]).sum()).collect();
    assert_eq!((&of.counts, of.n, of.merged_robots, of.of_robots, of.of_sites), (&sum, 800, 4, 5, 2));
    assert!((of.statistic.unwrap() - 0.5).abs() < 0.5);
    assert_eq!(verdict(&[]).verdict, FleetVerdict::None);
}

#[test]
fn by_hand() {
    // Two of three: the second smallest doubled, or the largest.
    assert_eq!(most_drifted(vec![0.01, 0.02, 0.03]), 0.03);
    assert_eq!(most_drifted(vec![0.9, 0.001, 0.01]), 0.02);
    assert_eq!(most_drifted(vec![0.001, 0.9]), 0.9);
    assert_eq!(adjusted(&[0.01, 0.04, 0.03, 0.5]), [0.04, 0.04 * 4.0 / 3.0, 0.04 * 4.0 / 3.0, 0.5]);
}
