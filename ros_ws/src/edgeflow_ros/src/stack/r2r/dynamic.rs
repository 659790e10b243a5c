//! Run-time types: messages as CDR, services as r2r's own JSON.

use super::{
    Node, Spinner, Subscription, calling, fail,
    foreign::Outlet,
    held::{Held, Presence, Present, answer},
    quality, reading,
};
use crate::{
    error::{Error, Result},
    qos::QosProfile,
    queue::Inbox,
    registry::{self, ServiceDescription, TypeDescription},
};
use futures::future::FutureExt;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// Little-endian CDR.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

pub(crate) struct RawPublisher {
    inner: Endpoint,
    topic: String,
}

enum Endpoint {
    /// r2r knows the type, and takes octets as they are.
    Compiled(Held<r2r::PublisherUntyped>),
    Foreign(Held<Box<dyn Outlet>>),
}

impl RawPublisher {
    pub(crate) fn publish_body(&self, body: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(ENCAPSULATION.len() + body.len());
        bytes.extend_from_slice(&ENCAPSULATION);
        bytes.extend_from_slice(body);
        let published = match &self.inner {
            Endpoint::Compiled(held) => held.with(|publisher| publisher.publish_raw(&bytes).map_err(|e| e.to_string())),
            Endpoint::Foreign(held) => held.with(|publisher| publisher.publish(&bytes)),
        };
        published.unwrap_or(Ok(())).map_err(|reason| Error::stack(format!("publish on {}", self.topic), reason))
    }

    pub(crate) fn subscriber_count(&self, _node: &Node) -> usize {
        let count = match &self.inner {
            Endpoint::Compiled(held) => held.with(|publisher| publisher.get_inter_process_subscription_count().unwrap_or(0)),
            Endpoint::Foreign(held) => held.with(|publisher| publisher.subscriber_count()),
        };
        count.unwrap_or(0)
    }
}

pub(crate) struct DynamicPublisher(RawPublisher, &'static TypeDescription);

impl DynamicPublisher {
    pub(crate) fn publish(&self, value: &Value) -> Result<()> {
        self.0.publish_body(&self.1.encode(value)?)
    }

    pub(crate) fn subscriber_count(&self, node: &Node) -> usize {
        self.0.subscriber_count(node)
    }
}

/// Encapsulation and body, or why there are none.
pub(crate) struct DynamicReceived(Result<Vec<u8>, String>);

impl DynamicReceived {
    pub(crate) fn decode(self, ty: &TypeDescription) -> Result<Value> {
        ty.decode(&self.into_body(ty.name)?)
    }

    pub(crate) fn into_body(self, type_name: &str) -> Result<Vec<u8>> {
        let fail = |reason: String| Error::Decode { type_name: type_name.into(), reason };
        let mut bytes = self.0.map_err(fail)?;
        if bytes.len() < ENCAPSULATION.len() || !bytes.starts_with(&ENCAPSULATION[..2]) {
            return Err(fail("it is not little-endian CDR".into()));
        }
        bytes.drain(..ENCAPSULATION.len());
        Ok(bytes)
    }
}

pub(crate) struct DynamicClient {
    inner: Mutex<r2r::ClientUntyped>,
    presence: Presence,
    spinner: Weak<Spinner>,
    name: String,
}

impl DynamicClient {
    pub(crate) async fn call(&self, ty: &ServiceDescription, request: &Value, _timeout: Duration) -> Result<Value> {
        let failed = |e: r2r::Error| Error::ServiceCall { name: self.name.clone(), reason: e.to_string() };
        let sent = self.inner.lock().unwrap_or_else(PoisonError::into_inner).request(request.clone()).map_err(failed)?;
        let response = answer(&self.spinner, &self.name, sent, || self.present()).await?.map_err(failed)?;
        ty.response().complete(&response)
    }

    fn present(&self) -> r2r::Result<Present> {
        self.presence.ask(|| r2r::Node::is_available(&*self.inner.lock().unwrap_or_else(PoisonError::into_inner)).map(FutureExt::boxed))
    }

    pub(crate) async fn available(&self, _node: &Node) -> Result<()> {
        let act = || format!("wait for service {}", self.name);
        let present = self.present().map_err(fail(act()))?;
        present.await.map_err(|error| Error::stack(act(), error))
    }
}

/// Whether r2r generated the type. rcl announces the definition that is installed, which is then the one compiled in: what somebody
/// else's site says of a type must be that, or bytes of one definition would be read as another.
fn compiled(type_name: &str, hash: &str) -> Result<bool> {
    match registry::compiled(type_name) {
        Some(ty) if ty.hash != hash => {
            Err(Error::OtherDefinition { type_name: type_name.into(), published: hash.into(), known: ty.hash.into() })
        }
        found => Ok(found.is_some()),
    }
}

impl Node {
    pub(crate) fn dynamic_publisher(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile) -> Result<DynamicPublisher> {
        self.raw_publisher(topic, ty.name, ty.hash, qos).map(|raw| DynamicPublisher(raw, ty))
    }

    pub(crate) fn raw_publisher(&self, topic: &str, type_name: &str, hash: &str, qos: QosProfile) -> Result<RawPublisher> {
        if !compiled(type_name, hash)? {
            let inner = Endpoint::Foreign(self.foreign_publisher(topic, type_name, hash, qos)?);
            return Ok(RawPublisher { inner, topic: topic.to_string() });
        }
        let (name, ty) = (topic.to_string(), type_name.to_string());
        let created = self.spinner.with(move |turn| turn.node.create_publisher_untyped(&name, &ty, quality(qos)))?;
        let inner = Held::new(created.map_err(fail(format!("publish on {topic}")))?, &self.spinner, |turn, publisher| {
            turn.node.destroy_publisher_untyped(publisher);
        });
        Ok(RawPublisher { inner: Endpoint::Compiled(inner), topic: topic.to_string() })
    }

    pub(crate) fn raw_subscribe(
        &self,
        topic: &str,
        type_name: &str,
        hash: &str,
        qos: QosProfile,
        inbox: Arc<Inbox<DynamicReceived>>,
    ) -> Result<Subscription> {
        if !compiled(type_name, hash)? {
            return self.foreign_subscribe(topic, type_name, hash, qos, Box::new(move |bytes| inbox.push(DynamicReceived(bytes))));
        }
        let (name, ty) = (topic.to_string(), type_name.to_string());
        let alive = self.spinner.with(move |turn| {
            let stream = turn.node.subscribe_raw(&name, &ty, reading(qos))?;
            Ok(turn.pump(stream, move |bytes| inbox.push(DynamicReceived(Ok(bytes)))))
        })?;
        alive.map_err(fail(format!("subscribe {topic}")))
    }

    pub(crate) fn dynamic_client(&self, service: &str, ty: &'static ServiceDescription) -> Result<DynamicClient> {
        let name = service.to_string();
        let client = self.spinner.with(move |turn| turn.node.create_client_untyped(&name, ty.name, calling()))?;
        let inner = Mutex::new(client.map_err(fail(format!("call {service}")))?);
        Ok(DynamicClient { inner, presence: Presence::default(), spinner: Arc::downgrade(&self.spinner), name: service.to_string() })
    }
}
