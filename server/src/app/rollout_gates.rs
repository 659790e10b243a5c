//! What gates say, while rounds of rollouts go on: judging reads many reports, so it is done beside the rounds, and each round takes what
//! was said last.

use edgeflow_core::{
    OrganisationId,
    rollout::{GateResult, RobotPhase, RobotProgress, Rollout},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::app::{App, rollout_evidence::EVIDENCE_ROBOTS};

/// How often gates are judged again while nothing is decided, microseconds.
const AGAIN_US: i64 = 5_000_000;
/// Rollouts that are remembered.
const REMEMBERED: usize = 256;

/// What the gates of one stage said.
struct Said {
    stage: usize,
    settled_us: Option<i64>,
    /// They are being judged.
    running: bool,
    /// When they were judged last, and what they said.
    last: Option<(i64, Vec<GateResult>)>,
}

/// What gates said last, by rollout.
#[derive(Default)]
pub(crate) struct Judgements(Mutex<BTreeMap<i64, Said>>);

impl Judgements {
    /// What was said of that stage as it is now, if it is still of interest.
    fn of<T>(&self, rollout: &Rollout, then: impl FnOnce(&mut Said) -> T) -> Option<T> {
        let mut judgements = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        judgements.get_mut(&rollout.id).filter(|said| said.stage == rollout.stage && said.settled_us == rollout.settled_us).map(then)
    }
}

/// While it lives, the gates of a stage are being judged: however that ends, they can be judged again.
struct Judging {
    app: Arc<App>,
    rollout: Rollout,
}

impl Drop for Judging {
    fn drop(&mut self) {
        self.app.judgements.of(&self.rollout, |said| said.running = false);
    }
}

impl App {
    /// What the gates of a rollout's stage said last; `None` until they were judged for the first time. Judges them again, in a task, when
    /// that was a while ago. `robots` are all of the rollout's.
    pub(crate) fn gates_said(
        self: &Arc<Self>,
        organisation: &OrganisationId,
        rollout: &Rollout,
        robots: &[RobotProgress],
    ) -> Option<Vec<GateResult>> {
        let now_us = self.now_us();
        let mut judgements = self.judgements.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = judgements.get(&rollout.id).is_some_and(|said| said.stage == rollout.stage && said.settled_us == rollout.settled_us);
        if !known {
            while judgements.len() >= REMEMBERED {
                judgements.pop_first();
            }
            judgements.insert(rollout.id, Said { stage: rollout.stage, settled_us: rollout.settled_us, running: false, last: None });
        }
        let said = judgements.get_mut(&rollout.id)?;
        if !said.running && said.last.as_ref().is_none_or(|(at_us, _)| now_us >= at_us.saturating_add(AGAIN_US)) {
            said.running = true;
            let updated = robots.iter().filter(|robot| robot.stage == rollout.stage && robot.phase == RobotPhase::Updated).map(in_short);
            let rest = robots.iter().filter(|robot| matches!(robot.phase, RobotPhase::Pending | RobotPhase::Waiting)).map(in_short);
            // Those beyond are not read anyway; which they are says nothing of how they work, as stages are filled by hash.
            let (updated, rest) = (updated.collect(), rest.take(8 * EVIDENCE_ROBOTS).collect());
            let judging = Judging { app: Arc::clone(self), rollout: rollout.clone() };
            tokio::spawn(judging.judge(organisation.clone(), updated, rest, now_us));
        }
        // What was said before somebody resumed it says nothing of now.
        said.last.as_ref().filter(|(at_us, _)| *at_us >= rollout.since_us).map(|(_, results)| results.clone())
    }
}

impl Judging {
    async fn judge(self, organisation: OrganisationId, updated: Vec<RobotProgress>, rest: Vec<RobotProgress>, now_us: i64) {
        match self.app.rollout_gates(&organisation, &self.rollout, &updated, &rest, now_us).await {
            Ok(results) => drop(self.app.judgements.of(&self.rollout, |said| said.last = Some((now_us, results)))),
            Err(error) => tracing::error!(%error, self.rollout.id, "the gates of a rollout were not judged; it is tried again"),
        }
    }
}

/// A robot without what was declared before, which says nothing to gates: there may be thousands of robots.
fn in_short(robot: &RobotProgress) -> RobotProgress {
    let RobotProgress { target, served, .. } = robot;
    RobotProgress { target: target.clone(), reason: String::new(), served: served.clone(), before: None, before_policy: None, ..*robot }
}
