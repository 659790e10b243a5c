//! Rollouts go on: each round looks at what is seen and makes the steps that follow from it.
//!
//! What is at hand of a rollout (it, its robots, what was seen of them) is memory only: it is read again when somebody else changed the
//! rollout, and after a start. A round reads of the stores only robots that are on their way and were heard of since the last one.

use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    event::{self, RolloutHappened},
    rollout::{Counts, HistoryEntry, Phase, RobotPhase, RobotProgress, RobotSeen, Rollout, Seen, Step, Told, Wants, step, wants},
};
use edgeflow_store::{Applied, OpenRollout, RobotFilter};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Instant,
};

use crate::app::{App, AppError, rollout_evidence::EVIDENCE_ROBOTS};

/// Most steps of one rollout in a round: the others have their turn, too.
const MOST_STEPS: usize = 32;
/// Robots whose turn it is are looked at, and told, so many at a time: nobody waits long for a round, and the next one follows at once.
const LOT: usize = 100;
/// Robots that were not heard of are looked at this often all the same, microseconds: another server may have heard of them.
const LOOK_AGAIN_US: i64 = 60_000_000;
/// The rollouts that are followed, by number.
pub(crate) type Following = BTreeMap<i64, Followed>;

/// One of them.
pub(crate) struct Followed {
    pub(crate) organisation: OrganisationId,
    pub(crate) rollout: Rollout,
    /// By name.
    pub(crate) robots: Vec<RobotProgress>,
    seen: BTreeMap<TargetName, RobotSeen>,
    /// Robots it wants to hear of.
    interest: BTreeSet<TargetName>,
    /// When all of its robots were looked at.
    looked_us: Option<i64>,
}

impl Followed {
    /// Puts in what a step changed.
    fn take(&mut self, rollout: Rollout, robots: Vec<RobotProgress>, told: &[TargetName]) {
        self.rollout = rollout;
        for robot in robots {
            if let Ok(at) = self.robots.binary_search_by(|known| known.target.cmp(&robot.target))
                && let Some(known) = self.robots.get_mut(at)
            {
                *known = robot;
            }
        }
        for name in told {
            self.seen.remove(name);
        }
    }

    /// Rows a step has to be given. Of those that need not be looked at unless they were heard of, only those that were.
    fn rows(&mut self, wants: &Wants, heard: Option<&HashSet<RobotId>>) -> Vec<RobotProgress> {
        let mut rows: BTreeMap<&TargetName, &RobotProgress> = BTreeMap::new();
        for need in &wants.rows {
            let taken = self.robots.iter().filter(|robot| need.takes(robot)).take(need.limit.map_or(usize::MAX, |limit| limit.min(LOT)));
            for robot in taken {
                self.interest.insert(robot.target.clone());
                let id = |name: &TargetName| RobotId { organisation: self.organisation.clone(), name: name.clone() };
                if !need.heard || heard.is_none_or(|heard| heard.contains(&id(&robot.target))) {
                    rows.insert(&robot.target, robot);
                }
            }
        }
        rows.into_values().cloned().collect()
    }
}

impl App {
    /// One round. Whether time alone may bring the next step.
    pub async fn step_rollouts(self: &Arc<Self>) -> Result<bool, AppError> {
        self.step_rollouts_by(MOST_STEPS).await
    }

    /// The same with at most so many steps of each rollout.
    pub async fn step_rollouts_by(self: &Arc<Self>, most_steps: usize) -> Result<bool, AppError> {
        let mut following = self.following.lock().await;
        let began = Instant::now();
        let round = self.follow_all(&mut following, most_steps).await;
        self.metrics.rollout_tick(began.elapsed());
        round
    }

    async fn follow_all(self: &Arc<Self>, following: &mut Following, most_steps: usize) -> Result<bool, AppError> {
        let open = self.stores.rollouts.open_rollouts().await?;
        following.retain(|id, _| open.iter().any(|one| one.id == *id));
        let heard = self.presence.take_heard();
        let mut failed = None;
        for one in &open {
            if let Err(error) = self.follow(following, one, &heard, most_steps).await {
                tracing::error!(%error, rollout.id = one.id, "a rollout was not stepped; it is tried again");
                // What was heard of its robots is used up: all of them are looked at next time.
                following.remove(&one.id);
                failed.get_or_insert(error);
            }
        }
        let ids = |followed: &Followed| -> Vec<RobotId> {
            followed.interest.iter().map(|name| RobotId { organisation: followed.organisation.clone(), name: name.clone() }).collect()
        };
        self.presence.set_interest(following.values().flat_map(ids).collect());
        self.metrics.rollouts(&self.stores.rollouts.rollout_phases().await?);
        failed.map_or(Ok(open.iter().any(|one| !one.late)), Err)
    }

    /// What is at hand of a rollout, read again when somebody else changed it.
    pub(crate) async fn followed<'f>(
        &self,
        following: &'f mut Following,
        organisation: &OrganisationId,
        id: i64,
        revision: Option<u64>,
    ) -> Result<Option<&'f mut Followed>, AppError> {
        let known = following.get(&id).is_some_and(|known| revision.is_none_or(|revision| revision == known.rollout.revision));
        if !known {
            following.remove(&id);
            let Some(rollout) = self.stores.rollouts.rollout(organisation, id).await? else { return Ok(None) };
            let robots = self.stores.rollouts.rollout_robots(id, &RobotFilter::default()).await?;
            let followed = Followed {
                organisation: organisation.clone(),
                rollout,
                robots,
                seen: BTreeMap::new(),
                interest: BTreeSet::new(),
                looked_us: None,
            };
            following.insert(id, followed);
        }
        Ok(following.get_mut(&id))
    }

    async fn follow(
        self: &Arc<Self>,
        following: &mut Following,
        one: &OpenRollout,
        heard: &HashSet<RobotId>,
        most_steps: usize,
    ) -> Result<(), AppError> {
        let Some(followed) = self.followed(following, &one.organisation, one.id, Some(one.revision)).await? else { return Ok(()) };
        if one.late {
            // Only these may change any more, and there may be many such rollouts.
            use RobotPhase::{Deferred, Retrying, RollingBack, Updating, Waiting};
            followed.robots.retain(|robot| matches!(robot.phase, Deferred | Updating | RollingBack | Waiting | Retrying));
            followed.robots.shrink_to_fit();
        }
        let now_us = self.now_us();
        let all = followed.looked_us.is_none_or(|at_us| now_us >= at_us.saturating_add(LOOK_AGAIN_US));
        followed.interest.clear();
        // Until nothing more follows, all of its robots are to be looked at again.
        let looked_us = if all { Some(now_us) } else { followed.looked_us.take() };
        let mut told = 0;
        for turn in 0..most_steps {
            let counts = Counts::of(&followed.robots);
            let wants = wants(&followed.rollout, &counts, now_us);
            let rows = followed.rows(&wants, if all { None } else { Some(heard) });
            self.presence
                .interested(followed.interest.iter().map(|name| RobotId { organisation: one.organisation.clone(), name: name.clone() }));
            // Those heard of are read once: whoever says something meanwhile is heard of in the next round.
            let again = if turn == 0 { heard } else { &HashSet::new() };
            self.see(followed, &rows, again, turn == 0 && all).await?;
            let taken_by = match followed.rollout.phase {
                Phase::Queued => self.stores.rollouts.rollout_taken_by(&one.organisation, one.id).await?,
                _ => None,
            };
            let gates = if wants.gates { self.gates_said(&one.organisation, &followed.rollout, &followed.robots) } else { None };
            let replay = if wants.replay {
                let targets: Vec<TargetName> = followed.robots.iter().take(EVIDENCE_ROBOTS).map(|robot| robot.target.clone()).collect();
                self.rollout_replay(&one.organisation, &followed.rollout, &targets)
            } else {
                None
            };
            let up_since_us = self.started_at_us;
            let seen = Seen { now_us, up_since_us, robots: &followed.seen, gates: gates.as_deref(), replay: replay.as_ref(), taken_by };
            let Some(mut step) = step(&followed.rollout, &counts, &rows, &seen) else {
                followed.looked_us = looked_us;
                break;
            };
            note_served(&mut step, &followed.seen);
            told += step.tell.len();
            if !self.apply(followed, step).await? {
                // Somebody else was faster: the next round begins with what they left.
                following.remove(&one.id);
                return Ok(());
            }
            if told >= LOT {
                // Whoever was heard of was looked at in the first of these steps.
                followed.looked_us = looked_us;
                self.presence.wake();
                break;
            }
        }
        Ok(())
    }

    /// Reads what is not at hand of these robots, or has changed.
    async fn see(&self, followed: &mut Followed, rows: &[RobotProgress], heard: &HashSet<RobotId>, again: bool) -> Result<(), AppError> {
        let Followed { organisation, rollout, seen, .. } = followed;
        let is_heard = |name: &TargetName| heard.contains(&RobotId { organisation: organisation.clone(), name: name.clone() });
        if again {
            seen.clear();
        } else {
            seen.retain(|name, _| rows.binary_search_by(|row| row.target.cmp(name)).is_ok());
        }
        let unknown = rows.iter().map(|row| &row.target).filter(|name| !seen.contains_key(*name) || is_heard(name)).cloned();
        let unknown: Vec<TargetName> = unknown.collect();
        let news = self.see_robots(organisation, rollout, &unknown).await?;
        for name in &unknown {
            seen.remove(name);
        }
        seen.extend(news);
        Ok(())
    }

    /// Makes a step and tells whoever has to know. `false` when somebody else changed the rollout meanwhile.
    pub(crate) async fn apply(&self, followed: &mut Followed, step: Step) -> Result<bool, AppError> {
        let _telling = self.telling.read().await;
        let (organisation, revision) = (followed.organisation.clone(), followed.rollout.revision);
        match self.stores.rollouts.apply_step(&organisation, &step, revision, self.now_us()).await? {
            Applied::Done { rollout, robots, told, lines } => {
                for name in &told {
                    let robot = App::robot_id(&organisation, name);
                    // An error means that no door is open for robots; they will read it when one is.
                    drop(self.desired.send(robot.clone()));
                    self.presence.touch(&robot);
                }
                self.tell_of_rollout(&organisation, &rollout, &step.history, &lines);
                followed.take(*rollout, robots, &told);
                Ok(true)
            }
            Applied::Stale => Ok(false),
            Applied::Taken(by) => {
                Err(AppError::Conflict(format!("rollout {by} holds some of its robots in its slot: wait until that has ended")))
            }
        }
    }

    /// Tells watchers that something happened to a rollout. `lines` are the numbers of its history.
    pub(crate) fn tell_of_rollout(&self, organisation: &OrganisationId, rollout: &Rollout, history: &[HistoryEntry], lines: &[i64]) {
        self.presence.note(|changes| {
            changes.rollouts.insert((organisation.clone(), rollout.id));
        });
        for (id, entry) in lines.iter().zip(history) {
            let happened = RolloutHappened { id: *id, rollout: rollout.id, what: what(rollout), entry: entry.clone() };
            tracing::info!(rollout.id, rollout.happened = ?entry.happened, rollout.stage = entry.stage, robot.name = entry.robot, cause = entry.cause, "rollout");
            if let Some(line) = event::of_rollout(&happened) {
                self.hub.send(organisation, "event", &line);
            }
        }
    }
}

/// What robots served when they were told the release, for the record.
fn note_served(step: &mut Step, seen: &BTreeMap<TargetName, RobotSeen>) {
    let told: HashSet<&TargetName> = step.tell.iter().filter(|tell| tell.what == Told::Release).map(|tell| &tell.target).collect();
    for robot in step.robots.iter_mut().filter(|robot| robot.told.is_none() && told.contains(&robot.target)) {
        robot.served = seen.get(&robot.target).and_then(|seen| seen.slot.as_ref()).map(|slot| slot.digest.clone()).unwrap_or_default();
    }
}

/// What a rollout brings, for people; nothing of a policy.
pub(crate) fn what(rollout: &Rollout) -> String {
    let release = &rollout.spec.release;
    [release.name.as_deref(), release.version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
