//! One open router: what comes in goes to the robots' inboxes, what changes goes out.

use edgeflow_core::RobotId;
use edgeflow_wire::{MAX_DOCUMENT_BYTES, Topics};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;
use zenoh::{Session, query::Query, sample::SampleKind};

use super::inbox::{Asked, Inbox};
use crate::app::{App, DoorMetrics, Outcome};

/// Documents and questions of one robot that wait. A robot has fewer in flight.
const MAX_WAITING: usize = 16;

/// A router that serves robots until it is stopped.
pub(super) struct Serving {
    shared: Arc<Shared>,
}

struct Shared {
    app: Arc<App>,
    session: Session,
    metrics: DoorMetrics,
    robots: Mutex<Robots>,
    inboxes: TaskTracker,
}

#[derive(Default)]
struct Robots {
    inboxes: HashMap<String, Entry>,
    /// Revoked since the router opened: its rules do not know yet.
    revoked: HashSet<String>,
    stopped: bool,
}

struct Entry {
    sender: tokio::sync::mpsc::Sender<Asked>,
    stop: CancellationToken,
}

impl Serving {
    /// Begins to answer.
    pub(super) async fn start(app: Arc<App>, session: Session, metrics: DoorMetrics) -> zenoh::Result<Self> {
        let shared = Arc::new(Shared { app, session: session.clone(), metrics, robots: Mutex::default(), inboxes: TaskTracker::new() });
        let hear = |leaf: &'static str, asked: fn(Query) -> Asked| {
            let shared = shared.clone();
            move |query: Query| {
                let Some(name) = robot_of(query.key_expr().as_str(), leaf).map(str::to_owned) else { return };
                if query.payload().is_some_and(|payload| payload.len() > MAX_DOCUMENT_BYTES) {
                    shared.metrics.count_end(Outcome::PacketTooLarge);
                    return;
                }
                shared.tell(&name, asked(query), true);
            }
        };
        session
            .declare_queryable("edgeflow/targets/*/telemetry")
            .complete(true)
            .callback(hear("telemetry", Asked::Document))
            .background()
            .await?;
        session.declare_queryable("edgeflow/targets/*/deploy").complete(true).callback(hear("deploy", Asked::News)).background().await?;
        let present = shared.clone();
        let presence = session.liveliness().declare_subscriber("edgeflow/targets/*/alive").history(true).callback(move |sample| {
            if let Some(name) = robot_of(sample.key_expr().as_str(), "alive") {
                let here = sample.kind() == SampleKind::Put;
                present.tell(name, if here { Asked::Here } else { Asked::Gone }, here);
            }
        });
        presence.background().await?;
        Ok(Self { shared })
    }

    /// Tells robots what changed, for as long as it is polled.
    pub(super) async fn follow(&self, mut changes: broadcast::Receiver<RobotId>, mut revocations: broadcast::Receiver<RobotId>) {
        let shared = &self.shared;
        loop {
            tokio::select! {
                biased;
                revoked = revocations.recv() => match revoked {
                    Ok(robot) => shared.revoke(robot.as_str()),
                    // Which ones were missed is unknown: the router is about to be opened anew for all.
                    Err(RecvError::Lagged(_)) => shared.names().iter().for_each(|name| shared.revoke(name)),
                    Err(RecvError::Closed) => return,
                },
                changed = changes.recv() => match changed {
                    Ok(robot) => shared.tell(robot.as_str(), Asked::Changed, false),
                    Err(RecvError::Lagged(_)) => shared.names().iter().for_each(|name| shared.tell(name, Asked::Changed, false)),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Ends, and waits for documents that are being ingested.
    pub(super) async fn stop(self) {
        let entries: Vec<Entry> = {
            let mut robots = self.shared.robots();
            robots.stopped = true;
            robots.inboxes.drain().map(|(_, entry)| entry).collect()
        };
        entries.iter().for_each(|entry| entry.stop.cancel());
        self.shared.inboxes.close();
        self.shared.inboxes.wait().await;
    }
}

impl Shared {
    fn robots(&self) -> MutexGuard<'_, Robots> {
        // Nothing in here panics half-way.
        self.robots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<String> {
        self.robots().inboxes.keys().cloned().collect()
    }

    /// Puts something into a robot's inbox; makes one when `open` and there is none.
    fn tell(self: &Arc<Self>, name: &str, asked: Asked, open: bool) {
        let mut robots = self.robots();
        if robots.stopped || robots.revoked.contains(name) {
            return;
        }
        if robots.inboxes.get(name).is_none_or(|entry| entry.sender.is_closed()) {
            if !open {
                return;
            }
            let (inbox, sender) = Inbox::new(self.app.clone(), self.session.clone(), self.metrics.clone(), name, MAX_WAITING);
            let stop = CancellationToken::new();
            self.inboxes.spawn(inbox.run(stop.clone()));
            robots.inboxes.insert(name.to_owned(), Entry { sender, stop });
        }
        if let Some(entry) = robots.inboxes.get(name)
            && entry.sender.try_send(asked).is_err()
        {
            // Whatever it was, the robot asks again.
            self.metrics.count_end(Outcome::TooMany);
            debug!(robot.name = name, "a robot asks more over zenoh than is answered");
        }
    }

    fn revoke(&self, name: &str) {
        let mut robots = self.robots();
        robots.revoked.insert(name.to_owned());
        if let Some(entry) = robots.inboxes.remove(name) {
            self.metrics.count_end(Outcome::Revoked);
            entry.stop.cancel();
        }
    }
}

/// The robot whose key this is. Keys are compared, never matched: a wildcard is nobody's.
fn robot_of<'a>(key: &'a str, leaf: &str) -> Option<&'a str> {
    let name = key.strip_prefix("edgeflow/targets/")?.strip_suffix(leaf)?.strip_suffix('/')?;
    Topics::new(name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_without_wildcards_belongs_to_a_robot() {
        assert_eq!(robot_of("edgeflow/targets/robot-1/telemetry", "telemetry"), Some("robot-1"));
        for key in [
            "edgeflow/targets/*/telemetry",
            "edgeflow/targets/**/telemetry",
            "edgeflow/targets/robot-1/robot-2/telemetry",
            "edgeflow/targets/robot-1/deploy",
            "edgeflow/targets/telemetry",
            "edgeflow/targets//telemetry",
            "edgeflow/targets/robot-$*/telemetry",
            "edgeflow/**",
        ] {
            assert_eq!(robot_of(key, "telemetry"), None, "{key}");
        }
    }
}
