//! Gates that hold one metric against another arm: worse than the margin, no worse than it, or not known yet.
//!
//! A gate is looked at again and again until it says something, and each look is a chance to be wrong. So looks are few (each time
//! the time since the first grew by half), and the k-th spends `alpha / (k (k + 1))` of the allowed error, which adds up to `alpha` over
//! any number of looks. What an earlier look decided stands.

use std::collections::BTreeSet;

use super::summary::{summarise_until, until};
use super::{Measure, RobotMean, Side, lacking, number, paired, statistics::Difference, summarise, unpaired};
use crate::rollout::{Arm, Comparison, Evidence, Gate, GateResult, MetricSummary, Samples, Verdict, Worse};
use crate::{TargetName, words::counted};

pub(super) fn judge(gate: &Gate, comparison: &Comparison, evidence: &Evidence, mut result: GateResult) -> GateResult {
    let metric = comparison.metric.as_str();
    result.metric = metric.to_owned();
    let nothing = Samples::default();
    let other = Side::of(comparison.against);
    let [updated, others] = [Side::Updated, other].map(|side| side.samples(evidence, metric).unwrap_or(&nothing));
    let looks: &[i64] = if evidence.looks_us.is_empty() { &[i64::MAX] } else { &evidence.looks_us };
    let mut done = 0_u32;
    let mut last = None;
    for look_us in looks {
        let arms = [updated, others].map(|samples| summarise_until(samples, *look_us));
        if arms.iter().any(|summary| summary.n < gate.min_samples) {
            continue;
        }
        done += 1;
        let alpha = comparison.alpha / (f64::from(done) * f64::from(done + 1));
        let difference = difference(comparison, evidence.nobody_left, [updated, others], *look_us);
        let look = Look { comparison, other: other.words(evidence.nobody_left), arms, alpha };
        let said = difference.map_or_else(|missing| (Verdict::Inconclusive, missing, None), |difference| look.say(&difference));
        let decided = said.0 != Verdict::Inconclusive;
        last = Some((arms, said));
        if decided {
            break;
        }
    }
    let Some((arms, (verdict, reason, p_value))) = last else {
        let arms = [updated, others].map(summarise);
        let sides = [Side::Updated, other];
        let missing: Vec<String> = sides
            .iter()
            .zip(&arms)
            .filter_map(|(side, summary)| lacking(*side, metric, summary, gate.min_samples, evidence.nobody_left))
            .collect();
        let reason =
            if missing.is_empty() { "there are enough samples now: they are compared shortly".to_owned() } else { missing.join("; ") };
        note(&mut result, other, metric, arms);
        return GateResult { reason, ..result };
    };
    note(&mut result, other, metric, arms);
    let [_, others] = arms;
    let threshold = match comparison.worse {
        Worse::Higher => others.mean + comparison.margin,
        Worse::Lower => others.mean - comparison.margin,
    };
    GateResult { verdict, reason, threshold: Some(threshold), p_value, ..result }
}

fn note(result: &mut GateResult, other: Side, metric: &str, [updated, others]: [MetricSummary; 2]) {
    Side::Updated.note(result, metric, updated);
    other.note(result, metric, others);
}

fn difference(comparison: &Comparison, nobody_left: bool, [updated, others]: [&Samples; 2], look_us: i64) -> Result<Difference, String> {
    let measure = Measure::of(&comparison.metric);
    let mean =
        |samples: &Samples, robot: &TargetName| samples.of.get(robot).and_then(|reports| RobotMean::of(until(reports, look_us), measure));
    if comparison.against == Arm::Before || nobody_left {
        let both = updated.of.keys().filter_map(|robot| mean(updated, robot).zip(mean(others, robot)));
        return paired(&both.collect::<Vec<_>>());
    }
    let robots: BTreeSet<&TargetName> = updated.of.keys().collect();
    // A robot that became updated meanwhile is no longer of the rest.
    let rest = others.of.keys().filter(|robot| !robots.contains(robot)).filter_map(|robot| mean(others, robot));
    let ours = updated.of.keys().filter_map(|robot| mean(updated, robot));
    unpaired(&ours.collect::<Vec<_>>(), &rest.collect::<Vec<_>>())
}

/// One look at both arms.
struct Look<'a> {
    comparison: &'a Comparison,
    other: &'static str,
    arms: [MetricSummary; 2],
    alpha: f64,
}

impl Look<'_> {
    fn say(&self, difference: &Difference) -> (Verdict, String, Option<f64>) {
        let Comparison { metric, worse, margin, .. } = self.comparison;
        // Upwards is worse.
        let worse_by = match worse {
            Worse::Higher => *difference,
            Worse::Lower => Difference { value: -difference.value, ..*difference },
        };
        let (worse_chance, fine_chance) = (worse_by.chance_above(*margin), worse_by.chance_below(*margin));
        let alpha = number(self.alpha);
        let (verdict, p_value, told) = if worse_chance <= self.alpha {
            (
                Verdict::Fail,
                worse_chance,
                format!("worse by more than the margin {} (p = {:.2e}, at most {alpha})", number(*margin), worse_chance),
            )
        } else if fine_chance <= self.alpha {
            (
                Verdict::Pass,
                fine_chance,
                format!("not worse by more than the margin {} (p = {:.2e}, at most {alpha})", number(*margin), fine_chance),
            )
        } else {
            let half = worse_by.half_width(self.alpha);
            let between = if half.is_finite() {
                format!("worse by {} to {}", number(worse_by.value - half), number(worse_by.value + half))
            } else {
                "too few robots or reports to say how they scatter".to_owned()
            };
            let told = format!("it may be either side of the margin {} ({between}): more samples are needed", number(*margin));
            (Verdict::Inconclusive, worse_chance.min(fine_chance), told)
        };
        let [updated, others] = self.arms.map(|arm| {
            format!("{} ({}, {})", number(arm.mean), counted(arm.n, "sample", "samples"), counted(arm.robots, "robot", "robots"))
        });
        let reason = format!("{metric} of the updated robots is {updated}, of {} {others}: {told}", self.other);
        (verdict, reason, Some(p_value))
    }
}
