//! Which robots have an open session, and which views changed since they were last told. Memory only.

use edgeflow_core::RobotId;
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// What changed about robots since the last look.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Robots whose view changed.
    pub(crate) targets: BTreeSet<RobotId>,
    /// Robots whose deployments progressed.
    pub(crate) deployments: BTreeSet<RobotId>,
    /// Robots with a new drift report.
    pub(crate) drift: BTreeSet<RobotId>,
}

/// Sessions and changes.
#[derive(Default)]
pub(crate) struct Presence {
    online: Mutex<HashSet<RobotId>>,
    changes: Mutex<Changes>,
    changed: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Presence {
    pub(crate) fn set(&self, robot: &RobotId, online: bool) -> usize {
        let mut robots = lock(&self.online);
        if online {
            robots.insert(robot.clone());
        } else {
            robots.remove(robot);
        }
        robots.len()
    }

    pub(crate) fn is_online(&self, robot: &RobotId) -> bool {
        lock(&self.online).contains(robot)
    }

    /// Notes changes for [`Presence::changes`].
    pub(crate) fn note(&self, note: impl FnOnce(&mut Changes)) {
        note(&mut lock(&self.changes));
        self.changed.notify_one();
    }

    /// Notes that a robot's view changed.
    pub(crate) fn touch(&self, robot: &RobotId) {
        self.note(|changes| {
            changes.targets.insert(robot.clone());
        });
    }

    /// Waits until something changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes what changed so far.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut lock(&self.changes))
    }
}
