//! Where a route's messages come from.

use edgeflow_ros::{DropCounter, Durability, Node, QosProfile, Queue, Reliability, registry::TypeDescription};
use futures::{StreamExt, stream::BoxStream};

/// Messages that may wait while the bridge is busy.
pub(crate) const DEPTH: usize = 1_024;

/// Messages of one topic, as CDR bodies.
pub(crate) struct Messages {
    pub(crate) bodies: BoxStream<'static, Vec<u8>>,
    pub(crate) dropped: DropCounter,
}

/// One topic.
pub(crate) trait Source: Send + Sync + 'static {
    /// Subscribes it, or why that is not possible.
    fn subscribe(&self) -> Result<Messages, String>;

    /// How many publish it now.
    fn publishers(&self) -> usize;
}

/// A topic of the ROS graph.
pub(crate) struct RosTopic {
    pub(crate) node: Node,
    pub(crate) topic: String,
    pub(crate) ty: &'static TypeDescription,
}

impl RosTopic {
    /// What every publisher there is can serve: reliable and latched only if all are.
    fn qos(&self) -> QosProfile {
        let publishers = self.node.get_publishers_info(&self.topic).unwrap_or_default();
        let qos = QosProfile::default().keep_last(100);
        let qos = if publishers.iter().all(|one| one.reliability == Reliability::Reliable) { qos.reliable() } else { qos.best_effort() };
        let latched = !publishers.is_empty() && publishers.iter().all(|one| one.durability == Durability::TransientLocal);
        if latched { qos.transient_local() } else { qos }
    }
}

impl Source for RosTopic {
    fn subscribe(&self) -> Result<Messages, String> {
        let queue = Queue::All { depth: DEPTH };
        let subscription =
            self.node.subscribe_raw(&self.topic, self.ty, self.qos(), queue).map_err(|error| format!("could not subscribe: {error}"))?;
        let dropped = subscription.drop_counter();
        Ok(Messages { bodies: subscription.boxed(), dropped })
    }

    fn publishers(&self) -> usize {
        self.node.count_publishers(&self.topic).unwrap_or_default()
    }
}
