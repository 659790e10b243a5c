//! What the robot reports of its topics: the policy that rules, a runner for each route on each topic it matches, and a word
//! to the control plane on each policy that comes.
//!
//! A policy is applied while everything runs. Routes that it leaves as they are go on without a gap; one that cannot run on a
//! topic (an unknown type, a field there is not) is told as a fault and shown, and the others run.

mod board;
mod compile;
mod keep;
mod run;
mod source;
#[cfg(test)]
mod tests;

use edgeflow_policy::{Budget, Tap};
use edgeflow_ros::Node;
use edgeflow_wire::{
    Class, DesiredState, EntryBody, Escalation, PolicyError, PolicyOutcome, PolicyStatusBody, Route, TelemetryPolicy, VersionedPolicy,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

pub(crate) use board::{Board, RouteView, TriggerCounters, TriggerView};
use board::{Counters, Line};
pub(crate) use compile::{reading, step};
use keep::{Keep, Kept};
use run::Runner;
pub(crate) use source::{RosTopic, Source};

use crate::{
    Recorder,
    capture::{CaptureLimits, Ruling},
    trigger::{self, Plan},
    types::Types,
};

/// The graph is looked at this often, whatever it says.
const LOOK: Duration = Duration::from_secs(1);
/// Changes of the graph come in bursts: between two looks at least.
const REST: Duration = Duration::from_millis(200);
/// Most entries a second of all escalations together: they are bounded whatever the policy says.
const ESCALATED_PER_S: f64 = 100.0;
/// What the names of routes begin with that an escalation brings; a policy's own cannot.
pub(crate) const ESCALATION: &str = "escalation/";
/// Routes on topics that run at the same time.
const MAX_RUNNING: usize = 500;

/// Returns when the bridge, or a route, is to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody is left who could say so: that is the end too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// What may pass at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Valve {
    /// Nothing, by command.
    pub(crate) paused: bool,
    /// Nothing of this class or a less valuable one, since the host is short of something.
    pub(crate) shed: Option<Class>,
}

/// What all runners share.
pub(crate) struct Common {
    pub(crate) recorder: Recorder,
    pub(crate) version: AtomicU64,
    pub(crate) started: Instant,
    pub(crate) valve: watch::Receiver<Valve>,
    pub(crate) budget: Mutex<Option<Budget>>,
    /// Of all escalations together.
    escalations: Mutex<Budget>,
}

impl Common {
    pub(crate) fn new(recorder: Recorder, valve: watch::Receiver<Valve>) -> Self {
        Self {
            recorder,
            version: AtomicU64::new(0),
            started: Instant::now(),
            valve,
            budget: Mutex::new(None),
            escalations: Mutex::new(Budget::new(ESCALATED_PER_S, 0)),
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether an entry of this route may be made now; if so, it counts.
    pub(crate) fn admits(&self, route: &Route) -> bool {
        let (class, priority) = (route.class(), route.priority);
        let valve = *self.valve.borrow();
        if valve.paused || valve.shed.is_some_and(|shed| class >= shed) {
            return false;
        }
        if route.name.starts_with(ESCALATION) {
            let mut escalations = self.escalations.lock().unwrap_or_else(PoisonError::into_inner);
            return escalations.take(self.now_us(), priority);
        }
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.as_mut().is_none_or(|budget| budget.take(self.now_us(), priority))
    }
}

/// A topic as its publishers have it: pairs of type and hash.
type Published = BTreeSet<(String, Option<String>)>;

struct Running {
    route: Arc<Route>,
    published: Published,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Takes up policies and keeps their routes running.
pub(crate) struct Ruler {
    node: Node,
    common: Arc<Common>,
    board: Arc<Board>,
    keep: Keep,
    /// Of the policy, and then those of escalations.
    routes: Vec<Arc<Route>>,
    ruled: Vec<Arc<Route>>,
    escalated: watch::Receiver<Vec<Arc<Route>>>,
    /// What the policy names as reasons to report more.
    reasons: watch::Sender<Vec<Escalation>>,
    running: BTreeMap<(String, String), Running>,
    triggers: trigger::Keeper,
    /// What this robot allows to be captured, and what the policy wants.
    limits: CaptureLimits,
    captures: watch::Sender<Ruling>,
    types: Types,
    /// What was told of a route on a topic.
    problems: BTreeMap<(String, String), String>,
}

impl Ruler {
    pub(crate) fn new(
        node: &Node,
        data_dir: &Path,
        common: Arc<Common>,
        board: Arc<Board>,
        escalated: watch::Receiver<Vec<Arc<Route>>>,
        reasons: watch::Sender<Vec<Escalation>>,
        (limits, captures): (CaptureLimits, watch::Sender<Ruling>),
    ) -> Self {
        let keep = Keep::open(data_dir);
        let (routes, ruled, running, problems) = (Vec::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (triggers, types) = (trigger::Keeper::default(), Types::new(node));
        let node = node.clone();
        Self { node, common, board, keep, routes, ruled, escalated, reasons, running, triggers, limits, captures, types, problems }
    }

    /// Runs until told to stop; what was gathered is recorded then.
    pub(crate) async fn run(mut self, mut desired: watch::Receiver<Option<DesiredState>>, mut stop: watch::Receiver<bool>) {
        if let Some(ruling) = self.keep.kept.ruling.clone()
            && let Ok((policy, plans)) = self.plan(&ruling.document)
        {
            self.rule(ruling.version, policy, plans);
        }
        let declared = desired.borrow_and_update().clone();
        if declared.is_some() {
            self.take_up(declared.and_then(|state| state.policy)).await;
        }
        let mut escalated = self.escalated.clone();
        self.merge();
        loop {
            let seen = self.published();
            self.reconcile(&seen).await;
            tokio::select! {
                changed = desired.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let policy = desired.borrow_and_update().as_ref().and_then(|state| state.policy.clone());
                    self.take_up(policy).await;
                }
                changed = escalated.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.merge();
                }
                () = self.news(&seen) => {}
                () = stopped(&mut stop) => break,
            }
        }
        for key in self.running.keys().cloned().collect::<Vec<_>>() {
            self.end(&key).await;
        }
    }

    /// Returns when the graph may have changed for a route.
    async fn news(&self, seen: &BTreeMap<String, Published>) {
        if self.routes.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(REST).await;
        let rest_us = u64::try_from(REST.as_micros()).unwrap_or(u64::MAX);
        let look_again_us = AtomicU64::new(0);
        let changed = |_: &Node| {
            let now_us = self.common.now_us();
            let rested = now_us >= look_again_us.load(Relaxed);
            if rested {
                look_again_us.store(now_us.saturating_add(rest_us), Relaxed);
            }
            rested && self.published() != *seen
        };
        self.node.wait_for_graph(LOOK, changed).await;
    }

    /// Topics that a route takes and somebody publishes.
    fn published(&self) -> BTreeMap<String, Published> {
        let Ok(topics) = self.node.get_topic_names_and_types() else { return BTreeMap::new() };
        let taken = topics.into_keys().filter(|topic| self.routes.iter().any(|route| route.takes(self.node.namespace(), topic)));
        let published = taken.map(|topic| {
            let publishers = self.node.get_publishers_info(&topic).unwrap_or_default();
            let types = publishers.into_iter().map(|publisher| (publisher.type_name, publisher.type_hash)).collect();
            (topic, types)
        });
        published.filter(|(_, types): &(String, Published)| !types.is_empty()).collect()
    }

    /// Takes up a policy, or the lack of one, and tells the control plane what became of it, once.
    async fn take_up(&mut self, policy: Option<VersionedPolicy>) {
        let Some(offered) = policy else {
            self.rule(0, TelemetryPolicy::default(), Vec::new());
            return self.keep.store(Kept::default()).await;
        };
        let ruling = self.keep.kept.ruling.clone();
        let (ruling, status) = match self.plan(&offered.document) {
            Ok((policy, plans)) => {
                self.rule(offered.version, policy, plans);
                let version = offered.version;
                let status = PolicyStatusBody { version, outcome: PolicyOutcome::Applied, reason: String::new(), ruling: version };
                (Some(offered), status)
            }
            Err(error) => {
                self.board.refused(format!("version {}: {error}", offered.version));
                let rules = ruling.as_ref().map_or(0, |ruling| ruling.version);
                let (version, outcome, reason) = (offered.version, PolicyOutcome::Refused, error.to_string());
                (ruling, PolicyStatusBody { version, outcome, reason, ruling: rules })
            }
        };
        if self.keep.kept.told.as_ref() != Some(&status) {
            tracing::info!(version = status.version, outcome = ?status.outcome, reason = status.reason, "telemetry policy");
            self.common.recorder.record_now(Class::Critical, EntryBody::PolicyStatus(status.clone())).await;
        }
        self.keep.store(Kept { ruling, told: Some(status) }).await;
    }

    /// Reads a policy and checks it against what is known and allowed here.
    fn plan(&self, document: &serde_json::Value) -> Result<(TelemetryPolicy, Vec<Plan>), PolicyError> {
        let (policy, plans) = trigger::plan(document)?;
        match policy.capture.as_ref().and_then(|capture| self.limits.refuse(capture)) {
            Some((path, reason)) => Err(PolicyError { path: path.to_owned(), reason }),
            None => Ok((policy, plans)),
        }
    }

    fn rule(&mut self, version: u64, policy: TelemetryPolicy, plans: Vec<Plan>) {
        let budget = policy.max_entries_per_s.map(|rate| Budget::new(rate, self.common.now_us()));
        *self.common.budget.lock().unwrap_or_else(PoisonError::into_inner) = budget;
        self.common.version.store(version, Relaxed);
        self.board.rules(version);
        self.ruled = policy.routes.into_iter().map(Arc::new).collect();
        self.reasons.send_replace(policy.escalations);
        self.captures.send_replace(Ruling { version, capture: policy.capture });
        let begun = self.triggers.set(plans, &self.node, &self.common);
        self.board.triggers_are(self.triggers.names(), begun);
        self.merge();
    }

    /// The routes of the policy and of what is escalated now.
    fn merge(&mut self) {
        self.routes = self.ruled.iter().chain(self.escalated.borrow().iter()).cloned().collect();
        self.board.routes_are(self.routes.iter().map(|route| route.name.clone()).collect());
    }

    /// Ends what shall not run any more and starts what shall.
    async fn reconcile(&mut self, seen: &BTreeMap<String, Published>) {
        let stays = |(name, topic): &(String, String), running: &Running| {
            let same = self.routes.iter().any(|route| route.name == *name && *route == running.route);
            // A topic that nobody publishes at the moment is waited for.
            same && seen.get(topic).is_none_or(|published| *published == running.published)
        };
        let ended: Vec<_> = self.running.iter().filter(|(key, running)| !stays(key, running)).map(|(key, _)| key.clone()).collect();
        for key in &ended {
            self.end(key).await;
        }
        let wanted: Vec<(Arc<Route>, String)> = self
            .routes
            .iter()
            .flat_map(|route| seen.keys().map(move |topic| (Arc::clone(route), topic.clone())))
            .filter(|(route, topic)| route.takes(self.node.namespace(), topic))
            .collect();
        let keys: BTreeSet<_> = wanted.iter().map(|(route, topic)| (route.name.clone(), topic.clone())).collect();
        let gone: Vec<_> = self.problems.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in gone {
            self.problems.remove(&key);
            self.board.remove(&key.0, &key.1);
        }
        for (route, topic) in wanted {
            let key = (route.name.clone(), topic.clone());
            if self.running.contains_key(&key) {
                continue;
            }
            let Some(published) = seen.get(&topic) else { continue };
            match self.start(&route, &topic, published) {
                Ok(Some(running)) => {
                    self.problems.remove(&key);
                    self.running.insert(key, running);
                }
                Ok(None) => {}
                Err(problem) => self.tell(key, problem).await,
            }
        }
    }

    async fn tell(&mut self, key: (String, String), problem: String) {
        if self.problems.get(&key) == Some(&problem) {
            return;
        }
        self.board.set(&key.0, &key.1, Line::Problem(problem.clone()));
        self.common.recorder.fault(&format!("route {} on {}", key.0, key.1), problem.clone()).await;
        self.problems.insert(key, problem);
    }

    /// Starts a route on a topic; `None` when the route is for another type.
    fn start(&self, route: &Arc<Route>, topic: &str, published: &Published) -> Result<Option<Running>, String> {
        let types: BTreeSet<&String> = published.iter().map(|(ty, _)| ty).collect();
        let mut types = types.into_iter().filter(|ty| route.type_name.as_ref().is_none_or(|wanted| wanted == *ty));
        let Some(type_name) = types.next() else { return Ok(None) };
        if let Some(other) = types.next() {
            return Err(format!("it is published as {type_name} and as {other}: name the type in the route"));
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(format!("more than {MAX_RUNNING} topics are taken by all routes: narrow what they allow"));
        }
        let hash = published.iter().find(|(ty, _)| ty == type_name).and_then(|(_, hash)| hash.as_deref());
        // While its publishers are asked there is nothing to tell.
        let Some(ty) = self.types.resolve(topic, type_name, hash)? else { return Ok(None) };
        let (projections, watched) = compile::compile(route, ty)?.into_iter().unzip();
        let counters = Arc::new(Counters::new(route.class()));
        let tap = match route.samples {
            Some(samples) => Tap::samples(watched, samples),
            None => Tap::window(watched, self.common.now_us()),
        };
        let runner = Runner {
            common: Arc::clone(&self.common),
            route: Arc::clone(route),
            topic: topic.to_owned(),
            source: Box::new(RosTopic { node: self.node.clone(), topic: topic.to_owned(), ty }),
            projections,
            tap,
            counters: Arc::clone(&counters),
        };
        let stop = watch::Sender::new(false);
        let task = tokio::spawn(runner.run(stop.subscribe()));
        self.board.set(&route.name, topic, Line::Running { type_name: type_name.clone(), counters });
        Ok(Some(Running { route: Arc::clone(route), published: published.clone(), stop, task }))
    }

    async fn end(&mut self, key: &(String, String)) {
        let Some(running) = self.running.remove(key) else { return };
        running.stop.send_replace(true);
        if running.task.await.is_err_and(|error| error.is_panic()) {
            tracing::error!(route = key.0, topic = key.1, "a route ended badly");
        }
        self.board.remove(&key.0, &key.1);
    }
}
