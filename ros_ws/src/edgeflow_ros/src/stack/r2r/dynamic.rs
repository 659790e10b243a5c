//! Run-time types: messages as CDR, services as r2r's own JSON.

use super::{
    Node, Spinner, Subscription, calling, fail,
    held::{Held, answer},
    quality, reading,
};
use crate::{
    error::{Error, Result},
    qos::QosProfile,
    queue::Inbox,
    registry::{ServiceDescription, TypeDescription},
};
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// Little-endian CDR.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

pub(crate) struct DynamicPublisher {
    inner: Held<r2r::PublisherUntyped>,
    ty: &'static TypeDescription,
    topic: String,
}

impl DynamicPublisher {
    pub(crate) fn publish(&self, value: &Value) -> Result<()> {
        let mut bytes = ENCAPSULATION.to_vec();
        bytes.extend(self.ty.encode(value)?);
        self.inner.with(|publisher| publisher.publish_raw(&bytes)).unwrap_or(Ok(())).map_err(fail(format!("publish on {}", self.topic)))
    }

    pub(crate) fn subscriber_count(&self, _node: &Node) -> usize {
        self.inner.with(|publisher| publisher.get_inter_process_subscription_count().unwrap_or(0)).unwrap_or(0)
    }
}

/// Encapsulation and body.
pub(crate) struct DynamicReceived(Vec<u8>);

impl DynamicReceived {
    pub(crate) fn decode(self, ty: &TypeDescription) -> Result<Value> {
        ty.decode(&self.into_body(ty)?)
    }

    pub(crate) fn into_body(mut self, ty: &TypeDescription) -> Result<Vec<u8>> {
        if self.0.len() < ENCAPSULATION.len() || !self.0.starts_with(&ENCAPSULATION[..2]) {
            return Err(Error::Decode { type_name: ty.name.into(), reason: "it is not little-endian CDR".into() });
        }
        self.0.drain(..ENCAPSULATION.len());
        Ok(self.0)
    }
}

pub(crate) struct DynamicClient {
    inner: Mutex<r2r::ClientUntyped>,
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

    fn present(&self) -> r2r::Result<BoxFuture<'static, r2r::Result<()>>> {
        let client = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        r2r::Node::is_available(&*client).map(FutureExt::boxed)
    }

    pub(crate) async fn available(&self, _node: &Node) -> Result<()> {
        let present = self.present().map_err(fail(format!("wait for service {}", self.name)))?;
        present.await.map_err(fail(format!("wait for service {}", self.name)))
    }
}

impl Node {
    pub(crate) fn dynamic_publisher(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile) -> Result<DynamicPublisher> {
        let name = topic.to_string();
        let created = self.spinner.with(move |turn| turn.node.create_publisher_untyped(&name, ty.name, quality(qos)))?;
        let inner = Held::new(created.map_err(fail(format!("publish on {topic}")))?, &self.spinner, |turn, publisher| {
            turn.node.destroy_publisher_untyped(publisher);
        });
        Ok(DynamicPublisher { inner, ty, topic: topic.to_string() })
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
            let stream = turn.node.subscribe_raw(&name, ty.name, reading(qos))?;
            Ok(turn.pump(stream, move |bytes| inbox.push(DynamicReceived(bytes))))
        })?;
        alive.map_err(fail(format!("subscribe {topic}")))
    }

    pub(crate) fn dynamic_client(&self, service: &str, ty: &'static ServiceDescription) -> Result<DynamicClient> {
        let name = service.to_string();
        let client = self.spinner.with(move |turn| turn.node.create_client_untyped(&name, ty.name, calling()))?;
        let inner = Mutex::new(client.map_err(fail(format!("call {service}")))?);
        Ok(DynamicClient { inner, spinner: Arc::downgrade(&self.spinner), name: service.to_string() })
    }
}
