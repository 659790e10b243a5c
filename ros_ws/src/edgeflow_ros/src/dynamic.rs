//! Publishers, subscriptions and clients for types known by name at run time, as the command line needs them.

use crate::{
    endpoint::{Endpoint, TypeId},
    error::{Error, Result},
    node::{Node, Watch},
    queue::{DropCounter, Inbox},
    registry::{ServiceDescription, TypeDescription},
    stack,
    subscription::decoded,
};
use futures::{Stream, StreamExt, stream::BoxStream};
use serde_json::Value;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Publishes values of a type known by name.
pub struct DynamicPublisher {
    pub(crate) inner: stack::DynamicPublisher,
    pub(crate) ty: &'static TypeDescription,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl DynamicPublisher {
    /// Publishes a value; missing fields have their defaults.
    ///
    /// # Errors
    /// A value that does not fit the type, or a context shut down.
    pub fn publish(&self, value: &Value) -> Result<()> {
        self.endpoint.ensure_open()?;
        self.inner.publish(&self.ty.complete(value)?)
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

/// Values of a type known by name.
pub struct DynamicSubscription {
    values: BoxStream<'static, Value>,
    inbox: Arc<Inbox<stack::DynamicReceived>>,
    _inner: stack::Subscription,
    endpoint: Arc<Endpoint>,
}

impl DynamicSubscription {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        ty: &'static TypeDescription,
        inbox: Arc<Inbox<stack::DynamicReceived>>,
        inner: stack::Subscription,
    ) -> Self {
        Self { values: decoded(&inbox, &endpoint, |received| received.decode(ty)), inbox, _inner: inner, endpoint }
    }

    /// Absolute name of the topic, after remaps.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.endpoint.topic
    }

    /// A handle on the number of dropped messages, which outlives the subscription.
    #[must_use]
    pub fn drop_counter(&self) -> DropCounter {
        self.inbox.dropped.clone()
    }
}

impl Stream for DynamicSubscription {
    type Item = Value;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Value>> {
        self.values.poll_next_unpin(cx)
    }
}

/// Messages of a type known by name, as bytes: for who wants little of them, see [`Projection`](crate::registry::Projection).
pub struct RawSubscription {
    bodies: BoxStream<'static, Vec<u8>>,
    inbox: Arc<Inbox<stack::DynamicReceived>>,
    _inner: stack::Subscription,
    endpoint: Arc<Endpoint>,
}

impl RawSubscription {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        type_name: &str,
        inbox: Arc<Inbox<stack::DynamicReceived>>,
        inner: stack::Subscription,
    ) -> Self {
        let type_name = type_name.to_owned();
        let bodies = decoded(&inbox, &endpoint, move |received: stack::DynamicReceived| received.into_body(&type_name));
        Self { bodies, inbox, _inner: inner, endpoint }
    }

    /// Absolute name of the topic, after remaps.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.endpoint.topic
    }

    /// A handle on the number of dropped messages, which outlives the subscription.
    #[must_use]
    pub fn drop_counter(&self) -> DropCounter {
        self.inbox.dropped.clone()
    }
}

impl Stream for RawSubscription {
    /// A CDR body, without encapsulation.
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.bodies.poll_next_unpin(cx)
    }
}

/// A type by its name, for instance `std_msgs/msg/String`, and its hash (`RIHS01_` and 64 hex digits), as publishers and
/// subscriptions show them: all that is needed to carry messages which nobody here reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawType {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
}

impl RawType {
    pub(crate) fn id(&self) -> TypeId {
        TypeId { name: self.name.clone().into(), hash: self.hash.clone().into() }
    }
}

impl From<&TypeDescription> for RawType {
    fn from(ty: &TypeDescription) -> Self {
        Self { name: ty.name.to_owned(), hash: ty.hash.to_owned() }
    }
}

/// Publishes messages as bytes.
pub struct RawPublisher {
    pub(crate) inner: stack::RawPublisher,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl RawPublisher {
    /// Publishes a CDR body, without encapsulation, as a [`RawSubscription`] gives it. What it holds is not looked at.
    ///
    /// # Errors
    /// A stack that refuses, or a context shut down.
    pub fn publish(&self, body: &[u8]) -> Result<()> {
        self.endpoint.ensure_open()?;
        self.inner.publish_body(body)
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

/// Calls a service whose type is known by name.
pub struct DynamicClient {
    inner: stack::DynamicClient,
    name: String,
    ty: &'static ServiceDescription,
    node: Node,
}

impl DynamicClient {
    pub(crate) fn new(node: &Node, name: String, ty: &'static ServiceDescription, inner: stack::DynamicClient) -> Self {
        Self { inner, name, ty, node: node.clone() }
    }

    /// Absolute name of the service, after remaps.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a server is there.
    ///
    /// # Errors
    /// [`Error::ServiceUnavailable`] when none came in time.
    pub async fn wait_for_service(&self, timeout: Duration) -> Result<()> {
        Watch::service(&self.node, &self.name, timeout, self.inner.available(&self.node.0.inner)).await
    }

    /// Calls and waits for the answer; missing fields of the request have their defaults.
    ///
    /// # Errors
    /// A request that does not fit the type, no answer in time, no server, or a context shut down.
    pub async fn call(&self, request: &Value, timeout: Duration) -> Result<Value> {
        self.node.context().ensure_open(|| format!("call {}", self.name))?;
        let request = self.ty.request().complete(request)?;
        match tokio::time::timeout(timeout, self.inner.call(self.ty, &request, timeout)).await {
            Ok(response) => response,
            Err(_) => Err(Error::ServiceTimeout { name: self.name.clone(), timeout }),
        }
    }
}
