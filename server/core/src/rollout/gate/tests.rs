#![allow(clippy::unwrap_used)]

use super::*;
use crate::TargetName;
use crate::rollout::{Reported, Worse};

fn robot(i: usize) -> TargetName {
    TargetName::new(format!("r{i}")).unwrap()
}

/// Reports of 10 frames each, one per second from `from_us`.
fn reports(values: &[f64], from_us: i64) -> Vec<Reported> {
    (from_us..).step_by(1_000_000).zip(values).map(|(t_us, value)| Reported { t_us, value: *value, frames: 10 }).collect()
}

fn arm(metric: &str, robots: &[&[f64]], first: usize) -> BTreeMap<String, Samples> {
    let of = robots.iter().enumerate().map(|(i, values)| (robot(first + i), reports(values, 0))).collect();
    [(metric.to_owned(), Samples { of })].into()
}

fn expression(text: &str, min_samples: u64) -> Gate {
    Gate { name: "g".into(), expression: Some(text.into()), compare: None, min_samples }
}

fn against(metric: &str, against: Arm, worse: Worse, margin: f64) -> Gate {
    let compare = Comparison { metric: metric.into(), against, worse, margin, alpha: 0.05 };
    Gate { name: "g".into(), expression: None, compare: Some(compare), min_samples: 100 }
}

/// Values about `mean` that scatter by `by` and follow no pattern that matters.
fn wobble<const N: usize>(mean: f64, by: f64) -> [f64; N] {
    std::array::from_fn(|i| mean + by * (((i * 7919 + 13) % 101) as f64 / 50.0 - 1.0))
}

#[test]
fn an_expression_passes_and_fails_by_the_numbers() {
    let evidence = Evidence { updated: arm("accuracy", &[&[0.9; 20], &[0.8; 10]], 0), ..Evidence::default() };
    let passed = judge(&expression("updated.accuracy.mean >= 0.85 && updated.accuracy.robots == 2", 300), &evidence, 7);
    assert_eq!((passed.verdict, passed.metric.as_str(), passed.threshold, passed.at_us), (Verdict::Pass, "accuracy", Some(0.85), 7));
    let summary = passed.updated["accuracy"];
    assert_eq!((summary.n, summary.robots, summary.p50, summary.min, summary.max), (300, 2, 0.9, 0.8, 0.9));
    assert!((summary.mean - 26.0 / 30.0).abs() < 1e-12, "{summary:?}");
    let failed = judge(&expression("updated.accuracy.mean >= 0.95", 300), &evidence, 7);
    assert_eq!(failed.verdict, Verdict::Fail);
    assert_eq!(failed.reason, "it does not hold: accuracy of the updated robots is 0.8667");
}

#[test]
fn what_nobody_reported_or_too_few_did_is_inconclusive_and_named() {
    let evidence = Evidence { updated: arm("accuracy", &[&[0.9; 12]], 0), ..Evidence::default() };
    let said = judge(&expression("updated.accuracy.mean >= 0.5 && rest.fps.mean > 1", 200), &evidence, 0);
    assert_eq!(said.verdict, Verdict::Inconclusive);
    let lacking = "accuracy of the updated robots: 120 of at least 200 samples, 80 are missing";
    assert_eq!(said.reason, format!("{lacking}; the robots that are not updated reported no fps: 200 samples are needed"));
    // A metric that is missing does not pass for one that would decide by itself.
    let said = judge(&expression("updated.accuracy.mean >= 0.5 || updated.fps.mean > 1", 100), &evidence, 0);
    assert_eq!(said.verdict, Verdict::Inconclusive);
    let said = judge(&against("accuracy", Arm::Before, Worse::Lower, 0.1), &evidence, 0);
    assert_eq!(
        (said.verdict, said.reason.as_str()),
        (Verdict::Inconclusive, "the same robots before reported no accuracy: 100 samples are needed")
    );
}

#[test]
fn a_metric_may_have_any_name() {
    let evidence = Evidence { updated: arm("/odom:speed:mean", &[&[0.5; 20]], 0), ..Evidence::default() };
    let gate = expression("updated[\"/odom:speed:mean\"].p95 < 1", 1);
    check(&gate).unwrap();
    let said = judge(&gate, &evidence, 0);
    assert_eq!((said.verdict, said.metric.as_str(), said.threshold), (Verdict::Pass, "/odom:speed:mean", Some(1.0)));
    assert_eq!(metrics([&gate, &against("fps", Arm::Rest, Worse::Lower, 1.0)]).len(), 2);
}

#[test]
fn what_cannot_be_looked_at_is_refused_with_the_place() {
    let none = Gate { name: "g".into(), expression: None, compare: None, min_samples: 1 };
    let twice = Gate { expression: Some("updated.a.mean > 1".into()), ..against("fps", Arm::Rest, Worse::Lower, 1.0) };
    let mut alpha = against("fps", Arm::Rest, Worse::Lower, 1.0);
    alpha.compare.as_mut().unwrap().alpha = 0.5;
    for (gate, reason) in [
        (none, "either an expression or a comparison"),
        (twice, "either an expression or a comparison"),
        (alpha, "compare.alpha: 0.5 is out of range"),
        (against("fps", Arm::Rest, Worse::Lower, 0.0), "compare.margin: 0: say how much worse"),
        (against(" ", Arm::Rest, Worse::Lower, 0.1), "compare.metric"),
        (expression("updated.a.mean > 1", 0), "min_samples: 0"),
        (expression("updated.accuracy.mean", 1), "it is a double"),
        (expression("updated.accuracy > 1", 1), "name a metric and one of its numbers"),
        (expression("updated.accuracy.median > 1", 1), "the numbers of a metric are n, robots, mean"),
        (expression("canary.accuracy.mean > 1", 1), "canary is not known"),
        (expression("updated.accuracy.mean > ", 1), "column"),
        (expression("[1].exists(x, x > 0)", 1), "no all, exists"),
        (Gate { name: String::new(), ..expression("updated.a.mean > 1", 1) }, "name: a gate has a name"),
    ] {
        let error = check(&gate).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} should contain {reason}");
    }
    check(&against("fps", Arm::Rest, Worse::Lower, 0.1)).unwrap();
}

#[test]
fn a_canary_is_held_against_itself_before() {
    let before = arm("accuracy", &[&wobble::<40>(0.95, 0.03)], 0);
    let judged = |mean: f64| {
        let evidence =
            Evidence { updated: arm("accuracy", &[&wobble::<40>(mean, 0.03)], 0), before: before.clone(), ..Evidence::default() };
        judge(&against("accuracy", Arm::Before, Worse::Lower, 0.05), &evidence, 0)
    };
    let same = judged(0.94);
    assert_eq!(same.verdict, Verdict::Pass, "{}", same.reason);
    assert!((same.threshold.unwrap() - (same.before["accuracy"].mean - 0.05)).abs() < 1e-12 && same.p_value.unwrap() <= 0.025);
    let worse = judged(0.62);
    assert_eq!(worse.verdict, Verdict::Fail, "{}", worse.reason);
    assert!(worse.reason.contains("worse by more than the margin 0.05"), "{}", worse.reason);
    let border = judged(0.90);
    assert_eq!(border.verdict, Verdict::Inconclusive, "{}", border.reason);
    assert!(border.reason.contains("may be either side"), "{}", border.reason);
}

#[test]
fn one_canary_is_held_against_robots_that_differ() {
    let rest: Vec<[f64; 40]> = [0.93, 0.95, 0.97, 0.94, 0.96].map(|mean| wobble::<40>(mean, 0.02)).to_vec();
    let rest: Vec<&[f64]> = rest.iter().map(|values| values.as_slice()).collect();
    let judged = |mean: f64, rest: &[&[f64]]| {
        let evidence =
            Evidence { updated: arm("accuracy", &[&wobble::<40>(mean, 0.02)], 0), rest: arm("accuracy", rest, 1), ..Evidence::default() };
        judge(&against("accuracy", Arm::Rest, Worse::Lower, 0.08), &evidence, 0)
    };
    assert_eq!(judged(0.7, &rest).verdict, Verdict::Fail);
    assert_eq!(judged(0.95, &rest).verdict, Verdict::Pass);
    let alone = judged(0.7, &rest[..1]);
    assert_eq!(alone.verdict, Verdict::Inconclusive);
    assert!(alone.reason.contains("cannot be told from a release"), "{}", alone.reason);
}

#[test]
fn when_nobody_is_left_robots_are_held_against_themselves() {
    let evidence = Evidence {
        updated: arm("fps", &[&wobble::<40>(10.0, 0.5)], 0),
        rest: arm("fps", &[&wobble::<40>(10.0, 0.5)], 0),
        nobody_left: true,
        ..Evidence::default()
    };
    let said = judge(&against("fps", Arm::Rest, Worse::Lower, 1.0), &evidence, 0);
    assert!(said.verdict == Verdict::Pass && said.reason.contains("nobody else is left"), "{}", said.reason);
}

#[test]
fn what_an_early_look_decided_stands_and_each_look_asks_for_more() {
    // Bad for 40 s, then good again: a later look alone would see the average.
    let values: Vec<f64> = wobble::<40>(0.5, 0.02).into_iter().chain(wobble::<200>(0.99, 0.005)).collect();
    let before = wobble::<240>(0.95, 0.02);
    let looks = [15_000_000, 40_000_000, 240_000_000];
    let evidence = Evidence {
        updated: arm("accuracy", &[&values], 0),
        before: arm("accuracy", &[&before], 0),
        looks_us: looks.to_vec(),
        ..Evidence::default()
    };
    let said = judge(&against("accuracy", Arm::Before, Worse::Lower, 0.05), &evidence, 0);
    assert_eq!(said.verdict, Verdict::Fail, "{}", said.reason);
    assert!(said.updated["accuracy"].n <= 410 && said.reason.contains("0.025"), "decided at the first look that could: {}", said.reason);
    // Looks without enough samples spend nothing, and nothing is said between looks.
    let early = Evidence { looks_us: vec![5_000_000], ..evidence };
    let said = judge(&against("accuracy", Arm::Before, Worse::Lower, 0.05), &early, 0);
    assert_eq!(said.reason, "there are enough samples now: they are compared shortly");
}

#[test]
fn reports_that_follow_each_other_closely_count_less() {
    let alternating: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
    let slow: Vec<f64> = (0..40).map(|i| f64::from(i / 20)).collect();
    let of = |values: &[f64]| RobotMean::of(&reports(values, 0), Measure::Amount).unwrap();
    let (quick, slow) = (of(&alternating), of(&slow));
    assert!(slow.variance.unwrap() > 5.0 * quick.variance.unwrap() && slow.freedom < 6.0 && quick.freedom > 30.0, "{quick:?} {slow:?}");
    // A robot that never failed in 20 missions is not one that never fails.
    let sure = RobotMean::of(&reports(&[1.0; 20], 0), Measure::ShareOfReports).unwrap();
    assert!(sure.variance.unwrap() > 0.001, "{sure:?}");
    assert_eq!(RobotMean::of(&[], Measure::Amount), None);
}

#[test]
fn numbers_are_told_with_four_digits() {
    let told = [0.0, 0.05, 0.866_66, 12.5, 1234.5, 0.000_012_3, 1e9, 100.0].map(number);
    assert_eq!(told, ["0", "0.05", "0.8667", "12.5", "1234", "1.230e-5", "1.000e9", "100"]);
}
