//! Escalation: more of some topics for a while, on the control plane's word or on what the policy names as a reason. It ends
//! by itself at its deadline, by the time since boot, with or without a link, and does not outlive a restart of the machine.

use edgeflow_wire::{Class, EntryBody, Escalation, EscalationBody, Reason, Route, name_matches};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{Recorder, desired::write_durably, policy::ESCALATION};

/// Deadlines are looked at this often: time asleep counts too, and no timer tells of it.
const LOOK: Duration = Duration::from_millis(500);
/// Escalations at the same time.
const MAX_ACTIVE: usize = 8;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What begins one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// Its name: the command's, or the policy's.
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) for_s: f64,
    pub(crate) routes: Vec<Route>,
}

/// Something that happened on the robot and may be a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A drift window was flagged.
    Drift,
    /// This has a fault.
    Fault(String),
    /// This trigger fired.
    Trigger(String),
}

impl Alarm {
    /// In words, if it is what a policy means by this reason.
    pub(crate) fn is(&self, reason: &Reason) -> Option<String> {
        match (reason, self) {
            (Reason::Drift {}, Alarm::Drift) => Some("drift was flagged".to_owned()),
            (Reason::Fault { source }, Alarm::Fault(of)) if is_source(source, of) => Some(format!("a fault of {of}")),
            (Reason::Trigger { name }, Alarm::Trigger(of)) if name == of => Some(format!("trigger {of}")),
            _ => None,
        }
    }
}

/// Whether a pattern means this source of faults: `*` is anything, the slashes of topics included (`route odom on /robot_1/odom`).
fn is_source(pattern: &str, source: &str) -> bool {
    let flat = |text: &str| format!("/{}", text.replace('/', "|"));
    name_matches(&flat(pattern), "/", &flat(source))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Active {
    reason: String,
    until_boot_us: i64,
    routes: Vec<Route>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    boot_id: String,
    active: BTreeMap<String, Active>,
}

/// Keeps escalations and ends them.
pub(crate) struct Escalator {
    recorder: Recorder,
    path: PathBuf,
    kept: Kept,
    /// When each of the policy's may begin again.
    rests: BTreeMap<String, i64>,
    routes: watch::Sender<Vec<Arc<Route>>>,
}

impl Escalator {
    /// As `data_dir` has it, unless the machine was started anew since. `routes` gets what is to be reported beyond the policy.
    pub(crate) fn open(data_dir: &Path, recorder: Recorder, routes: watch::Sender<Vec<Arc<Route>>>) -> Self {
        let path = data_dir.join("escalations.json");
        let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let kept: Kept = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let active = if kept.boot_id == boot_id && !boot_id.is_empty() { kept.active } else { BTreeMap::new() };
        let escalator = Self { recorder, path, kept: Kept { boot_id, active }, rests: BTreeMap::new(), routes };
        escalator.publish();
        escalator
    }

    /// Runs for ever.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut alarms: broadcast::Receiver<Alarm>,
        policy: watch::Receiver<Vec<Escalation>>,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.begin(request).await,
                    None => return,
                },
                alarm = alarms.recv() => match alarm {
                    Ok(alarm) => {
                        let wanted = self.wanted(&alarm, &policy.borrow());
                        for request in wanted {
                            self.begin(request).await;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = looks.tick() => self.end_due().await,
            }
        }
    }

    fn now_us(&self) -> i64 {
        self.recorder.clock().now().boot_us
    }

    /// What the policy wants begun for an alarm, and has not rested from.
    fn wanted(&mut self, alarm: &Alarm, policy: &[Escalation]) -> Vec<Request> {
        let now_us = self.now_us();
        let mut wanted = Vec::new();
        for escalation in policy {
            let Some(reason) = alarm.is(&escalation.when) else { continue };
            if self.rests.get(&escalation.name).is_some_and(|until_us| now_us < *until_us) {
                continue;
            }
            let rest_us = ((escalation.for_s + escalation.rest_s) * 1e6) as i64;
            self.rests.insert(escalation.name.clone(), now_us.saturating_add(rest_us));
            wanted.push(Request { name: escalation.name.clone(), reason, for_s: escalation.for_s, routes: escalation.routes.clone() });
        }
        wanted
    }

    async fn begin(&mut self, request: Request) {
        let Request { name, reason, for_s, routes } = request;
        if self.kept.active.len() >= MAX_ACTIVE && !self.kept.active.contains_key(&name) {
            self.recorder.fault("escalation", format!("{name} does not begin: {MAX_ACTIVE} escalations are active already")).await;
            return;
        }
        let until_boot_us = self.now_us().saturating_add((for_s * 1e6) as i64);
        self.kept.active.insert(name.clone(), Active { reason: reason.clone(), until_boot_us, routes });
        self.changed().await;
        self.tell(name, true, reason, for_s).await;
    }

    async fn end_due(&mut self) {
        let now_us = self.now_us();
        let due: Vec<String> =
            self.kept.active.iter().filter(|(_, active)| active.until_boot_us <= now_us).map(|(name, _)| name.clone()).collect();
        for name in due {
            if self.kept.active.remove(&name).is_some() {
                self.changed().await;
                self.tell(name, false, "its time is over".to_owned(), 0.0).await;
            }
        }
    }

    async fn tell(&self, name: String, active: bool, reason: String, for_s: f64) {
        tracing::info!(name, active, reason, "escalation");
        self.recorder.record_now(Class::Event, EntryBody::Escalation(EscalationBody { name, active, reason, for_s })).await;
    }

    /// What is active now, to the disk and to those who report.
    async fn changed(&self) {
        self.publish();
        let (path, json) = (self.path.clone(), serde_json::to_vec(&self.kept));
        let stored = match json {
            Ok(json) => tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok()),
            Err(_) => false,
        };
        if !stored {
            tracing::warn!("could not note an escalation: a restart of the bridge ends it");
        }
    }

    fn publish(&self) {
        let routes = self.kept.active.iter().flat_map(|(name, active)| {
            active.routes.iter().map(move |route| {
                // Names of routes are of a policy and checked; this one is ours and need not be.
                Arc::new(Route { name: format!("{ESCALATION}{name}/{}", route.name), class: Some(Class::Detail), ..route.clone() })
            })
        });
        self.routes.send_replace(routes.collect());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::{Clock, LogHandle, LogThread};
    use edgeflow_uplink::{Backlog, Limits};
    use edgeflow_wire::{Content, TelemetryPolicy};
    use serde_json::json;

    struct World {
        dir: tempfile::TempDir,
        log: LogHandle,
        recorder: Recorder,
        _thread: LogThread,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Clock::new().unwrap();
            let (log, thread) = LogHandle::open(dir.path(), edgeflow_edge_log::Options::default(), clock).unwrap();
            Self { recorder: Recorder::new(log.clone(), clock), dir, log, _thread: thread }
        }

        fn escalator(&self) -> (Escalator, watch::Receiver<Vec<Arc<Route>>>) {
            let routes = watch::Sender::new(Vec::new());
            let seen = routes.subscribe();
            (Escalator::open(self.dir.path(), self.recorder.clone(), routes), seen)
        }

        async fn told(&mut self) -> Vec<(String, bool, String)> {
            self.log.written().await.unwrap();
            let batch = self.log.read(Class::Event, 1, Limits::default()).await.unwrap();
            let told = batch.entries.into_iter().map(|entry| match entry.content {
                Content::Known(EntryBody::Escalation(body)) => (body.name, body.active, body.reason),
                other => panic!("{other:?}"),
            });
            told.collect()
        }
    }

    fn escalation(for_s: f64, rest_s: f64) -> Escalation {
        let route = json!({"name": "odom", "allow": ["odom"], "fields": ["x"], "samples": {"max_hz": 10}});
        let escalation =
            json!({"name": "closer", "when": {"kind": "fault", "source": "route *"}, "for_s": for_s, "rest_s": rest_s, "routes": [route]});
        TelemetryPolicy::parse(&json!({ "escalations": [escalation] })).unwrap().escalations.remove(0)
    }

    fn request(name: &str, for_s: f64) -> Request {
        Request { name: name.into(), reason: "by command".into(), for_s, routes: escalation(1.0, 0.0).routes }
    }

    #[test]
    fn reasons_are_found_by_what_happened() {
        let fault = |pattern: &str, source: &str| Alarm::Fault(source.into()).is(&Reason::Fault { source: pattern.into() });
        assert_eq!(fault("route *", "route odom on /robot_1/odom").as_deref(), Some("a fault of route odom on /robot_1/odom"));
        assert!(fault("* on /robot_1/*", "route odom on /robot_1/odom").is_some());
        assert_eq!((fault("route *", "edge_log"), fault("edge", "edge_log"), fault("edge_log", "edge_log").is_some()), (None, None, true));
        let named = |name: &str| Alarm::Trigger("weak".into()).is(&Reason::Trigger { name: name.into() });
        assert_eq!((named("weak").as_deref(), named("strong")), (Some("trigger weak"), None));
        assert_eq!((Alarm::Drift.is(&Reason::Drift {}).is_some(), Alarm::Drift.is(&Reason::Trigger { name: "weak".into() })), (true, None));
    }

    #[tokio::test]
    async fn it_begins_on_a_reason_and_ends_by_itself_without_a_link() {
        let mut world = World::new();
        let (escalator, mut routes) = world.escalator();
        let (_requests, incoming) = mpsc::channel(1);
        let policy = watch::Sender::new(vec![escalation(0.3, 600.0)]);
        let task = tokio::spawn(escalator.run(incoming, world.recorder.alarms(), policy.subscribe()));
        world.recorder.fault("edge_log", "another fault".into()).await;
        world.recorder.fault("route odom", "stuck".into()).await;
        world.recorder.fault("route odom", "stuck again, too soon".into()).await;
        let begun = routes.wait_for(|routes| !routes.is_empty()).await.unwrap()[0].clone();
        assert_eq!((begun.name.as_str(), begun.class()), ("escalation/closer/odom", Class::Detail));
        routes.wait_for(Vec::is_empty).await.unwrap();
        // Told after the routes are taken back.
        world.log.ends().wait_for(|ends| ends[Class::Event as usize] == 3).await.unwrap();
        let told = world.told().await;
        assert_eq!(told[0], ("closer".into(), true, "a fault of route odom".into()));
        assert_eq!(told[1], ("closer".into(), false, "its time is over".into()));
        task.abort();
    }

    #[tokio::test]
    async fn a_restart_of_the_bridge_ends_nothing_and_one_of_the_machine_everything() {
        let world = World::new();
        let (mut escalator, _) = world.escalator();
        for n in 0..MAX_ACTIVE + 1 {
            escalator.begin(request(&n.to_string(), 600.0)).await;
        }
        assert_eq!(escalator.kept.active.len(), MAX_ACTIVE, "bounded");
        let (_, routes) = world.escalator();
        assert_eq!(routes.borrow().len(), MAX_ACTIVE);
        let path = world.dir.path().join("escalations.json");
        let kept: Kept = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_vec(&Kept { boot_id: "another boot".into(), ..kept }).unwrap()).unwrap();
        let (_, routes) = world.escalator();
        assert!(routes.borrow().is_empty(), "its deadline was told by a clock that began anew");
    }
}
