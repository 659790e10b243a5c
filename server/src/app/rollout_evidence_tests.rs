#![allow(clippy::unwrap_used)]

use super::*;

fn progress(name: &str) -> RobotProgress {
    serde_json::from_value(serde_json::json!({"target": name, "stage": 0, "phase": "updated", "since_us": 0, "reason": "", "served": ""}))
        .unwrap()
}

#[test]
fn many_robots_or_a_long_time_are_bounded_and_always_by_the_same_robots() {
    assert_eq!(most_robots(60_000_000), EVIDENCE_ROBOTS);
    assert_eq!(most_robots(4 * 3600 * 1_000_000), 250);
    assert_eq!(most_robots(30 * 24 * 3600 * 1_000_000), LEAST_ROBOTS);
    let robots: Vec<RobotProgress> = (0..100).map(|i| progress(&format!("r{i}"))).collect();
    let names = |robots: Vec<&RobotProgress>| robots.into_iter().map(|robot| robot.target.clone()).collect::<Vec<_>>();
    let (ten, twenty) = (names(some_of(&robots, 10)), names(some_of(&robots, 20)));
    assert_eq!(ten, twenty[..10]);
    assert_eq!(some_of(&robots, 200).len(), 100);
}

#[test]
fn what_was_before_is_turned_round() {
    let window = |from_us, to_us| RobotWindow { target: TargetName::new("r").unwrap(), from_us, to_us };
    let arms = Arms {
        updated: vec![window(1000, 1100)],
        before: vec![window(800, 900)],
        rest: vec![],
        ours: Frames::All,
        others: Frames::All,
        behind_us: BTreeMap::new(),
    };
    let report = |t_us| Reported { t_us, value: 1.0, frames: 1 };
    let turned = backwards(&arms, BTreeMap::from([(TargetName::new("r").unwrap(), vec![report(810), report(890)])]));
    let times: Vec<i64> = turned.of.values().flatten().map(|report| report.t_us).collect();
    assert_eq!(times, [1010, 1090]);
}
