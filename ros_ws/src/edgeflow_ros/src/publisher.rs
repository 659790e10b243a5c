//! Publishing.

use crate::{
    error::Result,
    node::{Node, Watch},
    stack::{self, Message},
};
use std::time::Duration;

/// Publishes messages of one type on one topic. Share it in an `Arc`, it is used by reference.
pub struct Publisher<T: Message> {
    inner: stack::Publisher<T>,
    topic: String,
    node: Node,
}

impl<T: Message> Publisher<T> {
    pub(crate) fn new(node: &Node, topic: String, inner: stack::Publisher<T>) -> Self {
        Self { inner, topic, node: node.clone() }
    }

    /// Publishes a message. A reliable publisher waits when the network is behind.
    ///
    /// # Errors
    /// A message that cannot be encoded (a fixed array of another length), or a context shut down.
    pub fn publish(&self, message: &T) -> Result<()> {
        self.node.context().ensure_open(|| format!("publish on {}", self.topic))?;
        self.inner.publish(message)
    }

    /// Absolute name of the topic, after remaps.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Subscriptions of this topic, as far as this node knows.
    #[must_use]
    pub fn subscriber_count(&self) -> usize {
        self.inner.subscriber_count(&self.node.0.inner)
    }

    /// Waits until the topic has `count` subscriptions; whether it came to that in time.
    pub async fn wait_for_subscribers(&self, count: usize, timeout: Duration) -> bool {
        Watch::until(&self.node, timeout, || self.subscriber_count() >= count).await
    }
}
