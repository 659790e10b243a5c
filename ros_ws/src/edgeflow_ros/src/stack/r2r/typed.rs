//! Generated types.

use super::{
    Node, Spinner, Subscription, calling, fail,
    held::{Held, Presence, Present, answer},
    lengths::Lengths,
    quality, reading,
};
use crate::{
    endpoint::TypeId,
    error::{Error, Result},
    qos::QosProfile,
    queue::{Inbox, Queue, Reader},
    registry,
    service::ServiceRequest,
};
use futures::{
    future::FutureExt,
    stream::{BoxStream, StreamExt},
};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// A generated message type.
pub trait Message: r2r::WrappedTypesupport + PartialEq + Send + Sync + Unpin + 'static {}

impl<T: r2r::WrappedTypesupport + PartialEq + Send + Sync + Unpin + 'static> Message for T {}

/// A generated service type.
pub trait Service: r2r::WrappedServiceTypeSupport<Request: Message, Response: Message> + Send + Sync + Unpin + 'static {}

impl<S: r2r::WrappedServiceTypeSupport<Request: Message, Response: Message> + Send + Sync + Unpin + 'static> Service for S {}

/// A generated action type.
pub trait Action:
    r2r::WrappedActionTypeSupport<
        Goal: Message,
        Result: Message,
        Feedback: Message,
        FeedbackMessage: Message,
        SendGoal: Service,
        GetResult: Service,
    > + Send
    + Sync
    + Unpin
    + 'static
{
}

impl<A> Action for A where
    A: r2r::WrappedActionTypeSupport<
            Goal: Message,
            Result: Message,
            Feedback: Message,
            FeedbackMessage: Message,
            SendGoal: Service,
            GetResult: Service,
        > + Send
        + Sync
        + Unpin
        + 'static
{
}

/// r2r's types do not tell their names, but they live in modules of these names:
/// `..::std_srvs::srv::SetBool::Request` is `std_srvs/srv/SetBool_Request`.
pub(crate) fn type_id<T: Message>() -> Option<TypeId> {
    let path: Vec<_> = std::any::type_name::<T>().split("::").collect();
    let kind = path.iter().rposition(|module| matches!(*module, "msg" | "srv" | "action"))?;
    let name = format!("{}/{}/{}", path.get(kind.checked_sub(1)?)?, path[kind], path[kind + 1..].join("_"));
    registry::message(&name).ok().map(|ty| TypeId::of(ty.name, ty.hash))
}

/// Encapsulation and body, as published.
pub(crate) fn encode<T: Message>(message: &T) -> Result<Vec<u8>> {
    Lengths::of::<T>().check(message)?;
    message.to_serialized_bytes().map_err(|e| Error::Encode { type_name: type_name::<T>(), reason: e.to_string() })
}

/// The message of encapsulation and body.
pub(crate) fn decode<T: Message>(bytes: &[u8]) -> Result<T> {
    T::from_serialized_bytes(bytes).map_err(|e| Error::Decode { type_name: type_name::<T>(), reason: e.to_string() })
}

fn type_name<T: Message>() -> String {
    type_id::<T>().map_or_else(|| std::any::type_name::<T>().to_owned(), |id| id.name.into_owned())
}

pub(crate) struct Publisher<T: Message> {
    inner: Held<r2r::Publisher<T>>,
    lengths: Lengths,
    topic: String,
}

impl<T: Message> Publisher<T> {
    pub(crate) fn publish(&self, message: &T) -> Result<()> {
        self.lengths.check(message)?;
        self.inner.with(|publisher| publisher.publish(message)).unwrap_or(Ok(())).map_err(fail(format!("publish on {}", self.topic)))
    }

    pub(crate) fn subscriber_count(&self, _node: &Node) -> usize {
        self.inner.with(|publisher| publisher.get_inter_process_subscription_count().unwrap_or(0)).unwrap_or(0)
    }
}

/// A message as it came.
pub(crate) struct Received<T>(T);

impl<T: Message> Received<T> {
    pub(crate) fn decode(self) -> Result<T> {
        Ok(self.0)
    }
}

pub(crate) struct Reply<S: Service>(r2r::ServiceRequest<S>);

impl<S: Service> Reply<S> {
    pub(crate) fn respond(self, response: &S::Response) -> Result<()> {
        Lengths::of::<S::Response>().check(response)?;
        self.0.respond(response.clone()).map_err(fail("answer a service call"))
    }
}

pub(crate) struct Client<S: Service> {
    inner: Mutex<r2r::Client<S>>,
    presence: Presence,
    spinner: Weak<Spinner>,
    lengths: Lengths,
    name: String,
}

impl<S: Service> Client<S> {
    pub(crate) async fn call(&self, request: &S::Request, _timeout: Duration) -> Result<S::Response> {
        self.lengths.check(request)?;
        let failed = |e: r2r::Error| Error::ServiceCall { name: self.name.clone(), reason: e.to_string() };
        let sent = self.inner.lock().unwrap_or_else(PoisonError::into_inner).request(request).map_err(failed)?;
        answer(&self.spinner, &self.name, sent, || self.present()).await
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

impl Node {
    pub(crate) fn publisher<T: Message>(&self, topic: &str, qos: QosProfile) -> Result<Publisher<T>> {
        let name = topic.to_string();
        let created = self.spinner.with(move |turn| turn.node.create_publisher::<T>(&name, quality(qos)))?;
        let inner = Held::new(created.map_err(fail(format!("publish on {topic}")))?, &self.spinner, |turn, publisher| {
            turn.node.destroy_publisher(publisher);
        });
        Ok(Publisher { inner, lengths: Lengths::of::<T>(), topic: topic.to_string() })
    }

    pub(crate) fn subscribe<T: Message>(&self, topic: &str, qos: QosProfile, inbox: Arc<Inbox<Received<T>>>) -> Result<Subscription> {
        let name = topic.to_string();
        let alive = self.spinner.with(move |turn| {
            let stream = turn.node.subscribe::<T>(&name, reading(qos))?;
            Ok(turn.pump(stream, move |message| inbox.push(Received(message))))
        })?;
        alive.map_err(fail(format!("subscribe {topic}")))
    }

    /// Serves on the node's thread, with a queue of ours: every caller waits for its answer, so none is dropped.
    pub(crate) fn service<S: Service>(&self, name: &str) -> Result<BoxStream<'static, ServiceRequest<S>>> {
        let inbox = Inbox::new(Queue::All { depth: usize::MAX });
        let (service, requests) = (name.to_string(), inbox.clone());
        let alive = self.spinner.with(move |turn| {
            let stream = turn.node.create_service::<S>(&service, calling())?;
            Ok(turn.pump(stream, move |request: r2r::ServiceRequest<S>| {
                requests.push(ServiceRequest { message: request.message.clone(), reply: Reply(request) })
            }))
        })?;
        let alive = alive.map_err(fail(format!("serve {name}")))?;
        Ok(Reader(inbox)
            .map(move |request| {
                let _held = &alive;
                request
            })
            .boxed())
    }

    pub(crate) fn client<S: Service>(&self, name: &str) -> Result<Client<S>> {
        let service = name.to_string();
        let client = self.spinner.with(move |turn| turn.node.create_client::<S>(&service, calling()))?;
        let inner = Mutex::new(client.map_err(fail(format!("call {name}")))?);
        Ok(Client {
            inner,
            presence: Presence::default(),
            spinner: Arc::downgrade(&self.spinner),
            lengths: Lengths::of::<S::Request>(),
            name: name.to_string(),
        })
    }
}
