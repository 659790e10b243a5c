//! Serving requests as a stream.

use crate::{
    error::Result,
    node::Node,
    stack::{self, Service},
};
use futures::{Stream, StreamExt, stream::BoxStream};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// The requests to one service, as a stream that ends when the context is shut down. Requests can be
/// answered in any order and from any task.
pub struct ServiceStream<S: Service> {
    requests: BoxStream<'static, ServiceRequest<S>>,
    name: String,
    _node: Node,
}

impl<S: Service> ServiceStream<S> {
    pub(crate) fn new(node: &Node, name: String, requests: BoxStream<'static, ServiceRequest<S>>) -> Self {
        let requests = requests.take_until(node.context().closed()).boxed();
        Self { requests, name, _node: node.clone() }
    }

    /// Absolute name of the service, after remaps.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<S: Service> Stream for ServiceStream<S> {
    type Item = ServiceRequest<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServiceRequest<S>>> {
        self.requests.poll_next_unpin(cx)
    }
}

/// One request. Dropped without an answer, it leaves the caller waiting for its time-out.
#[must_use = "a request wants an answer"]
pub struct ServiceRequest<S: Service> {
    /// What was asked.
    pub message: S::Request,
    pub(crate) reply: stack::Reply<S>,
}

impl<S: Service> ServiceRequest<S> {
    /// Answers.
    ///
    /// # Errors
    /// A response that cannot be encoded, or a context shut down.
    pub fn respond(self, response: S::Response) -> Result<()> {
        self.reply.respond(&response)
    }
}
