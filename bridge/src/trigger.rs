//! Triggers: conditions over fields of topics, looked at on the robot whether or not there is a link.
//!
//! When one fires, that is an entry of the log with the moment at which it did, and a reason for the policy's escalations and its
//! capture. A condition that cannot be computed is counted and told, and counts as one that does not hold.

use edgeflow_policy::{Look, Reference, Type, read};
use edgeflow_ros::{
    Node,
    registry::{self, Element, Projection},
};
use edgeflow_wire::{Class, EntryBody, PolicyError, Reduce, TelemetryPolicy, Trigger, TriggerBody, Watch};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    follow::{Follower, Heard},
    policy::{Common, TriggerCounters, reading, step},
};

/// Messages of all topics of a trigger that may wait behind those that wait in their subscriptions.
const WAITING: usize = 16;
/// Between two faults of one trigger, at least: a condition that comes and goes must not fill the log.
const FAULTS_APART: Duration = Duration::from_secs(60);
const FAR: Duration = Duration::from_secs(86_400);

/// What a trigger looks at on one topic.
#[derive(Debug, Clone)]
struct Topic {
    topic: String,
    type_name: String,
    /// Places in the condition's list of what it names, and the ways to their values.
    projections: Vec<(usize, Projection)>,
}

/// A trigger that fits the types it is of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) trigger: Trigger,
    state: edgeflow_policy::Trigger,
    topics: Vec<Topic>,
}

/// Reads a policy and checks all of it that can be checked before a topic appears: also whether the types of what triggers
/// watch are known here and have what they name.
pub(crate) fn plan(document: &serde_json::Value) -> Result<(TelemetryPolicy, Vec<Plan>), PolicyError> {
    let policy = edgeflow_policy::parse(document)?;
    let plans = policy.triggers.iter().enumerate().map(|(at, trigger)| plan_trigger(&format!("triggers[{at}]"), trigger));
    let plans = plans.collect::<Result<_, _>>()?;
    Ok((policy, plans))
}

fn plan_trigger(path: &str, trigger: &Trigger) -> Result<Plan, PolicyError> {
    let wrong = |place: &str, reason: String| PolicyError { path: format!("{path}.{place}"), reason };
    let condition = read(trigger).map_err(|reason| wrong("when", reason))?;
    let mut topics: BTreeMap<(&str, &str), Topic> = BTreeMap::new();
    let mut types: BTreeMap<&Reference, Type> = BTreeMap::new();
    for (at, reference) in condition.references().iter().enumerate() {
        let name = &reference.variable;
        let Some(watch) = trigger.watch.get(name) else { continue };
        let ty = registry::resolve(&watch.type_name, None).map_err(|error| wrong(&format!("watch.{name}.type"), error.to_string()))?;
        let steps = watch.field.as_ref().map_or(reference.path.as_slice(), |field| field.steps());
        let steps: Vec<registry::Step<'_>> = steps.iter().map(step).collect();
        let place = if watch.field.is_some() { format!("watch.{name}.field") } else { "when".to_owned() };
        let projection = Projection::new(ty, &steps).map_err(|error| wrong(&place, error.to_string()))?;
        let value = type_of(watch, &projection).map_err(|reason| wrong(&format!("watch.{name}.reduce"), reason))?;
        types.insert(reference, value);
        let topic = topics.entry((&watch.topic, &watch.type_name)).or_insert_with(|| Topic {
            topic: watch.topic.clone(),
            type_name: watch.type_name.clone(),
            projections: Vec::new(),
        });
        topic.projections.push((at, projection));
    }
    let checked = condition.check(|reference| types.get(reference).copied().ok_or_else(|| format!("{reference} is not known")));
    checked.map_err(|reason| wrong("when", reason))?;
    let topics = topics.into_values().collect();
    Ok(Plan { trigger: trigger.clone(), state: edgeflow_policy::Trigger::new(trigger, condition), topics })
}

/// What a condition sees of a field.
fn type_of(watch: &Watch, projection: &Projection) -> Result<Type, String> {
    let single = match projection.element() {
        Element::Bool => Type::Bool,
        Element::Float32 | Element::Float64 => Type::Float,
        Element::String => Type::Text,
        _ => Type::Integer,
    };
    match watch.reduce {
        None => Ok(single),
        Some(Reduce::Count) => Ok(Type::Integer),
        Some(_) if single == Type::Text => Err("only count makes one of many strings".to_owned()),
        Some(Reduce::Mean | Reduce::Sum) => Ok(Type::Float),
        Some(Reduce::Min | Reduce::Max) => Ok(single),
    }
}

/// Keeps a policy's triggers running.
#[derive(Default)]
pub(crate) struct Keeper {
    running: BTreeMap<String, (Trigger, JoinSet<()>)>,
}

impl Keeper {
    /// These run from now on. Those that stay as they are go on.
    pub(crate) fn set(&mut self, plans: Vec<Plan>, node: &Node, common: &Arc<Common>) -> Vec<(String, Arc<TriggerCounters>)> {
        let mut before = std::mem::take(&mut self.running);
        let mut begun = Vec::new();
        for plan in plans {
            let trigger = plan.trigger.clone();
            let running = match before.remove(&trigger.name) {
                Some((same, tasks)) if same == trigger => tasks,
                _ => {
                    let counters = Arc::new(TriggerCounters::default());
                    begun.push((trigger.name.clone(), Arc::clone(&counters)));
                    let runner = Runner { common: Arc::clone(common), counters, plan, told: String::new(), told_at: None };
                    let mut tasks = JoinSet::new();
                    tasks.spawn(runner.run(node.clone()));
                    tasks
                }
            };
            self.running.insert(trigger.name.clone(), (trigger, running));
        }
        begun
    }

    /// Names of those that run.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.running.keys()
    }
}

struct Runner {
    common: Arc<Common>,
    counters: Arc<TriggerCounters>,
    plan: Plan,
    /// The newest reason why it could not be looked at: each is told once in a row.
    told: String,
    told_at: Option<Instant>,
}

impl Runner {
    async fn run(mut self, node: Node) {
        let (sender, mut heard) = mpsc::channel(WAITING);
        // They end with this task.
        let mut followers = JoinSet::new();
        for (at, topic) in self.plan.topics.clone().into_iter().enumerate() {
            let dropped = Arc::new(AtomicU64::new(0));
            self.counters.dropped.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Arc::clone(&dropped));
            let absolute = match node.resolve_topic(&topic.topic) {
                Ok(absolute) => absolute,
                Err(error) => {
                    self.fault(format!("{}: {error}", topic.topic)).await;
                    continue;
                }
            };
            let follower = Follower { node: node.clone(), topic: absolute, type_name: Some(topic.type_name), dropped };
            followers.spawn(follower.run(at, sender.clone()));
        }
        loop {
            let due = self.plan.state.due_us().map(|due_us| self.common.started + Duration::from_micros(due_us));
            let look = tokio::select! {
                biased;
                Some((at, heard)) = heard.recv() => match heard {
                    Heard::Body(body) => self.take(at, &body),
                    Heard::Type(ty) => {
                        tracing::debug!(trigger = self.plan.trigger.name, ty = ty.name, "watches");
                        continue;
                    }
                    Heard::Problem(problem) => {
                        let topic = self.plan.topics.get(at).map(|topic| topic.topic.clone()).unwrap_or_default();
                        self.fault(format!("{topic}: {problem}")).await;
                        continue;
                    }
                },
                () = sleep_until(due.unwrap_or_else(|| Instant::now() + FAR)) => self.plan.state.look(self.common.now_us()),
            };
            self.tell(look).await;
        }
    }

    fn take(&mut self, at: usize, body: &[u8]) -> Look {
        let now_us = self.common.now_us();
        let Some(topic) = self.plan.topics.get(at) else { return Look::Unknown };
        let state = &mut self.plan.state;
        let places: Vec<usize> = topic.projections.iter().map(|(place, _)| *place).collect();
        for (place, projection) in &topic.projections {
            if let Err(error) = projection.read(body, &mut |scalar| state.value(*place, reading(scalar))) {
                state.discard(&places, now_us);
                return Look::Failed(format!("{}: {error}", topic.topic));
            }
        }
        state.end(&places, now_us)
    }

    async fn tell(&mut self, look: Look) {
        self.counters.looked.fetch_add(1, Relaxed);
        match look {
            Look::Unknown => self.counters.set(false, ""),
            Look::No => {
                self.counters.set(false, "");
                self.told.clear();
            }
            Look::Holds => {
                self.counters.set(true, "");
                self.told.clear();
            }
            Look::Failed(reason) => {
                self.counters.failed.fetch_add(1, Relaxed);
                self.counters.set(false, &reason);
                self.fault(reason).await;
            }
            Look::Fires { held_us, values } => {
                self.counters.set(true, "");
                self.counters.fired.fetch_add(1, Relaxed);
                let recorder = &self.common.recorder;
                let now = recorder.clock().now();
                let Trigger { name, severity, message, .. } = self.plan.trigger.clone();
                tracing::info!(name, "trigger fires");
                let since_us = now.t_us.saturating_sub(i64::try_from(held_us).unwrap_or(i64::MAX));
                let policy = self.common.version.load(Relaxed);
                let body = TriggerBody { name, policy, severity, message, since_us, values };
                recorder.record(Class::Event, now, EntryBody::Trigger(body)).await;
            }
        }
    }

    async fn fault(&mut self, reason: String) {
        let now = Instant::now();
        if self.told != reason && self.told_at.is_none_or(|at| now.duration_since(at) >= FAULTS_APART) {
            self.told_at = Some(now);
            self.common.recorder.fault(&format!("trigger {}", self.plan.trigger.name), reason.clone()).await;
            self.told = reason;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn planned(when: &str, watch: Value) -> Result<Plan, PolicyError> {
        let document = json!({"triggers": [{"name": "t", "when": when, "watch": watch}]});
        plan(&document).map(|(_, mut plans)| plans.remove(0))
    }

    fn battery() -> Value {
        json!({"topic": "battery", "type": "sensor_msgs/msg/BatteryState"})
    }

    #[test]
    fn what_is_looked_at_is_found_by_topic() {
        let scan = json!({"topic": "scan", "type": "sensor_msgs/msg/LaserScan", "field": "ranges[*]", "reduce": "min"});
        let when = "battery.percentage < 0.2 && battery.cell_voltage[0] < 3.2 && nearest < 1";
        let plan = planned(when, json!({"battery": battery(), "nearest": scan})).unwrap();
        let places: Vec<(&str, Vec<usize>)> =
            plan.topics.iter().map(|topic| (topic.topic.as_str(), topic.projections.iter().map(|(at, _)| *at).collect())).collect();
        assert_eq!(places, [("battery", vec![0, 1]), ("scan", vec![2])]);
    }

    #[test]
    fn what_the_types_here_do_not_have_refuses_the_policy_with_its_place() {
        let with = |change: fn(&mut Value)| {
            let mut watch = battery();
            change(&mut watch);
            json!({ "battery": watch })
        };
        let plain = || with(|_| ());
        for (when, watch, path, reason) in [
            ("battery.percentge < 0.2", plain(), "triggers[0].when", "no field \"percentge\""),
            ("battery.percentage == 'low'", plain(), "triggers[0].when", "does not go with a double and a string"),
            ("battery.percentage", plain(), "triggers[0].when", "it is a double"),
            ("battery.header.stamp == 1", plain(), "triggers[0].when", "name one of its fields"),
            ("battery.cell_voltage > 3.0", plain(), "triggers[0].when", "is an array"),
            (
                "battery.x < 1",
                with(|w| w["type"] = json!("robot_msgs/msg/Battery")),
                "triggers[0].watch.battery.type",
                "robot_msgs/msg/Battery",
            ),
            ("battery < 1", with(|w| w["field"] = json!("percent")), "triggers[0].watch.battery.field", "no field \"percent\""),
        ] {
            let error = planned(when, watch).unwrap_err();
            assert!(error.path == path && error.reason.contains(reason), "{when}: {error}");
        }
        let text =
            json!({"names": {"topic": "s", "type": "diagnostic_msgs/msg/DiagnosticArray", "field": "status[*].name", "reduce": "max"}});
        assert_eq!(planned("names == 'a'", text).unwrap_err().path, "triggers[0].watch.names.reduce");
    }
}
