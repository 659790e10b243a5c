//! Which robots have an open session, and which views changed since they were last told. Memory only.

use edgeflow_core::{OrganisationId, RobotId};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

use crate::app::Door;

/// What changed about robots since the last look.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Robots whose view changed.
    pub(crate) targets: BTreeSet<RobotId>,
    /// Robots whose deployments progressed.
    pub(crate) deployments: BTreeSet<RobotId>,
    /// Robots with a new drift report.
    pub(crate) drift: BTreeSet<RobotId>,
    /// Rollouts that changed.
    pub(crate) rollouts: BTreeSet<(OrganisationId, i64)>,
}

/// Robots that rollouts want to hear of, and those of them that were heard of since.
#[derive(Default)]
struct Interest {
    robots: HashSet<RobotId>,
    heard: HashSet<RobotId>,
}

/// Sessions and changes.
#[derive(Default)]
pub(crate) struct Presence {
    /// By which doors each robot is here: one that changes doors may be here by two for a moment.
    online: Mutex<HashMap<RobotId, HashSet<Door>>>,
    changes: Mutex<Changes>,
    /// Robots that changed since [`Presence::take_unread`].
    unread: Mutex<HashSet<RobotId>>,
    changed: Notify,
    interest: Mutex<Interest>,
    wake: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Presence {
    /// Notes that a robot came or left by a door. Returns how many robots are here.
    pub(crate) fn set(&self, robot: &RobotId, door: Door, here: bool) -> usize {
        let mut robots = lock(&self.online);
        if here {
            robots.entry(robot.clone()).or_default().insert(door);
        } else if let Some(doors) = robots.get_mut(robot) {
            doors.remove(&door);
            if doors.is_empty() {
                robots.remove(robot);
            }
        }
        robots.len()
    }

    pub(crate) fn is_online(&self, robot: &RobotId) -> bool {
        lock(&self.online).contains_key(robot)
    }

    /// Notes changes for [`Presence::changes`].
    pub(crate) fn note(&self, note: impl FnOnce(&mut Changes)) {
        let mut new = Changes::default();
        note(&mut new);
        lock(&self.unread).extend(new.targets.iter().cloned());
        let Changes { targets, deployments, drift, rollouts } = new;
        let mut changes = lock(&self.changes);
        changes.targets.extend(targets);
        changes.deployments.extend(deployments);
        changes.drift.extend(drift);
        changes.rollouts.extend(rollouts);
        drop(changes);
        self.changed.notify_one();
    }

    /// Notes that a robot's view changed.
    pub(crate) fn touch(&self, robot: &RobotId) {
        self.heard(robot);
        self.note(|changes| {
            changes.targets.insert(robot.clone());
        });
    }

    /// Waits until something changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the robots that changed since the last time.
    pub(crate) fn take_unread(&self) -> HashSet<RobotId> {
        std::mem::take(&mut lock(&self.unread))
    }

    /// Takes what changed so far.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut lock(&self.changes))
    }

    /// Puts back what was taken and could not be told.
    pub(crate) fn put_back(&self, changes: Changes) {
        self.note(|new| *new = changes);
    }

    /// Notes what rollouts look at: a robot's word on what it runs, its coming and going, what is declared for it.
    pub(crate) fn heard(&self, robot: &RobotId) {
        let mut interest = lock(&self.interest);
        if interest.robots.contains(robot) && interest.heard.insert(robot.clone()) {
            self.wake.notify_one();
        }
    }

    /// Whoever says so before it reads of a robot misses nothing that comes after.
    pub(crate) fn interested(&self, robots: impl Iterator<Item = RobotId>) {
        lock(&self.interest).robots.extend(robots);
    }

    /// Only these from now on.
    pub(crate) fn set_interest(&self, robots: HashSet<RobotId>) {
        lock(&self.interest).robots = robots;
    }

    /// Takes the robots that were heard of so far.
    pub(crate) fn take_heard(&self) -> HashSet<RobotId> {
        std::mem::take(&mut lock(&self.interest).heard)
    }

    /// Lets rollouts be looked at now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until rollouts have something to look at.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
