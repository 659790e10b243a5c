//! Receiving messages as a stream.

use crate::{
    node::Node,
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
    topic: String,
    // After the stream: nothing arrives while it is torn down.
    _inner: stack::Subscription,
    _node: Node,
}

impl<T: Message> Subscription<T> {
    pub(crate) fn new(node: &Node, topic: String, inbox: Arc<Inbox<stack::Received<T>>>, inner: stack::Subscription) -> Self {
        let name = topic.clone();
        let messages = Reader(inbox.clone()).filter_map(move |received| {
            let message = received.decode().inspect_err(|error| tracing::warn!(topic = name, %error, "skipped a malformed message")).ok();
            std::future::ready(message)
        });
        let messages = messages.take_until(node.context().closed()).boxed();
        Self { messages, inbox, topic, _inner: inner, _node: node.clone() }
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
        &self.topic
    }
}

impl<T: Message> Stream for Subscription<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.messages.poll_next_unpin(cx)
    }
}
