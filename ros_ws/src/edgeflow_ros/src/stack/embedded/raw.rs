//! Endpoints of bytes: what hiroz sees of any type. Run-time types live on them directly.

use super::{Node, client::RawClient, codec::ENCAPSULATION, quality};
use crate::{
    error::{Error, Result},
    qos::{Durability, QosProfile},
    queue::Inbox,
    registry::{ServiceDescription, TypeDescription},
};
use byteorder::ByteOrder;
use futures::stream::{self, BoxStream, StreamExt};
use hiroz::{
    Builder, TypeHash, TypeInfo,
    entity::EndpointKind,
    msg::{NativeCdrSerdes, ZDeserializer, ZService},
    pubsub::{ZPub, ZSub},
    service::ServiceReply,
};
use hiroz_cdr::{CdrBuffer, CdrDeserialize, CdrReader, CdrSerialize, CdrSerializedSize, CdrWriter};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use zenoh::sample::Sample;

/// The body of a message, without encapsulation.
pub(super) struct Raw(pub(super) Vec<u8>);

type Serdes = NativeCdrSerdes<Raw>;

impl CdrSerialize for Raw {
    fn cdr_serialize<BO: ByteOrder, B: CdrBuffer>(&self, writer: &mut CdrWriter<'_, BO, B>) {
        writer.buffer_mut().extend_from_slice(&self.0);
    }
}

impl CdrDeserialize for Raw {
    fn cdr_deserialize<BO: ByteOrder>(reader: &mut CdrReader<'_, BO>) -> hiroz_cdr::Result<Self> {
        let remaining = reader.remaining();
        reader.read_bytes(remaining).map(|bytes| Self(bytes.to_vec()))
    }
}

impl CdrSerializedSize for Raw {
    fn cdr_serialized_size(&self, position: usize) -> usize {
        position + self.0.len()
    }
}

/// A service of bytes.
pub(super) struct RawService;

impl ZService for RawService {
    type Request = Raw;
    type Response = Raw;
}

/// What hiroz wants to know of a type: its DDS name and its hash.
pub(super) fn type_info(name: &str, hash: &str) -> Result<TypeInfo> {
    let dds = match name.rsplit_once('/') {
        Some((package, name)) => format!("{}::dds_::{name}_", package.replace('/', "::")),
        None => name.to_string(),
    };
    let hash = TypeHash::from_rihs_string(hash)
        .ok_or_else(|| Error::stack(format!("read the type hash of {name}"), format!("{hash} is no RIHS01 hash")))?;
    Ok(TypeInfo::new(&dds, hash))
}

/// Keeps a subscription alive.
pub(crate) struct Subscription {
    _inner: Box<dyn Send + Sync>,
}

impl Subscription {
    pub(super) fn new(inner: impl Send + Sync + 'static) -> Self {
        Self { _inner: Box::new(inner) }
    }
}

impl Node {
    pub(crate) fn raw_publisher(&self, topic: &str, name: &str, hash: &str, qos: QosProfile) -> Result<RawPublisher> {
        let builder = self.0.create_pub_impl::<Raw>(topic, Some(type_info(name, hash)?)).with_qos(quality(qos));
        let inner = builder.build().map_err(|e| Error::stack(format!("publish on {topic}"), e))?;
        Ok(RawPublisher { inner, topic: topic.to_string() })
    }

    /// `deliver` gets each message as `S` gives it, on the transport's own thread.
    pub(super) fn subscribe_as<S>(
        &self,
        topic: &str,
        name: &str,
        hash: &str,
        qos: QosProfile,
        deliver: impl Fn(S::Output) + Send + Sync + 'static,
    ) -> Result<Subscription>
    where
        S: for<'a> ZDeserializer<Input<'a> = &'a [u8]> + 'static,
        ZSub<Raw, (), S>: Send + Sync,
    {
        let (type_info, fail) = (type_info(name, hash)?, |e| Error::stack(format!("subscribe {topic}"), e));
        if qos.durability == Durability::TransientLocal {
            let of = topic.to_owned();
            let read = move |sample: Sample| match S::deserialize(&sample.payload().to_bytes()) {
                Ok(message) => deliver(message),
                Err(error) => tracing::warn!(topic = %of, %error, "skipped a malformed message"),
            };
            return self.subscribe_latched(topic, type_info, qos, read).map_err(fail);
        }
        let builder = self.0.create_sub_impl::<Raw>(topic, Some(type_info)).with_qos(quality(qos)).with_serdes::<S>();
        builder.build_with_callback(deliver).map(Subscription::new).map_err(fail)
    }

    pub(super) fn raw_service(&self, service: &str, name: &str, hash: &str) -> Result<BoxStream<'static, (Vec<u8>, RawReply)>> {
        // hiroz's own queue would drop the oldest request at 10: unbounded, since every caller waits for its answer.
        let qos = quality(QosProfile::services_default().keep_all());
        let builder = self.0.create_service_impl::<RawService>(service, Some(type_info(name, hash)?)).with_qos(qos);
        let server = builder.build().map_err(|e| Error::stack(format!("serve {service}"), e))?;
        let service: Arc<str> = service.into();
        Ok(stream::unfold((server, service), |(mut server, service)| async move {
            loop {
                match server.async_take_request().await {
                    Ok(request) => {
                        let (raw, inner) = request.into_parts();
                        let reply = RawReply { inner, service: service.clone() };
                        return Some(((raw.0, reply), (server, service)));
                    }
                    Err(error) => tracing::warn!(%service, %error, "skipped a malformed request"),
                }
            }
        })
        .boxed())
    }
}

pub(crate) struct RawPublisher {
    inner: ZPub<Raw, Serdes>,
    topic: String,
}

impl RawPublisher {
    /// Encapsulation and body.
    pub(super) fn publish(&self, bytes: Vec<u8>) -> Result<()> {
        self.inner.publish_serialized(bytes).map_err(|e| Error::stack(format!("publish on {}", self.topic), e))
    }

    pub(crate) fn publish_body(&self, body: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(ENCAPSULATION.len() + body.len());
        bytes.extend_from_slice(&ENCAPSULATION);
        bytes.extend_from_slice(body);
        self.publish(bytes)
    }

    pub(crate) fn subscriber_count(&self, node: &Node) -> usize {
        node.graph().count(EndpointKind::Subscription, &self.topic)
    }
}

pub(super) struct RawReply {
    inner: ServiceReply<RawService>,
    service: Arc<str>,
}

impl RawReply {
    pub(super) fn respond(self, body: Vec<u8>) -> Result<()> {
        self.inner.reply_blocking(&Raw(body)).map_err(|e| Error::stack(format!("answer a call of {}", self.service), e))
    }
}

/// Publishes values of a run-time type.
pub(crate) struct DynamicPublisher(RawPublisher, &'static TypeDescription);

impl DynamicPublisher {
    pub(crate) fn publish(&self, value: &Value) -> Result<()> {
        let mut bytes = ENCAPSULATION.to_vec();
        bytes.extend(self.1.encode(value)?);
        self.0.publish(bytes)
    }

    pub(crate) fn subscriber_count(&self, node: &Node) -> usize {
        self.0.subscriber_count(node)
    }
}

/// A message of a run-time type as it came.
pub(crate) struct DynamicReceived(Vec<u8>);

impl DynamicReceived {
    /// Without encapsulation already; the other stack has one to look at.
    pub(crate) fn into_body(self, _type_name: &str) -> Result<Vec<u8>> {
        Ok(self.0)
    }

    pub(crate) fn decode(self, ty: &TypeDescription) -> Result<Value> {
        ty.decode(&self.0)
    }
}

/// Calls a service of a run-time type.
pub(crate) struct DynamicClient(RawClient);

impl DynamicClient {
    pub(crate) async fn call(&self, ty: &ServiceDescription, request: &Value, timeout: Duration) -> Result<Value> {
        let response = self.0.call(ty.request().encode(request)?, timeout).await?;
        ty.response().decode(&response)
    }

    pub(crate) async fn available(&self, node: &Node) -> Result<()> {
        self.0.available(node).await
    }
}

impl Node {
    pub(crate) fn dynamic_publisher(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile) -> Result<DynamicPublisher> {
        self.raw_publisher(topic, ty.name, ty.hash, qos).map(|raw| DynamicPublisher(raw, ty))
    }

    pub(crate) fn raw_subscribe(
        &self,
        topic: &str,
        type_name: &str,
        hash: &str,
        qos: QosProfile,
        inbox: Arc<Inbox<DynamicReceived>>,
    ) -> Result<Subscription> {
        self.subscribe_as::<Serdes>(topic, type_name, hash, qos, move |Raw(body)| inbox.push(DynamicReceived(body)))
    }

    pub(crate) fn dynamic_client(&self, service: &str, ty: &ServiceDescription) -> Result<DynamicClient> {
        self.raw_client(service, ty.name, ty.hash).map(DynamicClient)
    }
}
