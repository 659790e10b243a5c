//! The other end of the parameter services: another node's parameters, read and set.

use super::{
    ParameterValue,
    services::{from_wire, to_wire},
};
use crate::{
    client::Client,
    error::{Error, Result},
    messages::rcl_interfaces::{
        msg::{Parameter, ParameterDescriptor},
        srv::{DescribeParameters, GetParameters, ListParameters, SetParameters},
    },
    node::Node,
};
use std::time::Duration;

/// Another node's parameters. Each call waits for the node's answer for at most the time given to [`ParameterClient::new`].
pub struct ParameterClient {
    node: String,
    timeout: Duration,
    list: Client<ListParameters::Service>,
    get: Client<GetParameters::Service>,
    set: Client<SetParameters::Service>,
    describe: Client<DescribeParameters::Service>,
}

impl ParameterClient {
    /// For the node of this fully-qualified name, which need not be there yet.
    ///
    /// # Errors
    /// A name that is none, or a stack that refuses.
    pub fn new(node: &Node, fully_qualified_name: &str, timeout: Duration) -> Result<Self> {
        let service = |name: &str| format!("{fully_qualified_name}/{name}");
        Ok(Self {
            node: fully_qualified_name.to_string(),
            timeout,
            list: node.create_client(&service("list_parameters"))?,
            get: node.create_client(&service("get_parameters"))?,
            set: node.create_client(&service("set_parameters"))?,
            describe: node.create_client(&service("describe_parameters"))?,
        })
    }

    /// Names of all its parameters, sorted.
    ///
    /// # Errors
    /// No node of that name, or one that does not answer.
    pub async fn names(&self) -> Result<Vec<String>> {
        self.list.wait_for_service(self.timeout).await?;
        let mut names = self.list.call(&ListParameters::Request::default(), self.timeout).await?.result.names;
        names.sort_unstable();
        Ok(names)
    }

    /// Values by name, in the order asked; `None` for a parameter that has none.
    ///
    /// # Errors
    /// No node of that name, or one that does not answer.
    pub async fn get(&self, names: &[String]) -> Result<Vec<Option<ParameterValue>>> {
        self.get.wait_for_service(self.timeout).await?;
        let answer = self.get.call(&GetParameters::Request { names: names.to_vec() }, self.timeout).await?;
        // A node that allows no undeclared parameters answers with nothing when one of them is.
        let mut values = answer.values.into_iter().map(from_wire);
        Ok(names.iter().map(|_| values.next().flatten()).collect())
    }

    /// Sets one.
    ///
    /// # Errors
    /// [`Error::ParameterRefused`] with the node's reason; no node of that name, or one that does not answer.
    pub async fn set(&self, name: &str, value: &ParameterValue) -> Result<()> {
        self.set.wait_for_service(self.timeout).await?;
        let request = SetParameters::Request { parameters: vec![Parameter { name: name.to_string(), value: to_wire(value) }] };
        let answer = self.set.call(&request, self.timeout).await?;
        match answer.results.into_iter().next() {
            Some(result) if result.successful => Ok(()),
            other => {
                let reason = other.map(|result| result.reason).unwrap_or_default();
                Err(Error::ParameterRefused { node: self.node.clone(), name: name.to_string(), reason })
            }
        }
    }

    /// What is declared of parameters, in the order asked.
    ///
    /// # Errors
    /// No node of that name, or one that does not answer.
    pub async fn describe(&self, names: &[String]) -> Result<Vec<ParameterDescriptor>> {
        self.describe.wait_for_service(self.timeout).await?;
        Ok(self.describe.call(&DescribeParameters::Request { names: names.to_vec() }, self.timeout).await?.descriptors)
    }
}
