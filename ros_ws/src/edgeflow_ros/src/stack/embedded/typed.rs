//! Generated types on endpoints of bytes.

use super::{
    Node,
    client::RawClient,
    codec::{decode, decode_body, encode, encode_body},
    raw::{RawPublisher, RawReply, Subscription},
};
use crate::{
    endpoint::TypeId,
    error::Result,
    messages::{builtin_interfaces::msg::Time, unique_identifier_msgs::msg::UUID},
    qos::QosProfile,
    queue::Inbox,
    service::ServiceRequest,
};
use futures::stream::{BoxStream, StreamExt};
use hiroz::msg::ZDeserializer;
use serde::{Serialize, de::DeserializeOwned};
use std::{convert::Infallible, fmt::Debug, marker::PhantomData, sync::Arc, time::Duration};

/// A generated message type.
pub trait Message: Serialize + DeserializeOwned + Clone + Debug + Default + PartialEq + Send + Sync + Unpin + 'static {
    /// For instance `std_msgs/msg/String`.
    const TYPE_NAME: &'static str;
    /// As rosidl computes it: `RIHS01_` and 64 hex digits.
    const TYPE_HASH: &'static str;
}

/// A generated service type.
pub trait Service: Clone + Debug + Default + Send + Sync + Unpin + 'static {
    /// What is asked.
    type Request: Message;
    /// What is answered.
    type Response: Message;
    /// For instance `std_srvs/srv/Trigger`.
    const TYPE_NAME: &'static str;
    /// As rosidl computes it: `RIHS01_` and 64 hex digits.
    const TYPE_HASH: &'static str;
}

/// A generated action type. The messages and services between goal, feedback and result are rosidl's;
/// r2r's trait has these very items.
#[allow(missing_docs)]
pub trait Action: Clone + Debug + Default + Send + Sync + Unpin + 'static {
    /// What is asked.
    type Goal: Message;
    /// How it ended.
    type Result: Message;
    /// What is told on the way.
    type Feedback: Message;
    type FeedbackMessage: Message;
    type SendGoal: Service;
    type GetResult: Service;
    /// For instance `edgeflow_msgs/action/DeployModel`.
    const TYPE_NAME: &'static str;

    fn make_goal_request_msg(goal_id: UUID, goal: Self::Goal) -> <Self::SendGoal as Service>::Request;
    fn make_goal_response_msg(accepted: bool, stamp: Time) -> <Self::SendGoal as Service>::Response;
    fn make_feedback_msg(goal_id: UUID, feedback: Self::Feedback) -> Self::FeedbackMessage;
    fn make_result_request_msg(goal_id: UUID) -> <Self::GetResult as Service>::Request;
    fn make_result_response_msg(status: i8, result: Self::Result) -> <Self::GetResult as Service>::Response;
    fn destructure_goal_request_msg(msg: <Self::SendGoal as Service>::Request) -> (UUID, Self::Goal);
    fn destructure_goal_response_msg(msg: <Self::SendGoal as Service>::Response) -> (bool, Time);
    fn destructure_feedback_msg(msg: Self::FeedbackMessage) -> (UUID, Self::Feedback);
    fn destructure_result_response_msg(msg: <Self::GetResult as Service>::Response) -> (i8, Self::Result);
    fn destructure_result_request_msg(msg: <Self::GetResult as Service>::Request) -> UUID;
}

pub(crate) fn type_id<T: Message>() -> Option<TypeId> {
    Some(TypeId::of(T::TYPE_NAME, T::TYPE_HASH))
}

pub(crate) struct Publisher<T>(RawPublisher, PhantomData<fn(T)>);

impl<T: Message> Publisher<T> {
    pub(crate) fn publish(&self, message: &T) -> Result<()> {
        self.0.publish(encode(message)?)
    }

    pub(crate) fn subscriber_count(&self, node: &Node) -> usize {
        self.0.subscriber_count(node)
    }
}

/// A message as it came. It is decoded on the transport's thread, out of the transport's own memory: to keep its bytes until it
/// is its turn would copy them once more, which for an image is most of the work.
pub(crate) struct Received<T>(Result<T>);

impl<T: Message> Received<T> {
    pub(crate) fn decode(self) -> Result<T> {
        self.0
    }
}

/// How hiroz gets a message out of a sample. What is malformed is for the stream to say, which knows the topic.
struct Decoded<T>(PhantomData<fn() -> T>);

impl<T: Message> ZDeserializer for Decoded<T> {
    type Input<'a> = &'a [u8];
    type Output = Result<T>;
    type Error = Infallible;

    fn deserialize(sample: &[u8]) -> std::result::Result<Result<T>, Infallible> {
        Ok(decode(sample))
    }
}

pub(crate) struct Reply<S>(RawReply, PhantomData<fn(S)>);

impl<S: Service> Reply<S> {
    pub(crate) fn respond(self, response: &S::Response) -> Result<()> {
        self.0.respond(encode_body(response)?)
    }
}

pub(crate) struct Client<S>(RawClient, PhantomData<fn(S)>);

impl<S: Service> Client<S> {
    pub(crate) async fn call(&self, request: &S::Request, timeout: Duration) -> Result<S::Response> {
        decode_body(&self.0.call(encode_body(request)?, timeout).await?)
    }

    pub(crate) async fn available(&self, node: &Node) -> Result<()> {
        self.0.available(node).await
    }
}

impl Node {
    pub(crate) fn publisher<T: Message>(&self, topic: &str, qos: QosProfile) -> Result<Publisher<T>> {
        self.raw_publisher(topic, T::TYPE_NAME, T::TYPE_HASH, qos).map(|raw| Publisher(raw, PhantomData))
    }

    pub(crate) fn subscribe<T: Message>(&self, topic: &str, qos: QosProfile, inbox: Arc<Inbox<Received<T>>>) -> Result<Subscription> {
        self.subscribe_as::<Decoded<T>>(topic, T::TYPE_NAME, T::TYPE_HASH, qos, move |message| inbox.push(Received(message)))
    }

    pub(crate) fn service<S: Service>(&self, name: &str) -> Result<BoxStream<'static, ServiceRequest<S>>> {
        let service: Arc<str> = name.into();
        let requests = self.raw_service(name, S::TYPE_NAME, S::TYPE_HASH)?;
        Ok(requests
            .filter_map(move |(body, reply)| {
                let message = decode_body(&body).inspect_err(|error| tracing::warn!(%service, %error, "skipped a malformed request"));
                std::future::ready(message.ok().map(|message| ServiceRequest { message, reply: Reply(reply, PhantomData) }))
            })
            .boxed())
    }

    pub(crate) fn client<S: Service>(&self, name: &str) -> Result<Client<S>> {
        self.raw_client(name, S::TYPE_NAME, S::TYPE_HASH).map(|raw| Client(raw, PhantomData))
    }
}
