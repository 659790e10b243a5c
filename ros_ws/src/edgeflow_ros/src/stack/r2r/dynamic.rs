//! Run-time types: messages as CDR, services as r2r's own JSON.

use super::{Node, Subscription, fail, quality};
use crate::{
    error::{Error, Result},
    qos::QosProfile,
    queue::Inbox,
    registry::{ServiceDescription, TypeDescription},
};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Little-endian CDR.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

pub(crate) struct DynamicPublisher {
    inner: Mutex<r2r::PublisherUntyped>,
    ty: &'static TypeDescription,
    topic: String,
}

impl DynamicPublisher {
    pub(crate) fn publish(&self, value: &Value) -> Result<()> {
        let mut bytes = ENCAPSULATION.to_vec();
        bytes.extend(self.ty.encode(value)?);
        let publisher = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        publisher.publish_raw(&bytes).map_err(fail(format!("publish on {}", self.topic)))
    }

    pub(crate) fn subscriber_count(&self, _node: &Node) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).get_inter_process_subscription_count().unwrap_or(0)
    }
}

/// Encapsulation and body.
pub(crate) struct DynamicReceived(Vec<u8>);

impl DynamicReceived {
    pub(crate) fn decode(self, ty: &TypeDescription) -> Result<Value> {
        match self.0.strip_prefix(&ENCAPSULATION[..2]).and_then(|rest| rest.get(2..)) {
            Some(body) => ty.decode(body),
            None => Err(Error::Decode { type_name: ty.name.into(), reason: "it is not little-endian CDR".into() }),
        }
    }
}

pub(crate) struct DynamicClient {
    inner: Mutex<r2r::ClientUntyped>,
    name: String,
}

impl DynamicClient {
    pub(crate) async fn call(&self, ty: &ServiceDescription, request: &Value, _timeout: Duration) -> Result<Value> {
        let failed = |reason: String| Error::ServiceCall { name: self.name.clone(), reason };
        let answer =
            self.inner.lock().unwrap_or_else(PoisonError::into_inner).request(request.clone()).map_err(|e| failed(e.to_string()))?;
        let response = answer.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        ty.response().complete(&response)
    }

    pub(crate) async fn available(&self, _node: &Node) -> Result<()> {
        let available = r2r::Node::is_available(&*self.inner.lock().unwrap_or_else(PoisonError::into_inner))
            .map_err(fail(format!("wait for service {}", self.name)))?;
        available.await.map_err(fail(format!("wait for service {}", self.name)))
    }
}

impl Node {
    pub(crate) fn dynamic_publisher(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile) -> Result<DynamicPublisher> {
        let name = topic.to_string();
        let publisher = self.spinner.with(move |turn| turn.node.create_publisher_untyped(&name, ty.name, quality(qos)))?;
        publisher
            .map(|inner| DynamicPublisher { inner: Mutex::new(inner), ty, topic: topic.to_string() })
            .map_err(fail(format!("publish on {topic}")))
    }

    pub(crate) fn dynamic_subscribe(
        &self,
        topic: &str,
        ty: &'static TypeDescription,
        qos: QosProfile,
        inbox: Arc<Inbox<DynamicReceived>>,
    ) -> Result<Subscription> {
        let name = topic.to_string();
        let alive = self.spinner.with(move |turn| {
            let stream = turn.node.subscribe_raw(&name, ty.name, quality(qos))?;
            Ok(turn.pump(stream, move |bytes| inbox.push(DynamicReceived(bytes))))
        })?;
        alive.map_err(fail(format!("subscribe {topic}")))
    }

    pub(crate) fn dynamic_client(&self, service: &str, ty: &'static ServiceDescription) -> Result<DynamicClient> {
        let name = service.to_string();
        let client = self.spinner.with(move |turn| turn.node.create_client_untyped(&name, ty.name, r2r::QosProfile::services_default()))?;
        client.map(|inner| DynamicClient { inner: Mutex::new(inner), name: service.to_string() }).map_err(fail(format!("call {service}")))
    }
}
