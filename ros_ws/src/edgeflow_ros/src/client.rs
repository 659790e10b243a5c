//! Calling services.

use crate::{
    error::{Error, Result},
    node::{Node, Watch},
    stack::{self, Service},
};
use std::time::Duration;

/// Calls one service. Calls may run concurrently.
pub struct Client<S: Service> {
    inner: stack::Client<S>,
    name: String,
    node: Node,
}

impl<S: Service> Client<S> {
    pub(crate) fn new(node: &Node, name: String, inner: stack::Client<S>) -> Self {
        Self { inner, name, node: node.clone() }
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

    /// Calls and waits for the answer.
    ///
    /// # Errors
    /// No answer in time, no server, a request that cannot be encoded or an answer that cannot be decoded.
    pub async fn call(&self, request: &S::Request, timeout: Duration) -> Result<S::Response> {
        self.node.context().ensure_open(|| format!("call {}", self.name))?;
        match tokio::time::timeout(timeout, self.inner.call(request, timeout)).await {
            Ok(response) => response,
            Err(_) => Err(Error::ServiceTimeout { name: self.name.clone(), timeout }),
        }
    }
}
