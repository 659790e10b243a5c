//! Receiving messages as a stream.

use crate::{
    endpoint::Endpoint,
    error::Result,
    queue::{DropCounter, Inbox, Reader},
    stack::{self, Message},
};
use futures::{Stream, StreamExt, stream::BoxStream};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The messages of one topic, as a stream that ends when the context is shut down.
pub struct Subscription<T: Message> {
    messages: BoxStream<'static, T>,
    inbox: Arc<Inbox<stack::Received<T>>>,
    // After the stream: nothing arrives while it is torn down.
    _inner: stack::Subscription,
    endpoint: Arc<Endpoint>,
}

/// What arrives, decoded when it is its turn; what is malformed is skipped and said.
pub(crate) fn decoded<R: Send + 'static, T>(
    inbox: &Arc<Inbox<R>>,
    endpoint: &Endpoint,
    decode: impl Fn(R) -> Result<T> + Send + 'static,
) -> BoxStream<'static, T>
where
    T: Send + 'static,
{
    let topic = endpoint.topic.clone();
    let messages = Reader(inbox.clone()).filter_map(move |received| {
        let message = decode(received).inspect_err(|error| tracing::warn!(topic, %error, "skipped a malformed message"));
        std::future::ready(message.ok())
    });
    messages.take_until(endpoint.node.context().closed()).boxed()
}

impl<T: Message> Subscription<T> {
    pub(crate) fn new(endpoint: Arc<Endpoint>, inbox: Arc<Inbox<stack::Received<T>>>, inner: stack::Subscription) -> Self {
        Self { messages: decoded(&inbox, &endpoint, stack::Received::decode), inbox, _inner: inner, endpoint }
    }

    /// Messages which the queue has dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inbox.dropped.get()
    }

    /// A handle on the number of dropped messages, which outlives the subscription.
    #[must_use]
    pub fn drop_counter(&self) -> DropCounter {
        self.inbox.dropped.clone()
    }

    /// Messages that wait in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Absolute name of the topic, after remaps.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.endpoint.topic
    }
}

impl<T: Message> Stream for Subscription<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.messages.poll_next_unpin(cx)
    }
}
