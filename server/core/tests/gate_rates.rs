//! Measures what `docs/rollouts.md` promises of gates: how often a release that is fine fails, and one that is not passes, over all
//! looks at it; and how often either is told.
//!
//! The table printed here is the one in the documentation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic
#![allow(clippy::print_stdout, reason = "the table is what this test is for")]

use edgeflow_core::TargetName;
use edgeflow_core::rollout::{Arm, Comparison, Evidence, Gate, Reported, Samples, Verdict, Worse, gate};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const ALPHA: f64 = 0.05;
const RUNS: u64 = 1000;

struct Chance(SmallRng);

impl Chance {
    /// Standard normal (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius: f64 = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos()
    }

    /// How many of `n` come true.
    fn right(&mut self, n: u64, p: f64) -> u64 {
        (0..n).map(|_| u64::from(self.0.random::<f64>() < p)).sum()
    }
}

/// What robots report, at one world.
#[derive(Clone, Copy)]
enum Reports {
    /// Frames right of so many a report; the share drifts with this lag-1 autocorrelation and standard deviation.
    Accuracy { frames: u64, share: f64, rho: f64, std: f64 },
    /// Milliseconds, with this lag-1 autocorrelation and standard deviation.
    Latency { mean: f64, rho: f64, std: f64 },
    /// Missions that succeed with this chance.
    Missions { share: f64 },
}

#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    reports: Reports,
    updated: usize,
    /// Robots of the rest; 0: against the same robots before.
    rest: usize,
    /// Reports of each robot.
    each: usize,
    /// Standard deviation between robots, and between before and after of one.
    between: f64,
    margin: f64,
}

impl World {
    fn metric(&self) -> (&'static str, Worse) {
        match self.reports {
            Reports::Accuracy { .. } => ("accuracy", Worse::Lower),
            Reports::Latency { .. } => ("latency_p95_us", Worse::Higher),
            Reports::Missions { .. } => ("mission_success", Worse::Lower),
        }
    }

    /// One robot's reports when it is `off` from what is usual.
    fn robot(&self, chance: &mut Chance, off: f64) -> Vec<Reported> {
        let mut wander = chance.normal();
        let mut next = |rho: f64, chance: &mut Chance| {
            wander = rho * wander + (1.0 - rho * rho).sqrt() * chance.normal();
            wander
        };
        let report = |i: usize| {
            let t_us = (i as i64 + 1) * 1_000_000;
            match self.reports {
                Reports::Accuracy { frames, share, rho, std } => {
                    let p = (share + off + std * next(rho, chance)).clamp(0.0, 1.0);
                    Reported { t_us, value: chance.right(frames, p) as f64 / frames as f64, frames }
                }
                Reports::Latency { mean, rho, std } => Reported { t_us, value: mean + off + std * next(rho, chance), frames: 20 },
                Reports::Missions { share } => Reported { t_us, value: chance.right(1, (share + off).clamp(0.0, 1.0)) as f64, frames: 1 },
            }
        };
        (0..self.each).map(report).collect()
    }

    /// What a release that is worse by `worse` looks like.
    fn evidence(&self, chance: &mut Chance, worse: f64) -> Evidence {
        let (metric, way) = self.metric();
        let off = if way == Worse::Lower { -worse } else { worse };
        let name = |i: usize| TargetName::new(format!("r{i}")).unwrap();
        let samples = |of: BTreeMap<TargetName, Vec<Reported>>| BTreeMap::from([(metric.to_owned(), Samples { of })]);
        let (mut updated, mut before, mut rest) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for i in 0..self.updated {
            let own = self.between * chance.normal();
            updated.insert(name(i), self.robot(chance, own + off));
            // Against itself a robot's own way falls out, unless its world changed meanwhile.
            before.insert(name(i), self.robot(chance, own));
        }
        for i in 0..self.rest {
            let own = self.between * chance.normal();
            rest.insert(name(self.updated + i), self.robot(chance, own));
        }
        // Eight looks, each when the time since the first grew by half.
        let last_us = self.each as f64 * 1e6;
        let looks_us = (0..8).rev().map(|back| (last_us / 1.5_f64.powi(back)) as i64).collect();
        Evidence { updated: samples(updated), before: samples(before), rest: samples(rest), looks_us, nobody_left: false }
    }

    /// Shares of pass and fail when the release is worse by so much of the margin.
    fn rates(&self, of_margin: f64) -> (f64, f64) {
        let (metric, worse) = self.metric();
        let against = if self.rest == 0 { Arm::Before } else { Arm::Rest };
        let compare = Comparison { metric: metric.into(), against, worse, margin: self.margin, alpha: ALPHA };
        let gate = Gate { name: "g".into(), expression: None, compare: Some(compare), min_samples: 20 };
        let mut chance = Chance(SmallRng::seed_from_u64(7));
        let mut told = [0_u64; 2];
        for _ in 0..RUNS {
            match gate::judge(&gate, &self.evidence(&mut chance, of_margin * self.margin), 0).verdict {
                Verdict::Pass => told[0] += 1,
                Verdict::Fail => told[1] += 1,
                Verdict::Inconclusive => {}
            }
        }
        (told[0] as f64 / RUNS as f64, told[1] as f64 / RUNS as f64)
    }
}

const WORLDS: [World; 8] = [
    World {
        name: "accuracy, 1 canary, before",
        reports: Reports::Accuracy { frames: 20, share: 0.92, rho: 0.0, std: 0.0 },
        updated: 1,
        rest: 0,
        each: 120,
        between: 0.0,
        margin: 0.05,
    },
    World {
        name: "accuracy, 1 canary, before, rho 0.8",
        reports: Reports::Accuracy { frames: 20, share: 0.85, rho: 0.8, std: 0.05 },
        updated: 1,
        rest: 0,
        each: 240,
        between: 0.0,
        margin: 0.1,
    },
    World {
        name: "latency, 1 canary, before, rho 0.9",
        reports: Reports::Latency { mean: 20.0, rho: 0.9, std: 2.0 },
        updated: 1,
        rest: 0,
        each: 240,
        between: 0.0,
        margin: 5.0,
    },
    World {
        name: "latency, 2 robots, before, rho 0.9",
        reports: Reports::Latency { mean: 20.0, rho: 0.9, std: 2.0 },
        updated: 2,
        rest: 0,
        each: 240,
        between: 0.0,
        margin: 3.0,
    },
    World {
        name: "accuracy, 1 canary, rest of 9",
        reports: Reports::Accuracy { frames: 20, share: 0.90, rho: 0.5, std: 0.03 },
        updated: 1,
        rest: 9,
        each: 60,
        between: 0.02,
        margin: 0.15,
    },
    World {
        name: "latency, 10 robots, rest of 10, rho 0.9",
        reports: Reports::Latency { mean: 20.0, rho: 0.9, std: 2.0 },
        updated: 10,
        rest: 10,
        each: 60,
        between: 1.0,
        margin: 3.0,
    },
    World {
        name: "accuracy, 10 robots, before",
        reports: Reports::Accuracy { frames: 20, share: 0.92, rho: 0.8, std: 0.03 },
        updated: 10,
        rest: 0,
        each: 60,
        between: 0.03,
        margin: 0.05,
    },
    World {
        name: "missions, 20 robots, rest of 40",
        reports: Reports::Missions { share: 0.95 },
        updated: 20,
        rest: 40,
        each: 20,
        between: 0.01,
        margin: 0.1,
    },
];

/// Beyond three standard errors of a share of `RUNS` at the allowed one, it is no chance.
const MOST_WRONG: f64 = ALPHA + 3.0 * 0.0069;

#[test]
fn wrong_answers_keep_to_alpha_over_all_looks() {
    println!("| world | at the margin: pass | fail | just as good: pass | fail | twice the margin: pass | fail |");
    for world in &WORLDS {
        let [border, same, bad] = [1.0, 0.0, 2.0].map(|of_margin| world.rates(of_margin));
        let cells = [border.0, border.1, same.0, same.1, bad.0, bad.1].map(|share| format!("{:.1} %", share * 100.0)).join(" | ");
        println!("| {} | {cells} |", world.name);
        // At the margin either answer is wrong at its worst.
        assert!(border.0 <= MOST_WRONG && border.1 <= MOST_WRONG, "{}: {border:?}", world.name);
        assert!(same.1 <= ALPHA / 5.0 && bad.0 <= ALPHA / 5.0, "{}: {same:?} {bad:?}", world.name);
        assert!(same.0 >= 0.8 && bad.1 >= 0.65, "{} is seldom told: {same:?} {bad:?}", world.name);
    }
}
