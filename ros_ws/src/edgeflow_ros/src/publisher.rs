//! Publishing.

use crate::{
    endpoint::Endpoint,
    error::Result,
    stack::{self, Message},
};
use std::{sync::Arc, time::Duration};

/// Publishes messages of one type on one topic. Share it in an `Arc`, it is used by reference.
pub struct Publisher<T: Message> {
    pub(crate) inner: stack::Publisher<T>,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl<T: Message> Publisher<T> {
    /// Publishes a message. A reliable publisher waits when the network is behind.
    ///
    /// # Errors
    /// A message that cannot be encoded (a fixed array of another length), or a context shut down.
    pub fn publish(&self, message: &T) -> Result<()> {
        self.endpoint.ensure_open()?;
        self.inner.publish(message)
    }

    /// Absolute name of the topic, after remaps.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.endpoint.topic
    }

    /// Subscriptions of this topic, as far as this node knows.
    #[must_use]
    pub fn subscriber_count(&self) -> usize {
        self.inner.subscriber_count(&self.endpoint.node.0.inner)
    }

    /// Waits until the topic has `count` subscriptions; whether it came to that in time.
    pub async fn wait_for_subscribers(&self, count: usize, timeout: Duration) -> bool {
        self.endpoint.wait_for_subscribers(count, timeout, || self.subscriber_count()).await
    }
}
