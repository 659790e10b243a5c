//! ROS 2 through rcl, by r2r. One thread per node owns the r2r node and spins it; everything else
//! asks that thread, and what arrives is moved from r2r's short queues to ours between two turns.

mod dynamic;
mod foreign;
mod held;
mod lengths;
mod log;
mod spinner;
mod typed;
mod typesupport;

use crate::{
    error::{Error, Result},
    installed, names,
    qos::{Durability, EndpointInfo, History, QosProfile, Reliability},
    registry,
    stack::Misfit,
};
use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

pub(crate) use dynamic::{DynamicClient, DynamicPublisher, DynamicReceived, RawPublisher};
pub(crate) use log::LogOutlet;
use spinner::Spinner;
pub(crate) use spinner::Subscription;
pub use typed::{Action, Message, Service};
pub(crate) use typed::{Client, Publisher, Received, Reply, decode, encode, type_id};

pub(crate) const NAME: &str = "r2r";

/// Beginnings of the names of this stack's crates, whose logs are their own.
pub(crate) const INTERNALS: &[&str] = &["r2r"];

/// The graph tells r2r nothing of its changes, so it is looked at this often.
const GRAPH_PERIOD: Duration = Duration::from_millis(20);

/// An RMW comes up in a second.
const PATIENCE: Duration = Duration::from_secs(30);

fn fail(operation: impl Into<String>) -> impl FnOnce(r2r::Error) -> Error {
    move |e| Error::stack(operation, e)
}

/// The nodes of one of our contexts. rcl's own context is one for the whole process, since r2r has no other.
pub(crate) struct Session {
    context: r2r::Context,
    /// rcl reads the process's arguments by itself, and remaps by those.
    own_arguments: bool,
    nodes: Mutex<Vec<Weak<Spinner>>>,
}

/// rcl's context. An RMW that never comes back (rmw_zenoh can deadlock while other nodes join) must not leave a program
/// that seems to run and is no node: whoever started it can start it again only when it ends.
fn begin() -> Result<r2r::Context> {
    let (done, outcome) = std::sync::mpsc::channel();
    let operation = "create the ROS context";
    let start = move || drop(done.send(r2r::Context::create()));
    std::thread::Builder::new().name("rcl_init".into()).spawn(start).map_err(|e| Error::stack(operation, e))?;
    match outcome.recv_timeout(PATIENCE) {
        Ok(created) => created.map_err(fail(operation)),
        Err(_) => {
            let reason =
                format!("the RMW has not come up within {PATIENCE:?}; under rmw_zenoh_cpp see that its router runs, then start this again");
            Err(Error::stack(operation, reason))
        }
    }
}

impl Session {
    pub(crate) fn open(arguments: &[String], _router: Option<SocketAddr>) -> Result<Self> {
        let own_arguments = std::env::args().skip(1).eq(arguments.iter().cloned());
        if !own_arguments && std::env::args().any(|argument| argument == "--ros-args") {
            return Err(Error::Unsupported {
                operation: "a context with arguments other than the program's, which has ROS arguments too".into(),
                stack: NAME,
                remedy: "use Context::create, or start the program without --ros-args",
            });
        }
        // Before anything is sent: the libraries that are loaded would write past the ends of our structs.
        if let Some(wrong) = installed::mismatch(&installed::prefixes(), registry::hashes()) {
            let installed::Mismatch { type_name, installed, compiled, share, .. } = wrong;
            return Err(Error::Interfaces { type_name, installed, compiled, share: share.display().to_string() });
        }
        let context = begin()?;
        Ok(Self { context, own_arguments, nodes: Mutex::default() })
    }

    /// Whether the stack itself applies the remap rules of the command line.
    pub(crate) fn remaps(&self) -> bool {
        self.own_arguments
    }

    pub(crate) fn shutdown(&self) -> Result<()> {
        let nodes = std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner));
        nodes.iter().filter_map(Weak::upgrade).for_each(|node| node.stop());
        Ok(())
    }
}

/// A node in the graph.
pub(crate) struct Node {
    spinner: Arc<Spinner>,
}

impl Node {
    pub(crate) fn create(session: &Session, name: &str, namespace: &str) -> Result<Self> {
        let created = {
            let _table = log::guard();
            r2r::Node::create(session.context.clone(), name, namespace)
        };
        let node = created.map_err(fail(format!("create node {name}")))?;
        let spinner = Spinner::start(node, name)?;
        session.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&spinner));
        Ok(Self { spinner })
    }

    pub(crate) fn node_names(&self) -> Result<Vec<String>> {
        // r2r does not list nodes, but every node publishes something: /rosout and /parameter_events, unless told not to.
        let found = self.spinner.with(|turn| {
            let mut nodes = BTreeSet::new();
            for topic in turn.node.get_topic_names_and_types()?.keys() {
                let publishers = turn.node.get_publishers_info_by_topic(topic, false)?;
                nodes.extend(publishers.iter().filter_map(|p| fully_qualified(&p.node_namespace, &p.node_name)));
            }
            Ok(nodes.into_iter().collect())
        })?;
        found.map_err(fail("list nodes"))
    }

    pub(crate) fn topics(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let topics = self.spinner.with(|turn| turn.node.get_topic_names_and_types())?.map_err(fail("list topics"))?;
        Ok(topics.into_iter().collect())
    }

    pub(crate) fn services(&self) -> Result<BTreeMap<String, Vec<String>>> {
        Err(Error::Unsupported { operation: "listing services".into(), stack: NAME, remedy: "use `ros2 service list`" })
    }

    pub(crate) fn count_publishers(&self, topic: &str) -> Result<usize> {
        let name = topic.to_string();
        let found = self.spinner.with(move |turn| turn.node.get_publishers_info_by_topic(&name, false))?;
        found.map(|all| all.len()).map_err(fail(format!("count the publishers of {topic}")))
    }

    pub(crate) fn count_subscribers(&self, topic: &str) -> Result<usize> {
        Err(Error::Unsupported {
            operation: format!("counting the subscribers of {topic}"),
            stack: NAME,
            remedy: "ask a publisher of the topic, or use `ros2 topic info`",
        })
    }

    pub(crate) fn publishers_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        let name = topic.to_string();
        let found = self.spinner.with(move |turn| {
            let found = turn.node.get_publishers_info_by_topic(&name, false)?;
            Ok(found.iter().filter_map(|e| info(&e.node_namespace, &e.node_name, &e.topic_type, &e.qos_profile)).collect())
        })?;
        found.map_err(fail(format!("look at the publishers of {topic}")))
    }

    pub(crate) fn subscriptions_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        Err(Error::Unsupported {
            operation: format!("looking at the subscriptions of {topic}"),
            stack: NAME,
            remedy: "use `ros2 topic info --verbose`",
        })
    }

    /// When it is worth to look at the graph again.
    pub(crate) fn graph_change(&self) -> impl Future<Output = ()> + use<> {
        tokio::time::sleep(GRAPH_PERIOD)
    }
}

/// None while the node is not discovered yet.
fn fully_qualified(namespace: &str, node: &str) -> Option<String> {
    (!node.contains("_UNKNOWN_")).then(|| names::fully_qualified(namespace, node))
}

/// None while its node is not discovered yet, or for a policy that is none.
fn info(namespace: &str, node: &str, type_name: &str, qos: &r2r::QosProfile) -> Option<EndpointInfo> {
    let (reliability, durability) = (&qos.reliability, &qos.durability);
    Some(EndpointInfo {
        node: fully_qualified(namespace, node)?,
        type_name: type_name.to_string(),
        type_hash: None,
        reliability: match reliability {
            ReliabilityPolicy::Reliable => Reliability::Reliable,
            ReliabilityPolicy::BestEffort => Reliability::BestEffort,
            _ => return None,
        },
        durability: match durability {
            DurabilityPolicy::TransientLocal => Durability::TransientLocal,
            DurabilityPolicy::Volatile => Durability::Volatile,
            _ => return None,
        },
    })
}

/// Whether the stack publishes `/rosout` by itself. rcl did; since Iron it leaves that to its users.
pub(crate) fn publishes_rosout() -> bool {
    #[cfg(not(feature = "doc-only"))]
    return matches!(r2r::ROS_DISTRO, "foxy" | "galactic" | "humble");
    #[cfg(feature = "doc-only")]
    false
}

/// DDS connects only what fits. rcl gives no way to ask which middleware it has loaded but by its choice.
pub(crate) fn misfit() -> Misfit {
    let zenoh = std::env::var("RMW_IMPLEMENTATION").is_ok_and(|rmw| rmw.contains("zenoh"));
    if zenoh { Misfit::Lossy } else { Misfit::Refused }
}

/// DDS drops what a reader's history has no room for, and tells nobody, while r2r takes one message a turn. How many
/// messages wait for the node, and which give way, is for our queue to decide, so the history must hold any burst.
/// What is latched is asked for by the depth of the history, which therefore stays.
const READER_DEPTH: usize = 4096;

fn reading(qos: QosProfile) -> r2r::QosProfile {
    match (qos.history, qos.durability) {
        (History::KeepLast(depth), Durability::Volatile) => quality(qos.keep_last(depth.max(READER_DEPTH))),
        _ => quality(qos),
    }
}

/// Every caller waits for its answer: none may be dropped.
fn calling() -> r2r::QosProfile {
    quality(QosProfile::services_default().keep_last(READER_DEPTH))
}

fn quality(qos: QosProfile) -> r2r::QosProfile {
    let profile = match qos.history {
        History::KeepLast(depth) => r2r::QosProfile::default().keep_last(depth),
        History::KeepAll => r2r::QosProfile::default().keep_all(),
    };
    let profile = match qos.reliability {
        Reliability::Reliable => profile.reliable(),
        Reliability::BestEffort => profile.best_effort(),
    };
    let profile = match qos.durability {
        Durability::Volatile => profile.volatile(),
        Durability::TransientLocal => profile.transient_local(),
    };
    match qos.lifespan {
        Some(lifespan) => r2r::QosProfile { lifespan, ..profile },
        None => profile,
    }
}
