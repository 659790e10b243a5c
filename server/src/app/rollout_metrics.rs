//! A metric of a rollout's stage over time, arm by arm, for charts.

use edgeflow_core::{
    Principal,
    observation::{Source, unit},
    principal::{Action, Resource},
    rollout::{Reported, RobotPhase, StagePlan},
};
use edgeflow_store::RobotFilter;
use serde::Serialize;

use crate::app::{App, AppError};

/// Points of an arm.
const POINTS: i64 = 60;

/// A metric over time: points of moment (microseconds since the Unix epoch), mean over robots, and samples it is of.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RolloutMetricsView {
    /// Which metric.
    pub metric: String,
    /// Its unit; empty when it has none or it is not known.
    pub unit: String,
    /// Name of the stage it is of: the one the rollout is in, or the last before it that was judged where that one has no gates.
    pub stage: String,
    /// Bound that a gate of the stage named last; `null` when none did.
    pub threshold: Option<f64>,
    /// The robots of the stage, of frames that the release answered.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub updated: Vec<(i64, f64, u64)>,
    /// The same robots, as long before.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub before: Vec<(i64, f64, u64)>,
    /// Robots that are not updated.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub rest: Vec<(i64, f64, u64)>,
}

impl App {
    /// A metric of the stage that a rollout is in, or ended in; of the last before it that was judged where it has no gates.
    pub async fn rollout_metrics(&self, principal: &Principal, id: &str, metric: &str) -> Result<RolloutMetricsView, AppError> {
        self.permit(principal, Action::ReadRollout, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        let rollout = self.find_rollout(organisation, id).await?;
        let mut view = RolloutMetricsView {
            metric: metric.to_owned(),
            unit: unit(metric).to_owned(),
            stage: String::new(),
            threshold: None,
            updated: Vec::new(),
            before: Vec::new(),
            rest: Vec::new(),
        };
        let index = looked_at(&rollout.stages, rollout.stage);
        let Some(stage) = rollout.stages.get(index) else { return Ok(view) };
        view.stage.clone_from(&stage.name);
        view.threshold = stage.evidence.iter().find(|result| result.metric == metric).and_then(|result| result.threshold);
        if stage.began_us.is_none() {
            return Ok(view);
        }
        let robots = self.stores.rollouts.rollout_robots(rollout.id, &RobotFilter::default()).await?;
        let untold = |phase| matches!(phase, RobotPhase::Pending | RobotPhase::Waiting | RobotPhase::Skipped);
        // While a stage is under way, robots of later ones are not told yet.
        let rest: Vec<_> = robots.iter().filter(|robot| untold(robot.phase) || robot.stage > index).cloned().collect();
        let updated = robots.into_iter().filter(|robot| robot.stage == index && !untold(robot.phase) && robot.told.is_some());
        let updated: Vec<_> = updated.collect();
        let over = rollout.phase.ended() || index < rollout.stage;
        let until_us = stage.ended_us.filter(|_| over).unwrap_or_else(|| self.now_us());
        let arms = self.rollout_arms(organisation, &rollout, stage, &updated, &rest, until_us).await?;
        let [updated, before, rest] = self.arm_reported(organisation, &Source::of(metric), &arms).await?;
        view.updated = points(updated.into_values().flatten());
        view.before = points(before.into_values().flatten());
        view.rest = points(rest.into_values().flatten());
        Ok(view)
    }
}

/// Index of the stage whose numbers are worth a look when a rollout is in stage `now`.
fn looked_at(stages: &[StagePlan], now: usize) -> usize {
    if stages.get(now).is_none_or(|stage| !stage.gates.is_empty() || !stage.evidence.is_empty()) {
        return now;
    }
    stages.iter().take(now).rposition(|stage| !stage.evidence.is_empty()).unwrap_or(now)
}

/// Means over equal parts of the time in which anything was reported, weighted by frames.
fn points(reports: impl Iterator<Item = Reported>) -> Vec<(i64, f64, u64)> {
    let reports: Vec<Reported> = reports.collect();
    let times = || reports.iter().map(|report| report.t_us);
    let (Some(first_us), Some(last_us)) = (times().min(), times().max()) else { return Vec::new() };
    let part_us = last_us.saturating_sub(first_us) / POINTS + 1;
    let mut parts: std::collections::BTreeMap<i64, (i64, f64, u64)> = std::collections::BTreeMap::new();
    for Reported { t_us, value, frames } in reports {
        let part = parts.entry((t_us - first_us) / part_us).or_insert((t_us, 0.0, 0));
        *part = (part.0.max(t_us), part.1 + value * frames as f64, part.2 + frames);
    }
    parts.into_values().map(|(t_us, sum, frames)| (t_us, sum / frames.max(1) as f64, frames)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_means_by_frames_over_parts_of_the_time() {
        let report = |t_us, value, frames| Reported { t_us, value, frames };
        assert_eq!(points([report(5, 1.0, 1), report(5, 2.0, 3)].into_iter()), [(5, 1.75, 4)]);
        let many = points((0..600).map(|t_us| report(t_us, t_us as f64, 2)));
        assert_eq!((many.len(), many.first(), many.last()), (60, Some(&(9, 4.5, 20)), Some(&(599, 594.5, 20))));
        assert!(points(std::iter::empty()).is_empty());
    }
}
