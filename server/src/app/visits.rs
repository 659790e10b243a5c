//! Robots without a connection of their own: each is here while it asks, and for a while after.

use edgeflow_core::RobotId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep_until},
};

use crate::app::{App, Door, DoorMetrics};

/// How long after its last request a robot counts as gone.
const LINGER: Duration = Duration::from_secs(10);
/// Most requests of one robot at a time: a question for news, a document, and what a broken connection left behind.
const MAX_REQUESTS: usize = 6;

/// Who is here by one door.
pub(crate) struct Visits {
    app: Weak<App>,
    door: Door,
    metrics: DoorMetrics,
    robots: Mutex<HashMap<RobotId, Arc<Visitor>>>,
}

#[derive(Default)]
struct Visitor {
    counts: Mutex<Counts>,
    /// Whether the control plane was told that it is here. Held while it is told, so that coming and going stay in order.
    here: tokio::sync::Mutex<bool>,
    /// Held by the request whose document is being ingested.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Counts {
    requests: usize,
    /// Somebody waits for it to leave.
    watched: bool,
    /// When the last request ended.
    ended: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Visits {
    pub(crate) fn new(app: &Arc<App>, door: Door, metrics: DoorMetrics) -> Arc<Self> {
        Arc::new(Self { app: Arc::downgrade(app), door, metrics, robots: Mutex::default() })
    }

    /// A request of the robot begins; `None` when it has too many.
    pub(crate) async fn enter(self: &Arc<Self>, robot: &RobotId) -> Option<Visit> {
        let visitor = {
            let mut robots = lock(&self.robots);
            let visitor = robots.entry(robot.clone()).or_default();
            let mut counts = lock(&visitor.counts);
            if counts.requests >= MAX_REQUESTS {
                return None;
            }
            counts.requests += 1;
            visitor.clone()
        };
        let visit = Visit { visits: self.clone(), robot: robot.clone(), visitor };
        let mut here = visit.visitor.here.lock().await;
        if !*here && let Some(app) = self.app.upgrade() {
            app.robot_connected(robot, self.door).await;
            self.metrics.robots.inc();
            *here = true;
        }
        drop(here);
        Some(visit)
    }

    /// Waits until the robot has not asked for a while, and tells that it is gone.
    async fn watch(self: Arc<Self>, robot: RobotId, visitor: Arc<Visitor>) {
        loop {
            let until = {
                let mut counts = lock(&visitor.counts);
                if counts.requests > 0 {
                    counts.watched = false;
                    return;
                }
                counts.ended.map_or_else(Instant::now, |ended| ended + LINGER)
            };
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
        let mut here = visitor.here.lock().await;
        let idle = || lock(&visitor.counts).requests == 0;
        if idle()
            && *here
            && let Some(app) = self.app.upgrade()
        {
            app.robot_disconnected(&robot, self.door).await;
            self.metrics.robots.dec();
            *here = false;
        }
        // Whoever came meanwhile counts in this very visitor and waits for `here`.
        let mut robots = lock(&self.robots);
        lock(&visitor.counts).watched = false;
        if idle() {
            robots.remove(&robot);
        }
    }
}

/// A request of a robot, as long as this lives.
pub(crate) struct Visit {
    visits: Arc<Visits>,
    robot: RobotId,
    visitor: Arc<Visitor>,
}

impl Visit {
    /// Waits until the document before this one is ingested, so that those of a robot never overlap.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.visitor.turn.clone().lock_owned().await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = lock(&self.visitor.counts);
        counts.requests -= 1;
        counts.ended = Some(Instant::now());
        if counts.requests == 0 && !std::mem::replace(&mut counts.watched, true) {
            // Outside of a runtime the program has ended, and nobody asks who is here.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(self.visits.clone().watch(self.robot.clone(), self.visitor.clone()));
            }
        }
    }
}
