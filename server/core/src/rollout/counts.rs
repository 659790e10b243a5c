//! How far a rollout's robots are, in numbers, and which of them have to be looked at now.
//!
//! A rollout of 10,000 robots is stepped every second, so a step never sees all of them: it is given [`Counts`], which a store groups
//! out of an index, and the rows that [`wants`] asks for: robots on their way, and so many of those whose turn it is as can be told.

use std::collections::BTreeMap;

use super::{Phase, RobotPhase, Rollout, Scope};

/// Most rows of robots that wait for their turn to ask for at once.
const MOST_ROWS: usize = 1000;
/// Up to so many robots of a stage that serve are watched all the time; more only when the stage is judged.
const MOST_WATCHED: usize = 500;
/// Robots that are named when they did not go back.
pub(super) const MOST_NAMED: usize = 10;

/// Robots that are in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Their stage, an index.
    pub stage: usize,
    /// Where they are.
    pub phase: RobotPhase,
    /// They were told to go back.
    pub back: bool,
}

/// How many robots are where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<Group, usize>);

impl Counts {
    /// Counts of these robots.
    pub fn of<'a>(robots: impl IntoIterator<Item = &'a super::RobotProgress>) -> Self {
        let mut counts = Self::default();
        robots.into_iter().for_each(|robot| counts.add(robot.group(), 1));
        counts
    }

    /// Robots of these phases in stages `from` to `to`, both included; of one `back` only, if that is said.
    pub fn sum(&self, (from, to): (usize, usize), phases: &[RobotPhase], back: Option<bool>) -> usize {
        let within = |group: &Group| {
            (from..=to).contains(&group.stage) && phases.contains(&group.phase) && back.is_none_or(|back| back == group.back)
        };
        self.0.iter().filter(|(group, _)| within(group)).map(|(_, count)| count).sum()
    }

    /// Robots of these phases in any stage.
    pub fn all(&self, phases: &[RobotPhase]) -> usize {
        self.sum((0, usize::MAX), phases, None)
    }

    /// Phase to how many robots are in it, in any stage.
    pub fn by_phase(&self) -> BTreeMap<RobotPhase, usize> {
        let mut phases = BTreeMap::new();
        self.0.iter().filter(|(_, count)| **count > 0).for_each(|(group, count)| *phases.entry(group.phase).or_default() += count);
        phases
    }

    fn add(&mut self, group: Group, count: usize) {
        *self.0.entry(group).or_default() += count;
    }

    pub(super) fn moved(&mut self, from: Group, to: Group) {
        if let Some(count) = self.0.get_mut(&from) {
            *count = count.saturating_sub(1);
        }
        self.add(to, 1);
    }
}

impl super::RobotProgress {
    /// Which group it is of.
    pub fn group(&self) -> Group {
        Group { stage: self.stage, phase: self.phase, back: self.back }
    }
}

/// Rows of robots that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Of these stages, both included.
    pub stages: (usize, usize),
    /// In these phases.
    pub phases: Vec<RobotPhase>,
    /// Only those that were told to go back (or were not).
    pub back: Option<bool>,
    /// Only those whose `wakes_us` is not set, or at most this.
    pub due_us: Option<i64>,
    /// Robots that were not heard from since the last look may be left out, if all are given at the first look after a start and
    /// once a minute.
    pub heard: bool,
    /// Only so many, the first by name.
    pub limit: Option<usize>,
}

impl Need {
    pub(super) fn of(stages: (usize, usize), phases: &[RobotPhase]) -> Self {
        Self { stages, phases: phases.to_vec(), back: None, due_us: None, heard: false, limit: None }
    }

    /// Whether a robot is of these rows, but for the limit.
    pub fn takes(&self, robot: &super::RobotProgress) -> bool {
        let Self { stages: (from, to), phases, back, due_us, heard: _, limit: _ } = self;
        (*from..=*to).contains(&robot.stage)
            && phases.contains(&robot.phase)
            && back.is_none_or(|back| back == robot.back)
            && due_us.is_none_or(|due_us| robot.wakes_us.is_none_or(|wakes_us| wakes_us <= due_us))
    }
}

/// What a step has to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Rows of robots, all of these together; what is seen of each of them.
    pub rows: Vec<Need>,
    /// What the gates of the stage say now.
    pub gates: bool,
    /// What the replay said.
    pub replay: bool,
}

/// Room for robots that are on their way.
pub(super) struct Room<'a> {
    pub(super) rollout: &'a Rollout,
    pub(super) counts: &'a Counts,
}

impl Room<'_> {
    /// Robots of the rollout.
    pub(super) fn whole(&self) -> usize {
        self.rollout.stages.iter().map(|stage| stage.robots).sum()
    }

    pub(super) fn on_way(&self) -> usize {
        self.counts.all(&[RobotPhase::Updating, RobotPhase::RollingBack])
    }

    /// Failed robots that no operator took.
    pub(super) fn failed(&self) -> usize {
        self.counts.all(&[RobotPhase::Failed]).saturating_sub(self.rollout.accepted)
    }

    pub(super) fn max_unavailable(&self) -> usize {
        self.rollout.spec.strategy.max_unavailable.of(self.whole()).max(1)
    }

    /// How many more may fetch.
    pub(super) fn fetching(&self) -> usize {
        (self.rollout.spec.strategy.max_concurrent as usize).saturating_sub(self.on_way())
    }

    /// How many more may be taken out of service. Robots that failed are, until they serve again.
    pub(super) fn left(&self) -> usize {
        let out = self.on_way() + self.failed() + self.counts.all(&[RobotPhase::Retrying]);
        self.fetching().min(self.max_unavailable().saturating_sub(out))
    }
}

impl Rollout {
    /// Stages that go back, both included.
    pub(super) fn going_back_stages(&self) -> (usize, usize) {
        match self.going_back {
            Some(Scope::Stage) => (self.stage, self.stage),
            _ => (0, self.stage),
        }
    }

    /// Whether the stage's robots have served for its soak time.
    pub(super) fn soaked(&self, now_us: i64) -> bool {
        let soak_us = self.stages.get(self.stage).map_or(0, |stage| seconds(stage.soak_s));
        self.settled_us.is_none_or(|settled_us| now_us >= settled_us.saturating_add(soak_us))
    }
}

/// Seconds as microseconds.
pub(super) fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// What [`step`](super::step) has to be told of a rollout at `now_us`, which has to be the time of that step.
pub fn wants(rollout: &Rollout, counts: &Counts, now_us: i64) -> Wants {
    use RobotPhase::{Deferred, Failed, Pending, Retrying, RolledBack, RollingBack, Updated, Updating, Waiting};
    let (here, so_far) = ((rollout.stage, rollout.stage), (0, rollout.stage));
    let mut rows = vec![Need::of(so_far, &[Updating, RollingBack])];
    let mut ask = |need| rows.push(need);
    let limited = |limit: usize| Some(limit.min(MOST_ROWS));
    let room = Room { rollout, counts };
    if rollout.phase != Phase::RollingBack {
        ask(Need { heard: true, ..Need::of(so_far, &[Deferred]) });
    }
    match rollout.phase {
        Phase::Progressing => {
            ask(Need { due_us: Some(now_us), ..Need::of(so_far, &[Waiting, Retrying]) });
            if room.left() > 0 {
                let limit = limited(2 * room.left() + 100);
                ask(Need { limit, ..Need::of(so_far, &[Pending]) });
                ask(Need { limit, ..Need::of(here, &[RolledBack]) });
            }
            ask(Need { back: Some(true), limit: limited(MOST_ROWS), ..Need::of(here, &[Deferred]) });
        }
        Phase::RollingBack => {
            let stages = rollout.going_back_stages();
            let limit = limited(2 * room.fetching() + 100);
            for phase in [Failed, Deferred, Updated] {
                ask(Need { back: Some(false), limit, ..Need::of(stages, &[phase]) });
            }
            ask(Need { limit, ..Need::of(stages, &[Retrying]) });
            ask(Need { back: Some(true), heard: true, ..Need::of(so_far, &[Deferred]) });
            ask(Need { back: Some(true), limit: Some(MOST_NAMED), ..Need::of(stages, &[Failed]) });
            ask(Need { limit: limited(MOST_ROWS), ..Need::of(so_far, &[Waiting]) });
        }
        phase if phase.ended() => ask(Need { limit: limited(MOST_ROWS), ..Need::of(so_far, &[Waiting, Retrying]) }),
        _ => {}
    }
    if matches!(rollout.phase, Phase::Progressing | Phase::Soaking | Phase::Judging) {
        if rollout.phase == Phase::Soaking && rollout.soaked(now_us) {
            ask(Need::of(here, &[Updated]));
        } else if counts.sum(here, &[Updated], None) <= MOST_WATCHED {
            ask(Need { heard: true, ..Need::of(here, &[Updated]) });
        }
    }
    rows.retain(|need| counts.sum(need.stages, &need.phases, need.back) > 0);
    let gates = rollout.phase == Phase::Judging && rollout.stages.get(rollout.stage).is_some_and(|stage| !stage.gates.is_empty());
    Wants { rows, gates, replay: rollout.phase == Phase::Replaying }
}
