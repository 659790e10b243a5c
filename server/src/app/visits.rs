//! Robots without a connection of their own: each is here while it asks, and for a while after.
//!
//! How long depends on the robot. One that waits for its answers asks again at once: ten seconds of silence say that it is gone. One
//! that asks now and then is silent between two questions, and longer when its question or our answer was slow; it is gone when it
//! missed several. What is usual is learnt from each robot, also across absences, and forgotten when the control plane starts anew or
//! the robot is enrolled no more.

use edgeflow_core::RobotId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{
        OwnedMutexGuard,
        broadcast::{self, error::RecvError},
    },
    time::{Instant, sleep_until},
};

use crate::app::{App, Door, DoorMetrics};

/// How long after its last request a robot counts as gone, at least.
const LINGER: Duration = Duration::from_secs(10);
/// So many of its usual silences in a row are no silence but absence.
const MISSED: u32 = 3;
/// A longer silence is an absence and says nothing of what is usual. With [`MISSED`] of them a robot is gone after a minute at most.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);
/// Most requests of one robot at a time: a question for news, a document, and what a broken connection left behind.
const MAX_REQUESTS: usize = 6;

/// Who is here by one door.
pub(crate) struct Visits {
    app: Weak<App>,
    door: Door,
    metrics: DoorMetrics,
    /// How long whoever asks at once is waited for.
    least: Duration,
    robots: Mutex<HashMap<RobotId, Arc<Visitor>>>,
}

#[derive(Default)]
struct Visitor {
    counts: Mutex<Counts>,
    /// Whether the control plane was told that it is here. Held while it is told, so that coming and going stay in order.
    here: Arc<tokio::sync::Mutex<bool>>,
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
    silence: Silence,
    /// It is enrolled no more: what is known of it goes when it does.
    removed: bool,
}

/// What is usual between two requests of a robot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Silence(Duration);

impl Silence {
    /// It was silent so long and is here. A longer silence is believed at once, shorter ones little by little.
    fn was(&mut self, long: Duration) {
        if long <= LONGEST_SILENCE {
            self.0 = long.max(self.0 - self.0 / 8);
        }
    }

    /// How long it may be silent before it is gone.
    fn linger(self, least: Duration) -> Duration {
        least.max(self.0 * MISSED)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Visits {
    pub(crate) fn new(app: &Arc<App>, door: Door, metrics: DoorMetrics) -> Arc<Self> {
        Arc::new(Self { app: Arc::downgrade(app), door, metrics, least: LINGER, robots: Mutex::default() })
    }

    /// Forgets robots that are enrolled no more, for as long as it is polled.
    pub(crate) async fn follow(&self, mut revocations: broadcast::Receiver<RobotId>) {
        loop {
            match revocations.recv().await {
                Ok(robot) => self.remove(&robot),
                // Of those that were missed a little memory is lost, until a restart.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    fn remove(&self, robot: &RobotId) {
        let mut robots = lock(&self.robots);
        let Some(visitor) = robots.get(robot).cloned() else { return };
        let mut counts = lock(&visitor.counts);
        counts.removed = true;
        if counts.requests == 0 && !counts.watched {
            robots.remove(robot);
        }
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
            if counts.requests == 0
                && let Some(ended) = counts.ended
            {
                counts.silence.was(ended.elapsed());
            }
            counts.requests += 1;
            visitor.clone()
        };
        let visit = Visit { visits: self.clone(), robot: robot.clone(), visitor };
        let mut here = visit.visitor.here.clone().lock_owned().await;
        if !*here && let Some(app) = self.app.upgrade() {
            let (robot, door, robots) = (robot.clone(), self.door, self.metrics.robots.clone());
            // To its end, also when the robot hangs up meanwhile: one that came and is not known to be here would never leave.
            let told = tokio::spawn(async move {
                app.robot_connected(&robot, door).await;
                robots.inc();
                *here = true;
            });
            if let Err(error) = told.await {
                tracing::error!(%error, "the coming of a robot could not be told");
            }
        }
        Some(visit)
    }

    /// Waits until the robot has not asked for a while, and tells that it is gone.
    async fn watch(self: Arc<Self>, robot: RobotId, visitor: Arc<Visitor>) {
        loop {
            // Whoever comes while this is held waits for it.
            let mut here = visitor.here.lock().await;
            let until = {
                let mut counts = lock(&visitor.counts);
                if counts.requests > 0 {
                    // Its end is watched anew.
                    counts.watched = false;
                    return;
                }
                counts.ended.map_or_else(Instant::now, |ended| ended + counts.silence.linger(self.least))
            };
            if until <= Instant::now() {
                if std::mem::take(&mut *here) {
                    if let Some(app) = self.app.upgrade() {
                        app.robot_disconnected(&robot, self.door).await;
                    }
                    self.metrics.robots.dec();
                }
                let mut robots = lock(&self.robots);
                let mut counts = lock(&visitor.counts);
                counts.watched = false;
                if counts.removed && counts.requests == 0 {
                    robots.remove(&robot);
                }
                return;
            }
            drop(here);
            sleep_until(until).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppOptions, SystemClock, TargetRequest};
    use edgeflow_core::Principal;
    use futures::FutureExt;

    /// A door through which a robot that does not ask again is gone at once, and one that is enrolled.
    async fn door(folder: &tempfile::TempDir) -> (Arc<App>, Arc<Visits>, RobotId) {
        let app = App::open(AppOptions::new(folder.path()), Arc::new(SystemClock)).await.unwrap();
        let request = TargetRequest { name: "robot-1".parse().unwrap(), labels: Default::default() };
        let robot = App::robot_id(&Principal::administrator().organisation, &request.name);
        app.enrol_target(&Principal::administrator(), request).await.unwrap();
        let (metrics, robots) = (DoorMetrics::default(), Mutex::default());
        let visits = Visits { app: Arc::downgrade(&app), door: Door::Http, metrics, least: Duration::ZERO, robots };
        (app, Arc::new(visits), robot)
    }

    async fn until_unwatched(visitor: &Visitor) {
        while lock(&visitor.counts).watched {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_robot_that_hangs_up_while_it_comes_leaves_too() {
        let folder = tempfile::tempdir().unwrap();
        let (app, visits, robot) = door(&folder).await;
        assert!(visits.enter(&robot).now_or_never().is_none(), "its coming is told meanwhile");
        let visitor = lock(&visits.robots)[&robot].clone();
        until_unwatched(&visitor).await;
        assert!(!app.presence.is_online(&robot) && visits.metrics.robots.get() == 0);
        let visit = visits.enter(&robot).await.unwrap();
        assert!(app.presence.is_online(&robot) && visits.metrics.robots.get() == 1);
        drop(visit);
        until_unwatched(&visitor).await;
        assert!(!app.presence.is_online(&robot));
    }

    #[tokio::test]
    async fn of_a_robot_that_is_enrolled_no_more_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (app, visits, robot) = door(&folder).await;
        let visit = visits.enter(&robot).await.unwrap();
        let visitor = visit.visitor.clone();
        visits.remove(&robot);
        assert!(lock(&visits.robots).contains_key(&robot) && app.presence.is_online(&robot), "it still asks");
        drop(visit);
        until_unwatched(&visitor).await;
        assert!(lock(&visits.robots).is_empty() && !app.presence.is_online(&robot));
        drop(visits.enter(&robot).await);
        let visitor = lock(&visits.robots)[&robot].clone();
        until_unwatched(&visitor).await;
        visits.remove(&robot);
        assert!(lock(&visits.robots).is_empty());
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn one_that_asks_now_and_then_may_miss_some_questions_and_one_that_asks_at_once_none() {
        let mut silence = Silence::default();
        assert_eq!(silence.linger(LINGER), LINGER);
        for (long, linger) in [(7.0, 21.0), (6.5, 19.5), (12.0, 36.0), (7.0, 31.5)] {
            assert!(seconds(long) < silence.linger(LINGER), "gone after {long} s of silence");
            silence.was(seconds(long));
            assert_eq!(silence.linger(LINGER), seconds(linger));
        }
        (0..40).for_each(|_| silence.was(seconds(0.01)));
        assert_eq!(silence.linger(LINGER), LINGER);
    }

    #[test]
    fn an_absence_says_nothing_of_what_is_usual() {
        let mut silence = Silence::default();
        silence.was(seconds(8.0 * 3600.0));
        assert_eq!(silence.linger(LINGER), LINGER);
        silence.was(seconds(20.0));
        silence.was(seconds(20.5));
        assert_eq!(silence.linger(LINGER), seconds(60.0));
    }
}
