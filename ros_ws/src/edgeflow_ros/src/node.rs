//! A node: what publishes, subscribes, serves, calls and has parameters under one name.

use crate::{
    Client, Publisher, ServiceStream, Subscription,
    context::Context,
    dynamic::{DynamicClient, DynamicPublisher, DynamicSubscription, RawPublisher, RawSubscription, RawType},
    endpoint::{Endpoint, Side, TypeId},
    error::{Error, Result},
    logging::RosoutPublisher,
    messages::builtin_interfaces,
    names,
    parameters::{self, Entry, ParameterBuilder, ParameterServer, ParameterType, ParameterValue},
    qos::{EndpointInfo, QosProfile},
    queue::{Inbox, Queue},
    registry::{self, TypeDescription},
    stack::{self, Message, Service},
    time::{TimeSource, USE_SIM_TIME, system_now},
    type_description::{self, TypeDescriptions},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// A ROS 2 node. Clones are the same node; it leaves the graph when the last clone and everything
/// created from it are gone, or when its context is shut down.
#[derive(Clone)]
pub struct Node(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    context: Context,
    _rosout: Option<RosoutPublisher>,
    pub(crate) inner: stack::Node,
    name: String,
    namespace: String,
    fully_qualified_name: String,
    /// Given from outside, whether or not the node declares them.
    given: BTreeMap<String, ParameterValue>,
    parameters: ParameterServer,
    _types: TypeDescriptions,
    /// Set as soon as there is a node to hold on to.
    time: OnceLock<TimeSource>,
}

/// A topic's or service's name as the node's code has it, and as it ends up.
struct Name<'a> {
    /// Only where the stack remaps.
    given: Option<&'a str>,
    absolute: String,
}

impl Name<'_> {
    /// A stack that remaps by itself must not get what is remapped already.
    fn for_stack(&self) -> &str {
        self.given.unwrap_or(&self.absolute)
    }
}

impl Inner {
    /// The name of a "topic" or "service" as the stack wants it.
    pub(crate) fn for_stack(&self, kind: &'static str, name: &str) -> Result<String> {
        for_stack(&self.context, kind, name, &self.namespace, &self.name)
    }
}

fn for_stack(context: &Context, kind: &'static str, name: &str, namespace: &str, node: &str) -> Result<String> {
    if context.0.session.remaps() { Ok(name.into()) } else { context.0.arguments.remaps.resolve(kind, name, namespace, node) }
}

impl Node {
    /// Joins the graph. `__node` and `__ns` of the command line replace name and namespace.
    ///
    /// # Errors
    /// An invalid name, a context shut down, or a stack that refuses.
    pub fn create(context: &Context, name: &str, namespace: &str) -> Result<Self> {
        context.ensure_open(|| format!("create node {name}"))?;
        let arguments = &context.0.arguments;
        let (code_name, code_namespace) = (name, names::absolute_namespace(namespace)?);
        let (name, namespace) = arguments.remaps.node(name, namespace)?;
        let fully_qualified_name = names::fully_qualified(&namespace, &name);
        let given = parameters::for_node(&arguments.assignments, &namespace, &name);
        let inner = if context.0.session.remaps() {
            stack::Node::create(&context.0.session, code_name, &code_namespace)?
        } else {
            stack::Node::create(&context.0.session, &name, &namespace)?
        };
        let service = |service: &str| for_stack(context, "service", service, &namespace, &name);
        let events = for_stack(context, "topic", "/parameter_events", &namespace, &name)?;
        let names = parameters::Names { service: &service, events };
        let parameters = ParameterServer::serve(&inner, &fully_qualified_name, &names)?;
        let _rosout = context.0.logger.join(&inner, &arguments.log_outputs)?;
        let _types = type_description::serve(&inner, &service(&type_description::service())?)?;
        let time = OnceLock::new();
        let node = Self(Arc::new(Inner {
            context: context.clone(),
            _rosout,
            inner,
            name,
            namespace,
            fully_qualified_name,
            given,
            parameters,
            _types,
            time,
        }));
        context.0.logger.introduce(&node.0, node.namespace(), node.name());
        let use_sim_time = node.parameter(USE_SIM_TIME, false).description("Use the time of /clock instead of the system's.").declare()?;
        node.0.time.get_or_init(|| TimeSource::new(Arc::downgrade(&node.0), use_sim_time));
        Ok(node)
    }

    /// Name without namespace, after remaps.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Absolute namespace, after remaps; `/` is the root.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// `/namespace/name`
    #[must_use]
    pub fn fully_qualified_name(&self) -> &str {
        &self.0.fully_qualified_name
    }

    /// The context it was created in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// The absolute name a topic gets from this node, after remaps.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn resolve_topic(&self, topic: &str) -> Result<String> {
        self.0.context.0.arguments.remaps.resolve("topic", topic, &self.0.namespace, &self.0.name)
    }

    /// The absolute name a service gets from this node, after remaps.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn resolve_service(&self, service: &str) -> Result<String> {
        self.0.context.0.arguments.remaps.resolve("service", service, &self.0.namespace, &self.0.name)
    }

    fn topic<'a>(&self, verb: &str, topic: &'a str) -> Result<Name<'a>> {
        self.0.context.ensure_open(|| format!("{verb} {topic}"))?;
        Ok(Name { given: self.0.context.0.session.remaps().then_some(topic), absolute: self.resolve_topic(topic)? })
    }

    fn service<'a>(&self, verb: &str, service: &'a str) -> Result<Name<'a>> {
        self.0.context.ensure_open(|| format!("{verb} {service}"))?;
        Ok(Name { given: self.0.context.0.session.remaps().then_some(service), absolute: self.resolve_service(service)? })
    }

    /// Publishes on a topic, given as `/absolute`, `relative` to the namespace or `~/private` to the node.
    ///
    /// # Errors
    /// An invalid name, a context shut down, or a stack that refuses.
    pub fn create_publisher<T: Message>(&self, topic: &str, qos: QosProfile) -> Result<Publisher<T>> {
        let topic = self.topic("publish on", topic)?;
        let inner = self.0.inner.publisher(topic.for_stack(), qos)?;
        let endpoint = Endpoint::new(self, Side::Publisher, topic.absolute, stack::type_id::<T>(), qos);
        Ok(Publisher { inner, endpoint })
    }

    /// Subscribes a topic. Messages are taken from the stack at once and wait in `queue`.
    ///
    /// # Errors
    /// An invalid name, a context shut down, or a stack that refuses.
    pub fn subscribe<T: Message>(&self, topic: &str, qos: QosProfile, queue: Queue) -> Result<Subscription<T>> {
        let topic = self.topic("subscribe", topic)?;
        let inbox = Inbox::new(queue);
        let inner = self.0.inner.subscribe(topic.for_stack(), qos, inbox.clone())?;
        let endpoint = Endpoint::new(self, Side::Subscription, topic.absolute, stack::type_id::<T>(), qos);
        Ok(Subscription::new(endpoint, inbox, inner))
    }

    /// Serves a service.
    ///
    /// # Errors
    /// An invalid name, a context shut down, or a stack that refuses.
    pub fn create_service<S: Service>(&self, name: &str) -> Result<ServiceStream<S>> {
        let name = self.service("serve", name)?;
        let requests = self.0.inner.service(name.for_stack())?;
        Ok(ServiceStream::new(self, name.absolute, requests))
    }

    /// Calls a service.
    ///
    /// # Errors
    /// An invalid name, a context shut down, or a stack that refuses.
    pub fn create_client<S: Service>(&self, name: &str) -> Result<Client<S>> {
        let name = self.service("call", name)?;
        let inner = self.0.inner.client(name.for_stack())?;
        Ok(Client::new(self, name.absolute, inner))
    }

    /// Publishes values of a type known by name only, for instance "std_msgs/msg/String".
    ///
    /// # Errors
    /// As [`Node::create_publisher`], and an unknown type.
    pub fn create_dynamic_publisher(&self, topic: &str, type_name: &str, qos: QosProfile) -> Result<DynamicPublisher> {
        self.publish_described(topic, registry::resolve(type_name, None)?, qos)
    }

    /// Publishes values of a type that was found at run time, see [`registry::resolve`].
    ///
    /// # Errors
    /// As [`Node::create_publisher`].
    pub fn publish_described(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile) -> Result<DynamicPublisher> {
        let topic = self.topic("publish on", topic)?;
        let inner = self.0.inner.dynamic_publisher(topic.for_stack(), ty, qos)?;
        let endpoint = Endpoint::new(self, Side::Publisher, topic.absolute, Some(TypeId::of(ty.name, ty.hash)), qos);
        Ok(DynamicPublisher { inner, ty, endpoint })
    }

    /// Subscribes a topic whose type is known by name only.
    ///
    /// # Errors
    /// As [`Node::subscribe`], and an unknown type.
    pub fn subscribe_dynamic(&self, topic: &str, type_name: &str, qos: QosProfile, queue: Queue) -> Result<DynamicSubscription> {
        let (topic, ty) = (self.topic("subscribe", topic)?, registry::resolve(type_name, None)?);
        let inbox = Inbox::new(queue);
        let inner = self.0.inner.raw_subscribe(topic.for_stack(), ty.name, ty.hash, qos, inbox.clone())?;
        let endpoint = Endpoint::new(self, Side::Subscription, topic.absolute, Some(TypeId::of(ty.name, ty.hash)), qos);
        Ok(DynamicSubscription::new(endpoint, ty, inbox, inner))
    }

    /// Subscribes a topic of a type that was found at run time, see [`registry::resolve`], and takes its messages as bytes.
    ///
    /// # Errors
    /// As [`Node::subscribe`]; on the r2r stack also a type that was not compiled in and is not installed.
    pub fn subscribe_raw(&self, topic: &str, ty: &'static TypeDescription, qos: QosProfile, queue: Queue) -> Result<RawSubscription> {
        let topic = self.topic("subscribe", topic)?;
        let inbox = Inbox::new(queue);
        let inner = self.0.inner.raw_subscribe(topic.for_stack(), ty.name, ty.hash, qos, inbox.clone())?;
        let endpoint = Endpoint::new(self, Side::Subscription, topic.absolute, Some(TypeId::of(ty.name, ty.hash)), qos);
        Ok(RawSubscription::new(endpoint, ty.name, inbox, inner))
    }

    /// Subscribes a topic of a type that nobody here needs to know: what carries messages does not read them.
    ///
    /// # Errors
    /// As [`Node::subscribe`], and a hash that is none; on the r2r stack also a type that was not compiled in and is not installed.
    pub fn subscribe_opaque(&self, topic: &str, ty: &RawType, qos: QosProfile, queue: Queue) -> Result<RawSubscription> {
        let topic = self.topic("subscribe", topic)?;
        let inbox = Inbox::new(queue);
        let inner = self.0.inner.raw_subscribe(topic.for_stack(), &ty.name, &ty.hash, qos, inbox.clone())?;
        let endpoint = Endpoint::new(self, Side::Subscription, topic.absolute, Some(ty.id()), qos);
        Ok(RawSubscription::new(endpoint, &ty.name, inbox, inner))
    }

    /// Publishes messages as bytes, of a type that nobody here needs to know. In the graph the topic has that type and its hash.
    ///
    /// # Errors
    /// As [`Node::create_publisher`], and a hash that is none; on the r2r stack also a type that was not compiled in and is not
    /// installed, or whose definition there has another hash.
    pub fn create_raw_publisher(&self, topic: &str, ty: &RawType, qos: QosProfile) -> Result<RawPublisher> {
        let topic = self.topic("publish on", topic)?;
        let inner = self.0.inner.raw_publisher(topic.for_stack(), &ty.name, &ty.hash, qos)?;
        let endpoint = Endpoint::new(self, Side::Publisher, topic.absolute, Some(ty.id()), qos);
        Ok(RawPublisher { inner, endpoint })
    }

    /// Calls a service whose type is known by name only, for instance "std_srvs/srv/Trigger".
    ///
    /// # Errors
    /// As [`Node::create_client`], and an unknown type.
    pub fn create_dynamic_client(&self, name: &str, type_name: &str) -> Result<DynamicClient> {
        let (name, ty) = (self.service("call", name)?, registry::service(type_name)?);
        let inner = self.0.inner.dynamic_client(name.for_stack(), ty)?;
        Ok(DynamicClient::new(self, name.absolute, ty, inner))
    }

    /// A parameter to declare, with its default; see [`ParameterBuilder`]. It is served through the standard parameter services.
    ///
    /// ```no_run
    /// # fn example(node: &edgeflow_ros::Node) -> edgeflow_ros::Result<()> {
    /// let depth = node.parameter("queue_depth", 100i64).description("Frames that may wait.").range(1..=1000).read_only()?;
    /// let rate_hz = node.parameter("rate_hz", 20.0).description("Frames per second.").range(0.1..=240.0).declare()?;
    /// println!("{depth} {}", rate_hz.get());
    /// # Ok(())
    /// # }
    /// ```
    pub fn parameter<P: ParameterType>(&self, name: &str, default: P) -> ParameterBuilder<'_, P> {
        ParameterBuilder::new(self, name, default)
    }

    /// Declares a read-only parameter that may have any value of its type.
    ///
    /// # Errors
    /// As [`ParameterBuilder::read_only`].
    pub fn declare_parameter<P: ParameterType>(&self, name: &str, default: P, description: &str) -> Result<P> {
        self.parameter(name, default).description(description).read_only()
    }

    pub(crate) fn given_parameter(&self, name: &str) -> Option<ParameterValue> {
        self.0.given.get(name).cloned()
    }

    pub(crate) fn declared_parameter(&self, name: &str) -> Option<ParameterValue> {
        self.0.parameters.get(name)
    }

    pub(crate) fn insert_parameter(&self, name: &str, entry: Entry) -> Result<()> {
        if self.0.parameters.declare(name, entry) {
            return Ok(());
        }
        let node = self.0.fully_qualified_name.clone();
        Err(Error::ParameterDeclaration { node, name: name.into(), reason: "it is declared already".into() })
    }

    /// To be called after the last declaration: refuses parameters which were given to exactly this
    /// node's name but which nobody declared. Values for all nodes (`/**`, `-p` without a node) count too,
    /// since a program has one node.
    ///
    /// # Errors
    /// [`Error::UnknownParameters`] with the names that are known.
    pub fn check_unknown_parameters(&self) -> Result<()> {
        let declared = self.0.parameters.names();
        let unknown: Vec<_> = self.0.given.keys().filter(|name| !declared.contains(name)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let node = self.0.fully_qualified_name.clone();
        Err(Error::UnknownParameters { node, unknown: unknown.join(", "), known: declared.join(", ") })
    }

    /// The present time: the system's, UTC, or that of `/clock` while the parameter `use_sim_time` is true (zero
    /// before the first message of it).
    #[must_use]
    pub fn now(&self) -> builtin_interfaces::msg::Time {
        self.0.time.get().map_or_else(system_now, TimeSource::now)
    }

    /// Whether [`Node::now`] is the time of `/clock`.
    #[must_use]
    pub fn is_time_simulated(&self) -> bool {
        self.0.time.get().is_some_and(TimeSource::is_simulated)
    }

    /// Fully-qualified names of the nodes in the graph, sorted.
    ///
    /// # Errors
    /// When the stack cannot say.
    pub fn get_node_names(&self) -> Result<Vec<String>> {
        self.0.inner.node_names()
    }

    /// Types of each topic.
    ///
    /// # Errors
    /// When the stack cannot say.
    pub fn get_topic_names_and_types(&self) -> Result<BTreeMap<String, Vec<String>>> {
        self.0.inner.topics()
    }

    /// Types of each service.
    ///
    /// # Errors
    /// When the stack cannot say.
    pub fn get_service_names_and_types(&self) -> Result<BTreeMap<String, Vec<String>>> {
        self.0.inner.services()
    }

    /// Publishers of a topic.
    ///
    /// # Errors
    /// An invalid name, or when the stack cannot say.
    pub fn count_publishers(&self, topic: &str) -> Result<usize> {
        self.0.inner.count_publishers(&self.resolve_topic(topic)?)
    }

    /// Subscriptions of a topic.
    ///
    /// # Errors
    /// An invalid name, or when the stack cannot say.
    pub fn count_subscribers(&self, topic: &str) -> Result<usize> {
        self.0.inner.count_subscribers(&self.resolve_topic(topic)?)
    }

    /// Publishers of a topic, with their nodes, types and what they offer.
    ///
    /// # Errors
    /// An invalid name, or when the stack cannot say.
    pub fn get_publishers_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        self.0.inner.publishers_info(&self.resolve_topic(topic)?)
    }

    /// Subscriptions of a topic, with their nodes, types and what they ask for.
    ///
    /// # Errors
    /// An invalid name, or when the stack cannot say.
    pub fn get_subscriptions_info(&self, topic: &str) -> Result<Vec<EndpointInfo>> {
        self.0.inner.subscriptions_info(&self.resolve_topic(topic)?)
    }

    pub(crate) fn graph_change(&self) -> impl Future<Output = ()> + use<> {
        self.0.inner.graph_change()
    }

    /// Waits until something holds of the graph as this node sees it; whether it came to that in time.
    /// `condition` is asked anew whenever the graph changes.
    pub async fn wait_for_graph(&self, timeout: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        Watch::until(self, timeout, || condition(self)).await
    }
}

/// Waiting for the graph.
pub(crate) struct Watch;

impl Watch {
    pub(crate) async fn until(node: &Node, timeout: Duration, condition: impl Fn() -> bool) -> bool {
        let wait = async {
            loop {
                // Armed before the look, so that no change falls in between.
                let change = node.0.inner.graph_change();
                if condition() {
                    return;
                }
                change.await;
            }
        };
        let closed = node.context().closed();
        tokio::select! {
            outcome = tokio::time::timeout(timeout, wait) => outcome.is_ok() || condition(),
            () = closed => false,
        }
    }

    /// Waits for a service to become available.
    pub(crate) async fn service(node: &Node, name: &str, timeout: Duration, available: impl Future<Output = Result<()>>) -> Result<()> {
        let closed = node.context().closed();
        tokio::select! {
            outcome = tokio::time::timeout(timeout, available) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::ServiceUnavailable { name: name.into(), timeout }),
            },
            () = closed => Err(Error::ShutDown { operation: format!("wait for service {name}") }),
        }
    }
}
