//! ROS 2 over zenoh, in the program itself (`hiroz`), on the wire as `rmw_zenoh_cpp` is.
//!
//! At the border to hiroz everything is bytes with a type name and a type hash; typed messages and
//! run-time types are encoded and decoded on our side. So one instantiation of hiroz serves all
//! types, and a message that cannot be encoded is an error instead of hiroz's panic.

mod client;
mod codec;
mod latched;
mod log;
mod raw;
mod typed;

use crate::{
    error::{Error, Result},
    qos::{Durability, EndpointInfo, History, QosProfile, Reliability},
    router,
    stack::Misfit,
};
use hiroz::{
    Builder, TypeHash,
    config::SessionConfigBuilder,
    context::{ZContext, ZContextBuilder},
    entity::{EndpointEntity, EndpointKind, Entity},
    graph::Graph,
    node::ZNode,
    qos as zqos,
};
use hiroz_protocol::qos::{QosDurability as WireDurability, QosReliability as WireReliability};
use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize};

pub(crate) use codec::{decode, encode};
pub(crate) use log::LogOutlet;
pub(crate) use raw::{DynamicClient, DynamicPublisher, DynamicReceived, RawPublisher, Subscription};
pub use typed::{Action, Message, Service};
pub(crate) use typed::{Client, Publisher, Received, Reply, type_id};

/// Beginnings of the names of this stack's crates, whose logs are their own.
pub(crate) const INTERNALS: &[&str] = &["hiroz", "zenoh"];

/// The program's zenoh session.
pub(crate) struct Session(ZContext);

impl Session {
    pub(crate) fn open(_arguments: &[String], router: Option<SocketAddr>) -> Result<Self> {
        let fail = |e: zenoh::Error| Error::stack("join the ROS graph", e);
        let mut builder = ZContextBuilder::default();
        let address = match router {
            Some(address) => Some(address),
            None => from_environment()?,
        };
        // A configuration file of the user's stands as it is, unless a router is asked for.
        if address.is_some() || std::env::var_os("ZENOH_SESSION_CONFIG_URI").is_none() {
            let endpoint = format!("tcp/{}", address.unwrap_or(router::DEFAULT_ADDRESS));
            let config = SessionConfigBuilder::new()
                .with_router_endpoint(&endpoint)
                .with_override("listen/endpoints", serde_json::json!(["tcp/127.0.0.1:0"]), "loopback only")
                .with_override(
                    "connect/retry",
                    serde_json::json!({"period_init_ms": 200, "period_max_ms": 1000, "period_increase_factor": 2}),
                    "a router that starts later is found within a second",
                )
                .build_config()
                .map_err(fail)?;
            builder = builder.with_zenoh_config(config);
        }
        builder.build().map(Self).map_err(fail)
    }

    /// Whether the stack itself applies the remap rules of the command line.
    #[expect(clippy::unused_self, reason = "the other stack decides by its arguments")]
    pub(crate) fn remaps(&self) -> bool {
        false
    }

    pub(crate) fn shutdown(&self) -> Result<()> {
        self.0.shutdown().map_err(|e| Error::stack("leave the ROS graph", e))
    }
}

fn from_environment() -> Result<Option<SocketAddr>> {
    match std::env::var(router::ENVIRONMENT) {
        Ok(text) if !text.is_empty() => {
            let address = text.parse().map_err(|_| Error::Router {
                address: text.clone(),
                reason: format!("{} must be IP:PORT, for instance {}", router::ENVIRONMENT, router::DEFAULT_ADDRESS),
            })?;
            Ok(Some(address))
        }
        _ => Ok(None),
    }
}

/// A node in the graph.
pub(crate) struct Node(ZNode);

impl Node {
    pub(crate) fn create(session: &Session, name: &str, namespace: &str) -> Result<Self> {
        let builder = session.0.create_node(name).with_namespace(namespace).without_parameters();
        builder.build().map(Self).map_err(|e| Error::stack(format!("create node {}", crate::names::fully_qualified(namespace, name)), e))
    }

    fn graph(&self) -> &Graph {
        self.0.graph()
    }

    pub(crate) fn node_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<_> = self
            .graph()
            .get_node_names()
            .into_iter()
            .map(|(name, namespace)| crate::names::fully_qualified(if namespace.is_empty() { "/" } else { &namespace }, &name))
            .collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn topics(&self) -> Result<BTreeMap<String, Vec<String>>> {
        Ok(by_name(self.graph().get_topic_names_and_types()))
    }

    pub(crate) fn services(&self) -> Result<BTreeMap<String, Vec<String>>> {
        Ok(by_name(self.graph().get_service_names_and_types()))
    }

    pub(crate) fn count_publishers(&self, topic: &str) -> Result<usize> {
        Ok(self.graph().count(EndpointKind::Publisher, topic))
    }

    pub(crate) fn count_subscribers(&self, topic: &str) -> Result<usize> {
        Ok(self.graph().count(EndpointKind::Subscription, topic))
    }

    pub(crate) fn publishers_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        Ok(self.endpoints(EndpointKind::Publisher, topic))
    }

    pub(crate) fn subscriptions_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        Ok(self.endpoints(EndpointKind::Subscription, topic))
    }

    fn endpoints(&self, kind: EndpointKind, topic: &str) -> Vec<EndpointInfo> {
        let entities = self.graph().get_entities_by_topic(kind, topic);
        let endpoints = entities.iter().filter_map(|entity| match &**entity {
            Entity::Endpoint(endpoint) => Some(endpoint),
            Entity::Node(_) => None,
        });
        endpoints.filter_map(info).collect()
    }

    fn has_service(&self, name: &str) -> bool {
        self.graph().count_by_service(EndpointKind::Service, name) > 0
    }

    /// Resolves at the next change of the graph after this call, not after the first poll.
    pub(crate) fn graph_change(&self) -> impl Future<Output = ()> + use<> {
        let mut change = Box::pin(self.graph().change_notify.clone().notified_owned());
        change.as_mut().enable();
        change
    }
}

/// Whether the stack publishes `/rosout` by itself.
pub(crate) fn publishes_rosout() -> bool {
    false
}

/// Publishers of this stack and of `rmw_zenoh_cpp` connect with every subscription of their type.
pub(crate) fn misfit() -> Misfit {
    Misfit::Lossy
}

/// None for an endpoint that does not say what it is.
fn info(endpoint: &EndpointEntity) -> Option<EndpointInfo> {
    let (node, ty) = (endpoint.node.as_ref()?, endpoint.type_info.as_ref()?);
    let namespace = if node.namespace.is_empty() { "/" } else { &node.namespace };
    Some(EndpointInfo {
        node: crate::names::fully_qualified(namespace, &node.name),
        type_name: ros_type(&ty.name),
        // Of before Jazzy.
        type_hash: (ty.hash != TypeHash::zero()).then(|| ty.hash.to_rihs_string()),
        reliability: match endpoint.qos.reliability {
            WireReliability::BestEffort => Reliability::BestEffort,
            WireReliability::Reliable => Reliability::Reliable,
        },
        durability: match endpoint.qos.durability {
            WireDurability::TransientLocal => Durability::TransientLocal,
            WireDurability::Volatile => Durability::Volatile,
        },
    })
}

/// `a::msg::dds_::B_` is `a/msg/B`.
fn ros_type(dds: &str) -> String {
    dds.trim_end_matches('_').replace("::dds_::", "/").replace("::", "/")
}

/// Names with their types.
fn by_name(pairs: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (name, ty) in pairs {
        let types = all.entry(name).or_default();
        let ty = ros_type(&ty);
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    all
}

fn quality(qos: QosProfile) -> zqos::QosProfile {
    zqos::QosProfile {
        reliability: match qos.reliability {
            Reliability::Reliable => zqos::QosReliability::Reliable,
            Reliability::BestEffort => zqos::QosReliability::BestEffort,
        },
        durability: match qos.durability {
            Durability::Volatile => zqos::QosDurability::Volatile,
            Durability::TransientLocal => zqos::QosDurability::TransientLocal,
        },
        history: match qos.history {
            History::KeepLast(depth) => zqos::QosHistory::KeepLast(NonZeroUsize::new(depth).unwrap_or(NonZeroUsize::MIN)),
            History::KeepAll => zqos::QosHistory::KeepAll,
        },
        lifespan: qos.lifespan.map_or(zqos::QosDuration::INFINITE, Into::into),
        ..Default::default()
    }
}
