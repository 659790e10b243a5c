//! A fleet and a store in small, for tests of the machine: applies steps as a store would, answers as robots would, and holds every
//! step to what must always be true.

use edgeflow_wire::{SlotKind, SlotSpec, SlotState, SlotStatus, Version, VersionedPolicy};
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::TargetName;

pub(super) const NEW: &str = "sha256:new";
pub(super) const SECOND: i64 = 1_000_000;

pub(super) fn spec(digest: &str) -> SlotSpec {
    SlotSpec { kind: SlotKind::Model, model: "m".into(), version: digest.into(), digest: digest.into(), files: vec![] }
}

/// The telemetry policy that stands for what is in a slot, where a policy is rolled out.
fn document(digest: &str) -> serde_json::Value {
    serde_json::json!({ "routes": [{ "name": digest }] })
}

/// What is declared, as a robot's desired state reads.
fn text(policy: bool, declared: Option<&SlotSpec>) -> Option<String> {
    if policy { declared.map(|spec| policy_text(&document(&spec.digest))) } else { slot_text(declared) }
}

/// What a robot had before it was told.
pub(super) fn before(row: &RobotProgress) -> Option<&str> {
    let policy = row.before_policy.as_ref().and_then(|policy| policy.document["routes"][0]["name"].as_str());
    row.before.as_ref().map(|spec| spec.digest.as_str()).or(policy)
}

/// How a robot behaves when it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    Breaks,
    Silent,
    /// Takes the release up, and does not come back from it.
    NoReturn,
}

#[derive(Debug, Clone)]
pub(super) struct Robot {
    pub(super) nature: Nature,
    pub(super) seen: RobotSeen,
    pub(super) declared: Option<SlotSpec>,
    pub(super) desired: Version,
    /// Declared and served before the rollout.
    pub(super) old: Option<SlotSpec>,
    /// The policy that rules on it: a robot says nothing of it by name.
    ruled_by: Option<String>,
}

impl Robot {
    /// What runs on it: what it says of its slot, or the policy that rules.
    pub(super) fn runs(&self) -> Option<&str> {
        self.ruled_by.as_deref().or(self.seen.slot.as_ref().map(|slot| slot.digest.as_str()).filter(|digest| !digest.is_empty()))
    }

    /// Something is declared for it, of which it has said nothing yet.
    pub(super) fn declare(&mut self, policy: bool, declared: Option<SlotSpec>) {
        self.seen.declared = text(policy, declared.as_ref());
        self.declared = declared;
        self.desired.generation += 1;
        if policy {
            self.seen.slot = None;
        }
    }
}

pub(super) struct World {
    pub(super) rollout: Rollout,
    /// What is rolled out is a policy.
    pub(super) policy: bool,
    pub(super) rows: BTreeMap<TargetName, RobotProgress>,
    pub(super) robots: BTreeMap<TargetName, Robot>,
    pub(super) history: Vec<HistoryEntry>,
    pub(super) now_us: i64,
    pub(super) up_since_us: i64,
    pub(super) gates: Option<Vec<GateResult>>,
    pub(super) replay: Option<GateResult>,
    pub(super) taken_by: Option<i64>,
    /// Most rows that were asked for at once.
    pub(super) most_rows: usize,
    pub(super) told: Vec<(TargetName, Told)>,
    /// What was seen when it rested last, and when all were looked at: a store may leave out robots it did not hear from.
    looked: BTreeMap<TargetName, RobotSeen>,
    looked_us: Option<i64>,
}

pub(super) fn name(robot: &str) -> TargetName {
    TargetName::new(robot).unwrap()
}

pub(super) fn result(gate: &str, verdict: Verdict, reason: &str) -> GateResult {
    GateResult {
        gate: gate.into(),
        verdict,
        reason: reason.into(),
        at_us: 0,
        metric: String::new(),
        threshold: None,
        p_value: None,
        updated: BTreeMap::new(),
        before: BTreeMap::new(),
        rest: BTreeMap::new(),
    }
}

/// A rollout of a model, unless these keys say of what.
pub(super) fn declared(rest: serde_json::Value) -> RolloutSpec {
    let mut spec = serde_json::json!({ "release": { "kind": "model", "name": "m", "version": "2" } });
    spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

impl World {
    /// Robots r00 to …, all online, all at the old version, and a rollout over them with this strategy.
    pub(super) fn new(robots: usize, rest: serde_json::Value) -> Self {
        let spec = declared(rest);
        check(&spec).unwrap();
        let names: Vec<TargetName> = (0..robots).map(|robot| name(&format!("r{robot:02}"))).collect();
        let fleet: Vec<Candidate> =
            names.iter().map(|target| Candidate { target: target.clone(), labels: BTreeMap::new(), groups: BTreeSet::new() }).collect();
        Self::of(spec, &fleet)
    }

    pub(super) fn of(spec: RolloutSpec, fleet: &[Candidate]) -> Self {
        let plan = plan(&spec, fleet).unwrap();
        let policy = spec.release.kind == ReleaseKind::Policy;
        let release = if policy { Release::Policy { document: document(NEW) } } else { Release::Slot { spec: self::spec(NEW) } };
        let new = NewRollout { spec, release, plan, created_at_us: 0, created_by: "alice".into() };
        let (rollout, rows, history) = create(new);
        let robots = fleet.iter().map(|robot| {
            let old = self::spec("sha256:old");
            let desired = Version { server_epoch: 1, generation: 3 };
            let (site, declared) = (robot.labels.get("site").cloned(), text(policy, Some(&old)));
            let slot = Some(says(policy, SlotStatus::Active, &old, ""));
            let seen = RobotSeen { online: true, declared, observed: desired, slot, site, ..RobotSeen::default() };
            let ruled_by = policy.then(|| old.digest.clone());
            (robot.target.clone(), Robot { nature: Nature::Good, seen, declared: Some(old.clone()), desired, old: Some(old), ruled_by })
        });
        Self {
            rollout: Rollout { id: 7, ..rollout },
            policy,
            rows: rows.into_iter().map(|row| (row.target.clone(), row)).collect(),
            robots: robots.collect(),
            history,
            now_us: SECOND,
            up_since_us: 0,
            gates: None,
            replay: None,
            taken_by: None,
            most_rows: 0,
            told: Vec::new(),
            looked: BTreeMap::new(),
            looked_us: None,
        }
    }

    pub(super) fn robot(&mut self, robot: &str) -> &mut Robot {
        self.robots.get_mut(&name(robot)).unwrap()
    }

    pub(super) fn row(&self, robot: &str) -> &RobotProgress {
        &self.rows[&name(robot)]
    }

    /// A robot of a stage.
    pub(super) fn of_stage(&self, stage: usize) -> Vec<TargetName> {
        self.rows.values().filter(|row| row.stage == stage).map(|row| row.target.clone()).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(self.rows.values())
    }

    pub(super) fn phases(&self) -> BTreeMap<RobotPhase, usize> {
        self.counts().by_phase()
    }

    fn rows_of(&self, needs: &[Need]) -> Vec<RobotProgress> {
        let mut rows: BTreeMap<TargetName, RobotProgress> = BTreeMap::new();
        for need in needs {
            let all = self.looked_us.is_none_or(|looked_us| self.now_us >= looked_us + 60 * SECOND);
            let heard = |row: &&RobotProgress| {
                !need.heard || all || self.looked.get(&row.target).is_none_or(|seen| *seen != self.robots[&row.target].seen)
            };
            let taken = self.rows.values().filter(|row| need.takes(row)).filter(heard).take(need.limit.unwrap_or(usize::MAX));
            rows.extend(taken.map(|row| (row.target.clone(), row.clone())));
        }
        rows.into_values().collect()
    }

    /// One step, as a store makes it; whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let counts = self.counts();
        let wants = wants(&self.rollout, &counts, self.now_us);
        let rows = self.rows_of(&wants.rows);
        self.most_rows = self.most_rows.max(rows.len());
        let robots = rows.iter().map(|row| (row.target.clone(), self.robots[&row.target].seen.clone())).collect();
        let seen = Seen {
            now_us: self.now_us,
            up_since_us: self.up_since_us,
            robots: &robots,
            gates: self.gates.as_deref().filter(|_| wants.gates),
            replay: self.replay.as_ref().filter(|_| wants.replay),
            taken_by: self.taken_by,
        };
        let made = step(&self.rollout, &counts, &rows, &seen);
        assert_eq!(made, step(&self.rollout, &counts, &rows, &seen), "the same observation gives the same step");
        made.map(|made| self.apply(made)).is_some()
    }

    /// Steps until nothing changes.
    pub(super) fn tick(&mut self) {
        for _ in 0..1000 {
            if !self.step() {
                if self.looked_us.is_none_or(|looked_us| self.now_us >= looked_us + 60 * SECOND) {
                    self.looked_us = Some(self.now_us);
                }
                self.looked = self.robots.iter().map(|(target, robot)| (target.clone(), robot.seen.clone())).collect();
                return;
            }
        }
        panic!("it never rests: {:?} {:?}", self.rollout, self.history.last());
    }

    pub(super) fn act(&mut self, what: Act) -> Result<(), crate::CoreError> {
        let counts = self.counts();
        let rows = self.rows_of(&needs_of(&self.rollout, what));
        let possible = actions(&self.rollout, &counts).contains(&what);
        let made = act(&self.rollout, &counts, &rows, what, "bob", "because", self.now_us);
        assert_eq!(possible, made.is_ok(), "{what:?} {made:?}");
        made.map(|made| self.apply(made))
    }

    pub(super) fn must(&mut self, what: Act) {
        self.act(what).unwrap();
    }

    fn apply(&mut self, made: Step) {
        assert_eq!(made.rollout.revision, self.rollout.revision + 1);
        let bound = self.hold_to_rules(&made);
        // A control plane may die after any step: what it goes on with is what was written.
        let text = serde_json::to_string(&(&made.rollout, &made.robots, &made.history)).unwrap();
        let read: (Rollout, Vec<RobotProgress>, Vec<HistoryEntry>) = serde_json::from_str(&text).unwrap();
        assert_eq!((&read.0, &read.1, &read.2), (&made.rollout, &made.robots, &made.history));
        let (rollout, robots, history) = read;
        let changed: BTreeSet<&TargetName> = robots.iter().map(|robot| &robot.target).collect();
        assert_eq!(changed.len(), robots.len(), "each robot changes once");
        assert!(made.tell.iter().all(|tell| changed.contains(&tell.target)));
        self.rollout = rollout;
        self.history.extend(history);
        for row in robots {
            self.rows.insert(row.target.clone(), row);
        }
        for Tell { target, what } in made.tell {
            let (row, robot) = (self.rows.get_mut(&target).unwrap(), self.robots.get_mut(&target).unwrap());
            match what {
                Told::Release => {
                    if row.told.is_none() && self.policy {
                        let version = robot.desired.generation;
                        row.before_policy =
                            robot.declared.as_ref().map(|spec| VersionedPolicy { version, document: document(&spec.digest) });
                    } else if row.told.is_none() {
                        row.before = robot.declared.clone();
                        row.served = robot.seen.slot.as_ref().map(|slot| slot.digest.clone()).unwrap_or_default();
                    }
                    robot.declare(self.policy, Some(spec(NEW)));
                }
                Told::Back => robot.declare(self.policy, before(row).map(spec)),
            }
            row.told = Some(robot.desired);
            self.told.push((target, what));
        }
        if let Some(bound) = bound {
            let out = self.out_of_service();
            assert!(out <= bound, "{out} robots were told or failed and do not serve what is declared, of {bound}");
        }
    }

    /// Robots that the rollout told while they were there, and that do not serve what is declared now.
    fn out_of_service(&self) -> usize {
        let not_served = |row: &&RobotProgress| {
            let robot = &self.robots[&row.target];
            let Robot { seen, declared, desired, .. } = robot;
            let serves = robot.runs() == declared.as_ref().map(|spec| spec.digest.as_str());
            // What somebody else declared is not of the rollout's making; one that is to have its turn again has what it had.
            let declared = declared.as_ref().map(|spec| spec.digest.as_str());
            let counts = match row.phase {
                RobotPhase::Deferred | RobotPhase::Skipped => false,
                RobotPhase::Waiting | RobotPhase::Pending => !row.back,
                _ => true,
            };
            let ours = declared == Some(NEW) || declared == before(row);
            row.told.is_some() && ours && counts && (!serves || seen.observed != *desired)
        };
        self.rows.values().filter(not_served).count()
    }

    /// What must be true of every step. Most robots that may be out of service after it, if it takes any out.
    fn hold_to_rules(&self, made: &Step) -> Option<usize> {
        let after: BTreeMap<&TargetName, &RobotProgress> = made.robots.iter().map(|row| (&row.target, row)).collect();
        let strategy = &self.rollout.spec.strategy;
        let mut counts = self.counts();
        made.robots.iter().for_each(|row| counts.moved(self.rows[&row.target].group(), row.group()));
        let count = |phases: &[RobotPhase]| counts.all(phases);
        let on_way = count(&[RobotPhase::Updating, RobotPhase::RollingBack]);
        let failed = count(&[RobotPhase::Failed]).saturating_sub(made.rollout.accepted);
        let most = strategy.max_unavailable.of(self.rows.len()).max(1);
        let told = |what| made.tell.iter().any(|tell| tell.what == what && after[&tell.target].phase != RobotPhase::Deferred);
        let accepted = made.rollout.accepted;
        let mut bound = None;
        if told(Told::Release) {
            assert!(on_way <= most.min(strategy.max_concurrent as usize), "{on_way} on their way");
            // Those that failed before are out of service already.
            let anew =
                |tell: &Tell| self.rows[&tell.target].phase != RobotPhase::Retrying && after[&tell.target].phase == RobotPhase::Updating;
            if made.tell.iter().any(anew) {
                let out = on_way + failed + count(&[RobotPhase::Retrying]);
                assert!(out <= most, "{on_way} on their way and {failed} failed, {out} of {most}");
                bound = Some(most + accepted);
            }
        }
        let served = |tell: &&Tell| matches!(self.rows[&tell.target].phase, RobotPhase::Updated | RobotPhase::Deferred);
        let takes_out = made.tell.iter().filter(|tell| tell.what == Told::Back && after[&tell.target].phase == RobotPhase::RollingBack);
        if takes_out.filter(served).count() > 0 {
            assert!(on_way + failed <= most || on_way <= 1, "{on_way} going back and {failed} failed, of {most}");
            bound = (on_way > 1).then_some(most + accepted);
        }
        assert!(made.robots.iter().all(|row| made.rollout.phase != Phase::Queued || row.phase == RobotPhase::Pending));
        if made.rollout.phase != self.rollout.phase {
            assert!(!made.history.is_empty() || made.rollout.phase == Phase::Judging || made.rollout.phase == Phase::Replaying, "{made:?}");
        }
        // Promoted by the controller only when every gate passed just now.
        let passed = made.history.iter().filter(|entry| entry.happened == Happened::StagePassed && entry.actor == Actor::Controller);
        for entry in passed {
            let stage = self.rollout.stages.iter().find(|stage| Some(&stage.name) == entry.stage.as_ref()).unwrap();
            let pass = |gate: &Gate| entry.evidence.iter().any(|result| result.gate == gate.name && result.verdict == Verdict::Pass);
            assert!(stage.gates.iter().all(pass), "{entry:?}");
            assert!(failed <= strategy.max_failed.of(self.rows.len()));
        }
        let failing = made.history.iter().filter(|entry| entry.happened == Happened::StageFailed);
        for entry in failing {
            let gate = entry.evidence.iter().any(|result| result.verdict == Verdict::Fail);
            assert!(gate || failed > 0, "nothing failed: {entry:?}");
        }
        let early = made.tell.iter().filter(|tell| self.rows[&tell.target].stage > self.rollout.stage);
        assert_eq!(early.count(), 0, "nobody is told before the turn of its stage");
        bound
    }

    /// A robot that is online does what it is told, as is its nature.
    pub(super) fn answer(&mut self, target: &TargetName) {
        let robot = self.robots.get_mut(target).unwrap();
        let Robot { nature, seen, declared, desired, old, ruled_by } = robot;
        if !seen.online || seen.held.is_some() || *nature == Nature::Silent || seen.observed == *desired {
            return;
        }
        let to_new = declared.as_ref().is_some_and(|spec| spec.digest == NEW);
        let has_new = ruled_by.as_deref().or(seen.slot.as_ref().map(|slot| slot.digest.as_str())) == Some(NEW);
        if *nature == Nature::NoReturn && !to_new && has_new {
            return;
        }
        seen.observed = *desired;
        let breaks = to_new && *nature == Nature::Breaks;
        if self.policy {
            // It says whether it took that version up, also of one that asks for nothing; what it refuses leaves what ruled.
            let (status, reason) = if breaks { (SlotStatus::Failed, "it does not load") } else { (SlotStatus::Active, "") };
            seen.slot = Some(says(true, status, &spec(NEW), reason));
            if !breaks {
                *ruled_by = declared.as_ref().map(|spec| spec.digest.clone());
            }
            return;
        }
        seen.slot = match declared {
            Some(_) if breaks => old.as_ref().map(|old| says(false, SlotStatus::Failed, old, "it does not load")),
            Some(spec) => Some(says(false, SlotStatus::Active, spec, "")),
            None => None,
        };
    }

    pub(super) fn all_answer(&mut self) {
        for target in self.robots.keys().cloned().collect::<Vec<_>>() {
            self.answer(&target);
        }
    }

    /// Lets time pass and robots answer, second by second, until it ends or holds for somebody, for `most_s` at most.
    pub(super) fn run(&mut self, most_s: i64) {
        for _ in 0..most_s {
            self.tick();
            if self.rollout.phase.ended() || matches!(self.rollout.phase, Phase::Paused | Phase::AwaitingApproval) {
                return;
            }
            self.now_us += SECOND;
            self.all_answer();
        }
    }

    pub(super) fn happened(&self, what: Happened) -> Vec<&HistoryEntry> {
        self.history.iter().filter(|entry| entry.happened == what).collect()
    }
}

/// What a robot says of its slot, or of the policy that is declared for it.
fn says(policy: bool, status: SlotStatus, spec: &SlotSpec, reason: &str) -> SlotState {
    let said = SlotState { status, reason: reason.into(), ..SlotState::default() };
    if policy {
        return said;
    }
    SlotState { model: "m".into(), version: spec.version.clone(), digest: spec.digest.clone(), ..said }
}

/// A canary, then all.
pub(super) fn stages() -> serde_json::Value {
    serde_json::json!([{ "name": "canary", "count": 1 }, { "name": "all", "rest": true }])
}

/// One gate, `good`.
pub(super) fn gate() -> serde_json::Value {
    serde_json::json!([{ "name": "good", "expression": "updated.accuracy.mean > 0.9" }])
}

/// Robots that serve this digest.
pub(super) fn serving(world: &World, digest: &str) -> usize {
    world.robots.values().filter(|robot| robot.runs() == Some(digest)).count()
}
