//! What every publisher and subscription is, whatever it carries.

use crate::{
    error::Result,
    node::{Node, Watch},
    qos::{EndpointInfo, QosProfile},
};
use std::{borrow::Cow, sync::Arc, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Publisher,
    Subscription,
}

/// A type by its name, for instance `std_msgs/msg/String`, and its hash.
#[derive(Clone)]
pub(crate) struct TypeId {
    pub(crate) name: Cow<'static, str>,
    pub(crate) hash: Cow<'static, str>,
}

impl TypeId {
    pub(crate) fn of(name: &'static str, hash: &'static str) -> Self {
        Self { name: name.into(), hash: hash.into() }
    }
}

/// A publisher or a subscription of ours. Keeps its node in the graph.
pub(crate) struct Endpoint {
    pub(crate) side: Side,
    /// Absolute name, after remaps.
    pub(crate) topic: String,
    /// None for a type that this build knows only by its Rust path.
    ty: Option<TypeId>,
    qos: QosProfile,
    pub(crate) node: Node,
}

impl Endpoint {
    pub(crate) fn new(node: &Node, side: Side, topic: String, ty: Option<TypeId>, qos: QosProfile) -> Arc<Self> {
        let endpoint = Arc::new(Self { side, topic, ty, qos, node: node.clone() });
        node.context().0.qos_watch.join(node.context(), &endpoint);
        endpoint
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        self.node.context().ensure_open(|| format!("publish on {}", self.topic))
    }

    pub(crate) async fn wait_for_subscribers(&self, count: usize, timeout: Duration, present: impl Fn() -> usize) -> bool {
        Watch::until(&self.node, timeout, || present() >= count).await
    }

    /// As the graph shows it to others.
    pub(crate) fn info(&self) -> EndpointInfo {
        EndpointInfo {
            node: self.node.fully_qualified_name().to_string(),
            type_name: self.ty.as_ref().map_or_else(String::new, |ty| ty.name.to_string()),
            type_hash: self.ty.as_ref().map(|ty| ty.hash.to_string()),
            reliability: self.qos.reliability,
            durability: self.qos.durability,
        }
    }

    /// Whom it meets on its topic; none where the stack cannot say.
    pub(crate) fn counterparts(&self) -> Vec<EndpointInfo> {
        let node = &self.node.0.inner;
        let found = match self.side {
            Side::Publisher => node.subscriptions_info(&self.topic),
            Side::Subscription => node.publishers_info(&self.topic),
        };
        found.unwrap_or_default()
    }
}
