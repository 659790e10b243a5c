//! Endpoints that cannot meet. Two nodes on one topic whose quality of service or types do not fit
//! exchange nothing, or less than one of them counts on, and nothing fails: the most common hour lost with
//! ROS 2. So whenever the graph changes, what the program's own endpoints meet is looked at, and each
//! misfit is warned about once, by name and with the remedy.

use super::{Durability, Reliability, overrides};
use crate::{
    context::Context,
    endpoint::{Endpoint, Side},
    stack::{self, Misfit},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// The graph of a starting fleet changes without a pause: it is looked at so often at most.
const PERIOD: Duration = Duration::from_secs(1);

/// An endpoint as the graph shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Fully-qualified name of its node.
    pub node: String,
    /// For instance `std_msgs/msg/String`.
    pub type_name: String,
    /// `RIHS01_` and 64 hex digits, where the stack knows it.
    pub type_hash: Option<String>,
    /// What a publisher offers or a subscription asks for.
    pub reliability: Reliability,
    /// What a publisher offers or a subscription asks for.
    pub durability: Durability,
}

/// The endpoints of one context.
#[derive(Default)]
pub(crate) struct QosWatch {
    endpoints: Mutex<Vec<Weak<Endpoint>>>,
    joined: Notify,
    started: AtomicBool,
}

impl QosWatch {
    /// From here on it is looked at, for as long as it lives.
    pub(crate) fn join(self: &Arc<Self>, context: &Context, endpoint: &Arc<Endpoint>) {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(endpoint));
        self.joined.notify_one();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.started.swap(true, Ordering::Relaxed) {
            let (watch, closed) = (self.clone(), context.closed());
            runtime.spawn(async move {
                tokio::select! {
                    () = watch.run() => {}
                    () = closed => {}
                }
            });
        }
    }

    async fn run(self: Arc<Self>) {
        let mut told = HashSet::new();
        loop {
            let joined = self.joined.notified();
            // Armed before the look, so that no change falls in between.
            let change = self.any().map(|endpoint| endpoint.node.graph_change());
            let watch = self.clone();
            let look = tokio::task::spawn_blocking(move || {
                watch.look(&mut told);
                told
            });
            match look.await {
                Ok(back) => told = back,
                Err(_) => return,
            }
            tokio::time::sleep(PERIOD).await;
            match change {
                Some(change) => tokio::select! {
                    () = change => {}
                    () = joined => {}
                },
                None => joined.await,
            }
        }
    }

    fn any(&self) -> Option<Arc<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(Weak::upgrade)
    }

    fn living(&self) -> Vec<Arc<Endpoint>> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        endpoints.iter().filter_map(Weak::upgrade).collect()
    }

    fn look(&self, told: &mut HashSet<Finding>) {
        let mut met = HashMap::new();
        for endpoint in self.living() {
            let others = met.entry((endpoint.side, endpoint.topic.clone())).or_insert_with(|| endpoint.counterparts());
            for finding in others.iter().flat_map(|other| findings(&endpoint, other)) {
                if told.insert(finding.clone()) {
                    let remedy = finding.remedy(&endpoint);
                    tracing::warn!("{finding}; {remedy}");
                }
            }
        }
    }
}

/// What does not fit between two endpoints. Found from either side, it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Finding {
    topic: String,
    publisher: String,
    subscriber: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Type { published: String, subscribed: String },
    Definition { name: String },
    Reliability,
    Durability,
}

fn findings(ours: &Endpoint, other: &EndpointInfo) -> Vec<Finding> {
    let own = ours.info();
    let (publisher, subscriber) = match ours.side {
        Side::Publisher => (&own, other),
        Side::Subscription => (other, &own),
    };
    let mut all = Vec::new();
    let unknown = own.type_name.is_empty();
    if !unknown && publisher.type_name != subscriber.type_name {
        all.push(What::Type { published: publisher.type_name.clone(), subscribed: subscriber.type_name.clone() });
    } else if matches!((&publisher.type_hash, &subscriber.type_hash), (Some(one), Some(another)) if one != another) {
        all.push(What::Definition { name: publisher.type_name.clone() });
    } else {
        if publisher.reliability == Reliability::BestEffort && subscriber.reliability == Reliability::Reliable {
            all.push(What::Reliability);
        }
        if publisher.durability == Durability::Volatile && subscriber.durability == Durability::TransientLocal {
            all.push(What::Durability);
        }
    }
    let finding =
        |what| Finding { topic: ours.topic.clone(), publisher: publisher.node.clone(), subscriber: subscriber.node.clone(), what };
    all.into_iter().map(finding).collect()
}

impl Finding {
    fn remedy(&self, ours: &Endpoint) -> String {
        let (policy, offered, requested) = match &self.what {
            What::Type { .. } => return "remap one of them to another topic".into(),
            What::Definition { .. } => return "build both from the same definition".into(),
            What::Reliability => ("reliability", Reliability::Reliable.to_string(), Reliability::BestEffort.to_string()),
            What::Durability => ("durability", Durability::TransientLocal.to_string(), Durability::Volatile.to_string()),
        };
        let (side, value) = match ours.side {
            Side::Publisher => ("publisher", offered),
            Side::Subscription => ("subscription", requested),
        };
        let parameter = format!("{}{policy}", overrides::prefix(&ours.topic, side));
        let node = ours.node.fully_qualified_name();
        if ours.node.declared_parameter(&parameter).is_some() {
            format!("start {node} with -p {parameter}:={value}")
        } else {
            format!("give the {side} of {node} the {policy} {value}, or fit the other to it")
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, publisher, subscriber, what } = self;
        match what {
            What::Type { published, subscribed } => {
                write!(
                    f,
                    "types differ on {topic}: {publisher} publishes {published}, {subscriber} subscribes {subscribed}, so nothing arrives"
                )
            }
            What::Definition { name } => {
                write!(
                    f,
                    "definitions of {name} differ on {topic}: {publisher} publishes one, {subscriber} subscribes another, so nothing arrives"
                )
            }
            What::Reliability => {
                let loss = match stack::misfit() {
                    Misfit::Refused => "so nothing arrives",
                    Misfit::Lossy => "so messages are lost where the network is behind",
                };
                write!(f, "incompatible QoS on {topic}: {publisher} publishes best_effort, {subscriber} asks for reliable, {loss}")
            }
            What::Durability => {
                let loss = match stack::misfit() {
                    Misfit::Refused => "so nothing arrives",
                    Misfit::Lossy => "so it misses what was published before it came",
                };
                write!(f, "incompatible QoS on {topic}: {publisher} publishes volatile, {subscriber} asks for transient_local, {loss}")
            }
        }
    }
}
