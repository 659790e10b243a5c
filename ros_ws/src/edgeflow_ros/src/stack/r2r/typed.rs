//! Generated types.

use super::{Node, Spinner, Subscription, fail, quality};
use crate::{
    endpoint::TypeId,
    error::{Error, Result},
    qos::QosProfile,
    queue::{Inbox, Queue, Reader},
    registry,
    service::ServiceRequest,
};
use futures::stream::{BoxStream, StreamExt};
use std::{
    sync::{Arc, Mutex, PoisonError},
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

/// r2r's types do not tell their names, but they live in modules of these names.
pub(crate) fn type_id<T: Message>() -> Option<TypeId> {
    let path = std::any::type_name::<T>().replace("::", "/");
    let name = path.rmatch_indices('/').nth(2).map_or(path.as_str(), |(at, _)| &path[at + 1..]);
    registry::message(name).ok().map(|ty| TypeId { name: ty.name, hash: ty.hash })
}

/// r2r's own may be sent but not shared between threads.
pub(crate) struct Publisher<T: Message>(Mutex<r2r::Publisher<T>>, String);

impl<T: Message> Publisher<T> {
    pub(crate) fn publish(&self, message: &T) -> Result<()> {
        let publisher = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        publisher.publish(message).map_err(fail(format!("publish on {}", self.1)))
    }

    pub(crate) fn subscriber_count(&self, _node: &Node) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_inter_process_subscription_count().unwrap_or(0)
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
        self.0.respond(response.clone()).map_err(fail("answer a service call"))
    }
}

pub(crate) struct Client<S: Service> {
    inner: Mutex<r2r::Client<S>>,
    name: String,
}

impl<S: Service> Client<S> {
    pub(crate) async fn call(&self, request: &S::Request, _timeout: Duration) -> Result<S::Response> {
        let failed = |e: r2r::Error| Error::ServiceCall { name: self.name.clone(), reason: e.to_string() };
        let answer = self.inner.lock().unwrap_or_else(PoisonError::into_inner).request(request).map_err(failed)?;
        answer.await.map_err(failed)
    }

    pub(crate) async fn available(&self, _node: &Node) -> Result<()> {
        let available = r2r::Node::is_available(&*self.inner.lock().unwrap_or_else(PoisonError::into_inner))
            .map_err(fail(format!("wait for service {}", self.name)))?;
        available.await.map_err(fail(format!("wait for service {}", self.name)))
    }
}

/// Serves on the node's thread, with a queue of ours: every caller waits for its answer, so none is dropped.
pub(super) fn serve<S: Service>(spinner: &Spinner, name: &str) -> Result<BoxStream<'static, ServiceRequest<S>>> {
    let inbox = Inbox::new(Queue::All { depth: usize::MAX });
    let (service, requests) = (name.to_string(), inbox.clone());
    let alive = spinner.with(move |turn| {
        let stream = turn.node.create_service::<S>(&service, r2r::QosProfile::services_default())?;
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

impl Node {
    pub(crate) fn publisher<T: Message>(&self, topic: &str, qos: QosProfile) -> Result<Publisher<T>> {
        let name = topic.to_string();
        let publisher = self.spinner.with(move |turn| turn.node.create_publisher(&name, quality(qos)))?;
        publisher.map(|p| Publisher(Mutex::new(p), topic.to_string())).map_err(fail(format!("publish on {topic}")))
    }

    pub(crate) fn subscribe<T: Message>(&self, topic: &str, qos: QosProfile, inbox: Arc<Inbox<Received<T>>>) -> Result<Subscription> {
        let name = topic.to_string();
        let alive = self.spinner.with(move |turn| {
            let stream = turn.node.subscribe::<T>(&name, quality(qos))?;
            Ok(turn.pump(stream, move |message| inbox.push(Received(message))))
        })?;
        alive.map_err(fail(format!("subscribe {topic}")))
    }

    pub(crate) fn service<S: Service>(&self, name: &str) -> Result<BoxStream<'static, ServiceRequest<S>>> {
        serve(&self.spinner, name)
    }

    pub(crate) fn client<S: Service>(&self, name: &str) -> Result<Client<S>> {
        let service = name.to_string();
        let client = self.spinner.with(move |turn| turn.node.create_client::<S>(&service, r2r::QosProfile::services_default()))?;
        client.map(|inner| Client { inner: Mutex::new(inner), name: name.to_string() }).map_err(fail(format!("call {name}")))
    }
}
