//! What gates of rollouts look at: what robots reported since they serve the release, what the same robots reported before, and what
//! those report that are not updated yet.
//!
//! Times are by our clock. Robots stamp their reports by theirs, which may be hours wrong: how far each is off is estimated, and what is
//! asked of a robot's reports is asked by its clock. Of large arms some robots are read, always the same: those whose names have the
//! lowest hashes, as many as fit into a bound of robots times minutes.

use edgeflow_core::{
    OrganisationId, TargetName, clock_error,
    drift_fleet::{self, FleetVerdict, RobotReport},
    observation::{Frames, RobotWindow, Source},
    rollout::{Evidence, GateResult, Release, ReleaseKind, Reported, RobotProgress, Rollout, Samples, StagePlan, gate},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use crate::app::{App, AppError};

/// Most robots of an arm that are read.
pub(crate) const EVIDENCE_ROBOTS: usize = 1000;
/// Most robots of an arm times minutes looked at, unless there are few robots: what a second can read.
const ROBOT_MINUTES: i64 = 60_000;
/// So many are read, however long it is.
const LEAST_ROBOTS: usize = 50;
/// The first comparison is no sooner after a stage settled, microseconds.
const LEAST_SOAK_US: i64 = 10_000_000;
/// What a robot did just before it served the release may be downloading it; at most so much is left out, microseconds.
const MOST_LEAD_US: i64 = 600_000_000;

/// Where the release is in reports of frames.
pub(crate) struct ReleaseFrames<'a> {
    slot: &'a str,
    digest: &'a str,
    /// Reports name this digest: of models only.
    named: bool,
}

impl<'a> ReleaseFrames<'a> {
    pub(crate) fn of(rollout: &'a Rollout) -> Option<Self> {
        match &rollout.release {
            Release::Slot { spec } => {
                let named = rollout.spec.release.kind == ReleaseKind::Model;
                Some(Self { slot: &rollout.spec.slot, digest: &spec.digest, named })
            }
            Release::Policy { .. } => None,
        }
    }
}

/// The arms' robots and times.
pub(crate) struct Arms {
    /// Of updated robots since they serve the release.
    pub(crate) updated: Vec<RobotWindow>,
    /// As long before it.
    pub(crate) before: Vec<RobotWindow>,
    /// Of those that are not updated, over the same time.
    pub(crate) rest: Vec<RobotWindow>,
    ours: Frames,
    others: Frames,
    /// What is to be added to robots' stamps, of those whose clocks are wrong.
    behind_us: BTreeMap<TargetName, i64>,
}

impl Arms {
    fn behind_us(&self, robot: &TargetName) -> i64 {
        self.behind_us.get(robot).copied().unwrap_or_default()
    }
}

impl App {
    /// What the gates of a rollout's stage say now, in their order. `updated` are robots of the stage that serve the release, `rest`
    /// robots of the rollout whose turn has not come.
    pub(crate) async fn rollout_gates(
        &self,
        organisation: &OrganisationId,
        rollout: &Rollout,
        updated: &[RobotProgress],
        rest: &[RobotProgress],
        now_us: i64,
    ) -> Result<Vec<GateResult>, AppError> {
        let Some(stage) = rollout.stages.get(rollout.stage).filter(|stage| !stage.gates.is_empty()) else { return Ok(Vec::new()) };
        let arms = self.rollout_arms(organisation, rollout, stage, updated, rest, now_us).await?;
        let mut evidence =
            Evidence { nobody_left: rest.is_empty(), looks_us: looks(rollout, stage, updated, now_us), ..Evidence::default() };
        for metric in gate::metrics(&stage.gates) {
            if let Some(verdict) = fleet_metric(&metric) {
                let updated = self.fleet_drifts(organisation, &arms, &arms.updated, &arms.ours, verdict).await?;
                let rest = self.fleet_drifts(organisation, &arms, &arms.rest, &arms.others, verdict).await?;
                evidence.updated.insert(metric.clone(), updated);
                evidence.rest.insert(metric, rest);
                continue;
            }
            let source = Source::of(&metric);
            let before = backwards(&arms, self.reported(organisation, &source, &arms, &arms.others, &arms.before).await?);
            let others = match evidence.nobody_left {
                true => before.clone(),
                false => Samples { of: self.reported(organisation, &source, &arms, &arms.others, &arms.rest).await? },
            };
            let ours = Samples { of: self.reported(organisation, &source, &arms, &arms.ours, &arms.updated).await? };
            evidence.updated.insert(metric.clone(), ours);
            evidence.before.insert(metric.clone(), before);
            evidence.rest.insert(metric, others);
        }
        let gates = stage.gates.clone();
        let judged = tokio::task::spawn_blocking(move || gates.iter().map(|gate| gate::judge(gate, &evidence, now_us)).collect());
        judged.await.map_err(AppError::artifact("judging the gates of a rollout"))
    }

    /// Whose reports of which time the arms are.
    pub(crate) async fn rollout_arms(
        &self,
        organisation: &OrganisationId,
        rollout: &Rollout,
        stage: &StagePlan,
        updated: &[RobotProgress],
        rest: &[RobotProgress],
        until_us: i64,
    ) -> Result<Arms, AppError> {
        let began_us = stage.began_us.unwrap_or(until_us);
        let most = most_robots(until_us.saturating_sub(began_us));
        let release = ReleaseFrames::of(rollout);
        let (updated, rest) = (some_of(updated, most), some_of(rest, most));
        let names: Vec<TargetName> = updated.iter().map(|robot| robot.target.clone()).collect();
        let everybody: Vec<TargetName> = updated.iter().chain(&rest).map(|robot| robot.target.clone()).collect();
        let words = self.stores.evidence.stamped_and_came(organisation, &everybody).await?;
        let behind_us: BTreeMap<TargetName, i64> =
            words.into_iter().map(|(robot, words)| (robot, clock_error::behind_us(&words))).filter(|(_, by_us)| *by_us != 0).collect();
        let since = match &release {
            Some(release) => self.stores.evidence.serving_since(organisation, release.slot, release.digest, &names).await?,
            None => BTreeMap::new(),
        };
        let (mut ours, mut before) = (Vec::with_capacity(updated.len()), Vec::with_capacity(updated.len()));
        let mut earliest_us = until_us;
        for robot in updated {
            // One that served it all along has no before.
            let served = release.as_ref().is_some_and(|release| release.digest == robot.served);
            let said_us =
                since.get(&robot.target).map(|since_us| since_us.saturating_add(behind_us.get(&robot.target).copied().unwrap_or_default()));
            let from_us = said_us.filter(|_| !served).unwrap_or(robot.since_us);
            let length_us = until_us.saturating_sub(from_us).max(0);
            earliest_us = earliest_us.min(from_us);
            ours.push(RobotWindow { target: robot.target.clone(), from_us, to_us: from_us.saturating_add(length_us) });
            if !served {
                let lead_us = from_us.saturating_sub(began_us).clamp(0, MOST_LEAD_US);
                let to_us = from_us.saturating_sub(lead_us).saturating_sub(1);
                before.push(RobotWindow { target: robot.target.clone(), from_us: to_us.saturating_sub(length_us), to_us });
            }
        }
        let window = |robot: &RobotProgress| RobotWindow { target: robot.target.clone(), from_us: earliest_us, to_us: until_us };
        let rest = rest.into_iter().map(window).collect();
        let named = release.filter(|release| release.named).map(|release| release.digest.to_owned());
        let (ours_of, others_of) = match named {
            Some(digest) => (Frames::Of(digest.clone()), Frames::NotOf(digest)),
            None => (Frames::All, Frames::All),
        };
        Ok(Arms { updated: ours, before, rest, ours: ours_of, others: others_of, behind_us })
    }

    /// Reports of an arm that are the release's, or are not.
    pub(crate) async fn arm_reported(
        &self,
        organisation: &OrganisationId,
        source: &Source,
        arms: &Arms,
    ) -> Result<[BTreeMap<TargetName, Vec<Reported>>; 3], AppError> {
        let updated = self.reported(organisation, source, arms, &arms.ours, &arms.updated).await?;
        let before = self.reported(organisation, source, arms, &arms.others, &arms.before).await?;
        Ok([updated, before, self.reported(organisation, source, arms, &arms.others, &arms.rest).await?])
    }

    /// Whether that is what drifts, by the newest windows of an arm's robots that lie within its time: the same for each of them.
    async fn fleet_drifts(
        &self,
        organisation: &OrganisationId,
        arms: &Arms,
        windows: &[RobotWindow],
        frames: &Frames,
        verdict: FleetVerdict,
    ) -> Result<Samples, AppError> {
        let names: Vec<TargetName> = windows.iter().map(|window| window.target.clone()).collect();
        let (targets, attested) = tokio::try_join!(
            self.stores.targets.targets_named(organisation, &names),
            self.stores.entries.attested_of(organisation, &names, &["drift_report"])
        )?;
        let sites: BTreeMap<&TargetName, &String> =
            targets.iter().filter_map(|target| Some((&target.id.name, target.labels.get("site")?))).collect();
        let newest = windows.iter().filter_map(|window| {
            let report = attested.get(&window.target).and_then(|attested| attested.drift())?;
            let ours = match frames {
                Frames::All => true,
                Frames::Of(digest) => report.digest == *digest,
                Frames::NotOf(digest) => report.digest != *digest,
            };
            let behind_us = arms.behind_us(&window.target);
            let [start_us, end_us] = [report.start_us, report.end_us].map(|at_us| at_us.saturating_add(behind_us));
            (ours && start_us >= window.from_us && end_us <= window.to_us).then_some((&window.target, report))
        });
        let newest: Vec<_> = newest.collect();
        let reports: Vec<RobotReport<'_>> = newest
            .iter()
            .map(|(name, report)| RobotReport { robot: name.as_str(), site: sites.get(name).map(|site| site.as_str()), report })
            .collect();
        let told = drift_fleet::verdict(&reports).features.iter().any(|feature| feature.verdict == verdict);
        let of = newest.into_iter().map(|(name, report)| {
            let frames = report.features.iter().map(|feature| feature.n).max().unwrap_or(1).max(1);
            (
                name.clone(),
                vec![Reported { t_us: report.end_us.saturating_add(arms.behind_us(name)), value: f64::from(u8::from(told)), frames }],
            )
        });
        Ok(Samples { of: of.collect() })
    }

    async fn reported(
        &self,
        organisation: &OrganisationId,
        source: &Source,
        arms: &Arms,
        frames: &Frames,
        windows: &[RobotWindow],
    ) -> Result<BTreeMap<TargetName, Vec<Reported>>, AppError> {
        if windows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let theirs: Vec<RobotWindow> = windows
            .iter()
            .map(|window| {
                let behind_us = arms.behind_us(&window.target);
                let (from_us, to_us) = (window.from_us.saturating_sub(behind_us), window.to_us.saturating_sub(behind_us));
                RobotWindow { target: window.target.clone(), from_us, to_us }
            })
            .collect();
        let mut reported = self.stores.evidence.reported(organisation, source, frames, &theirs).await?;
        for (robot, reports) in &mut reported {
            let behind_us = arms.behind_us(robot);
            reports.iter_mut().for_each(|report| report.t_us = report.t_us.saturating_add(behind_us));
        }
        Ok(reported)
    }
}

/// When comparisons are made: when the soak time is over, and each time the time since the stage settled grew by half. One that lies
/// before everything when the first has not come.
fn looks(rollout: &Rollout, stage: &StagePlan, updated: &[RobotProgress], now_us: i64) -> Vec<i64> {
    let settled_us = rollout.settled_us.or_else(|| updated.iter().map(|robot| robot.since_us).max()).unwrap_or(now_us);
    let soak_us = i64::try_from(stage.soak_s).unwrap_or(i64::MAX).saturating_mul(1_000_000).max(LEAST_SOAK_US);
    let mut looks = Vec::new();
    let mut after_us = soak_us;
    while settled_us.saturating_add(after_us) <= now_us {
        looks.push(settled_us.saturating_add(after_us));
        after_us = after_us.saturating_add(after_us / 2);
    }
    if looks.is_empty() { vec![i64::MIN] } else { looks }
}

/// What drifts when this metric is 1; `None` of other metrics.
fn fleet_metric(metric: &str) -> Option<FleetVerdict> {
    match metric {
        "sensor_drift" => Some(FleetVerdict::Sensor),
        "site_drift" => Some(FleetVerdict::Site),
        "fleet_drift" => Some(FleetVerdict::Fleet),
        _ => None,
    }
}

/// How many robots of an arm are read when so long is looked at.
fn most_robots(length_us: i64) -> usize {
    let minutes = (length_us / 60_000_000).max(1);
    usize::try_from(ROBOT_MINUTES / minutes).unwrap_or(LEAST_ROBOTS).clamp(LEAST_ROBOTS, EVIDENCE_ROBOTS)
}

/// Of many robots those with the lowest hashes: the same each time, and chosen by nothing that they do.
fn some_of(robots: &[RobotProgress], most: usize) -> Vec<&RobotProgress> {
    let mut chosen: Vec<&RobotProgress> = robots.iter().collect();
    if chosen.len() > most {
        chosen.sort_by_cached_key(|robot| Sha256::digest(robot.target.as_str()));
        chosen.truncate(most);
    }
    chosen
}

/// Reports from before, as if time ran the other way from the moment each robot began to serve the release: [`Evidence::before`].
fn backwards(arms: &Arms, reported: BTreeMap<TargetName, Vec<Reported>>) -> Samples {
    let since: BTreeMap<&TargetName, i64> = arms.updated.iter().map(|updated| (&updated.target, updated.from_us)).collect();
    let before = arms.before.iter();
    let turned: BTreeMap<&TargetName, (i64, i64)> =
        before.filter_map(|before| Some((&before.target, (*since.get(&before.target)?, before.to_us)))).collect();
    let turn = |(target, mut reports): (TargetName, Vec<Reported>)| {
        if let Some((from_us, ended_us)) = turned.get(&target) {
            for report in &mut reports {
                report.t_us = from_us.saturating_add(ended_us.saturating_sub(report.t_us));
            }
            reports.reverse();
        }
        (target, reports)
    };
    Samples { of: reported.into_iter().map(turn).collect() }
}

#[cfg(test)]
#[path = "rollout_evidence_tests.rs"]
mod tests;
