//! The standard parameter services and `/parameter_events`.

use super::{Entry, ParameterValue, Range, Store};
use crate::{
    constants::rcl_interfaces::msg::ParameterType,
    error::Result,
    messages::rcl_interfaces::{
        msg::{
            FloatingPointRange, IntegerRange, ListParametersResult, Parameter, ParameterDescriptor, ParameterEvent,
            ParameterValue as WireValue, SetParametersResult,
        },
        srv::{DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters, SetParametersAtomically},
    },
    qos::QosProfile,
    service::ServiceRequest,
    stack::{self, Service},
};
use futures::StreamExt;
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::AbortHandle;

/// Serves a node's parameters until it is dropped.
pub(crate) struct ParameterServer {
    store: Arc<Store>,
    events: Arc<Events>,
    tasks: Vec<AbortHandle>,
}

struct Events {
    publisher: stack::Publisher<ParameterEvent>,
    node: String,
}

/// Names of the services below the node, and of the topic, as the stack wants them.
pub(crate) struct Names<'a> {
    pub(crate) service: &'a dyn Fn(&str) -> Result<String>,
    pub(crate) events: String,
}

impl ParameterServer {
    pub(crate) fn serve(node: &stack::Node, fully_qualified_name: &str, names: &Names<'_>) -> Result<Self> {
        let qos = QosProfile::default().keep_last(1000);
        let events = Events { publisher: node.publisher(&names.events, qos)?, node: fully_qualified_name.to_string() };
        let mut server = Self { store: Arc::default(), events: Arc::new(events), tasks: Vec::new() };
        server.answer::<ListParameters::Service>(node, names, "list_parameters", |store, _, request| ListParameters::Response {
            result: list(store, &request),
        })?;
        server.answer::<GetParameters::Service>(node, names, "get_parameters", |store, _, request| {
            let all = store.lock();
            GetParameters::Response {
                values: request.names.iter().map(|name| all.get(name).map(|e| to_wire(&e.value)).unwrap_or_default()).collect(),
            }
        })?;
        server.answer::<GetParameterTypes::Service>(node, names, "get_parameter_types", |store, _, request| {
            let all = store.lock();
            let of = |name: &String| all.get(name).map_or(ParameterType::PARAMETER_NOT_SET, |e| to_wire(&e.value).type_);
            GetParameterTypes::Response { types: request.names.iter().map(of).collect() }
        })?;
        server.answer::<DescribeParameters::Service>(node, names, "describe_parameters", |store, _, request| {
            let all = store.lock();
            DescribeParameters::Response { descriptors: request.names.iter().map(|name| describe(name, all.get(name))).collect() }
        })?;
        server.answer::<SetParameters::Service>(node, names, "set_parameters", |store, events, request| SetParameters::Response {
            results: request.parameters.into_iter().map(|p| set(store, events, vec![p])).collect(),
        })?;
        server.answer::<SetParametersAtomically::Service>(node, names, "set_parameters_atomically", |store, events, request| {
            SetParametersAtomically::Response { result: set(store, events, request.parameters) }
        })?;
        Ok(server)
    }

    /// Answers a service until the server is dropped. The task holds no node, so it keeps none in the graph.
    fn answer<S: Service>(
        &mut self,
        node: &stack::Node,
        names: &Names<'_>,
        service: &str,
        respond: impl Fn(&Store, &Events, S::Request) -> S::Response + Send + 'static,
    ) -> Result<()> {
        let mut requests = node.service::<S>(&(names.service)(&format!("~/{service}"))?)?;
        let (store, events, service) = (self.store.clone(), self.events.clone(), service.to_string());
        let task = tokio::spawn(async move {
            while let Some(ServiceRequest { message, reply }) = requests.next().await {
                if let Err(error) = reply.respond(&respond(&store, &events, message)) {
                    tracing::debug!(service, %error, "a parameter request went unanswered");
                }
            }
        });
        self.tasks.push(task.abort_handle());
        Ok(())
    }

    /// False when the name is taken.
    pub(crate) fn declare(&self, name: &str, entry: Entry) -> bool {
        let parameter = Parameter { name: name.into(), value: to_wire(&entry.value) };
        let new = self.store.insert(name, entry);
        if new {
            self.events.publish(ParameterEvent { new_parameters: vec![parameter], ..ParameterEvent::default() });
        }
        new
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.store.names()
    }

    pub(crate) fn get(&self, name: &str) -> Option<ParameterValue> {
        self.store.lock().get(name).map(|entry| entry.value.clone())
    }
}

impl Drop for ParameterServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Events {
    fn publish(&self, event: ParameterEvent) {
        let event = ParameterEvent { stamp: crate::time::system_now(), node: self.node.clone(), ..event };
        if let Err(error) = self.publisher.publish(&event) {
            tracing::debug!(%error, "a parameter event was not published");
        }
    }
}

fn set(store: &Store, events: &Events, parameters: Vec<Parameter>) -> SetParametersResult {
    match store.set(parameters.into_iter().map(|p| (p.name, from_wire(p.value))).collect()) {
        Ok(changed) => {
            let changed_parameters = changed.iter().map(|(name, value)| Parameter { name: name.clone(), value: to_wire(value) }).collect();
            events.publish(ParameterEvent { changed_parameters, ..ParameterEvent::default() });
            SetParametersResult { successful: true, reason: String::new() }
        }
        Err(reason) => SetParametersResult { successful: false, reason },
    }
}

fn list(store: &Store, request: &ListParameters::Request) -> ListParametersResult {
    let names: Vec<_> = store.names().into_iter().filter(|name| listed(name, &request.prefixes, request.depth)).collect();
    let prefixes: BTreeSet<_> = names.iter().filter_map(|n| n.rsplit_once('.')).map(|(prefix, _)| prefix.to_string()).collect();
    ListParametersResult { names, prefixes: prefixes.into_iter().collect() }
}

/// As `rcl_interfaces/srv/ListParameters` has it: below one of the prefixes, at most `depth` deep (0: any).
fn listed(name: &str, prefixes: &[String], depth: u64) -> bool {
    let deep_enough = |rest: &str| depth == 0 || (rest.split('.').count() as u64) <= depth;
    if prefixes.is_empty() {
        return deep_enough(name);
    }
    prefixes
        .iter()
        .any(|prefix| name == prefix || name.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some_and(deep_enough))
}

fn describe(name: &str, entry: Option<&Entry>) -> ParameterDescriptor {
    let mut wire = ParameterDescriptor { name: name.into(), ..ParameterDescriptor::default() };
    let Some(Entry { value, descriptor, .. }) = entry else { return wire };
    wire.type_ = to_wire(value).type_;
    wire.description = descriptor.description.clone();
    wire.additional_constraints = descriptor.constraints.clone();
    wire.read_only = descriptor.read_only;
    match descriptor.range {
        // A step of zero is any value in the range.
        Some(Range::Integer { from, to }) => wire.integer_range = vec![IntegerRange { from_value: from, to_value: to, step: 0 }],
        Some(Range::Double { from, to }) => {
            wire.floating_point_range = vec![FloatingPointRange { from_value: from, to_value: to, step: 0.0 }]
        }
        None => {}
    }
    wire
}

pub(super) fn to_wire(value: &ParameterValue) -> WireValue {
    let wire = WireValue::default();
    match value.clone() {
        ParameterValue::Bool(v) => WireValue { type_: ParameterType::PARAMETER_BOOL, bool_value: v, ..wire },
        ParameterValue::Integer(v) => WireValue { type_: ParameterType::PARAMETER_INTEGER, integer_value: v, ..wire },
        ParameterValue::Double(v) => WireValue { type_: ParameterType::PARAMETER_DOUBLE, double_value: v, ..wire },
        ParameterValue::String(v) => WireValue { type_: ParameterType::PARAMETER_STRING, string_value: v, ..wire },
        ParameterValue::BoolArray(v) => WireValue { type_: ParameterType::PARAMETER_BOOL_ARRAY, bool_array_value: v, ..wire },
        ParameterValue::IntegerArray(v) => WireValue { type_: ParameterType::PARAMETER_INTEGER_ARRAY, integer_array_value: v, ..wire },
        ParameterValue::DoubleArray(v) => WireValue { type_: ParameterType::PARAMETER_DOUBLE_ARRAY, double_array_value: v, ..wire },
        ParameterValue::StringArray(v) => WireValue { type_: ParameterType::PARAMETER_STRING_ARRAY, string_array_value: v, ..wire },
    }
}

/// `None`: no value, which in ROS deletes the parameter. An octet array, which no parameter here is, has no value either.
pub(super) fn from_wire(wire: WireValue) -> Option<ParameterValue> {
    Some(match wire.type_ {
        ParameterType::PARAMETER_BOOL => ParameterValue::Bool(wire.bool_value),
        ParameterType::PARAMETER_INTEGER => ParameterValue::Integer(wire.integer_value),
        ParameterType::PARAMETER_DOUBLE => ParameterValue::Double(wire.double_value),
        ParameterType::PARAMETER_STRING => ParameterValue::String(wire.string_value),
        ParameterType::PARAMETER_BOOL_ARRAY => ParameterValue::BoolArray(wire.bool_array_value),
        ParameterType::PARAMETER_INTEGER_ARRAY => ParameterValue::IntegerArray(wire.integer_array_value),
        ParameterType::PARAMETER_DOUBLE_ARRAY => ParameterValue::DoubleArray(wire.double_array_value),
        ParameterType::PARAMETER_STRING_ARRAY => ParameterValue::StringArray(wire.string_array_value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_by_prefix_and_depth() {
        let below = |prefixes: &[&str], depth| {
            let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
            ["a", "a.b", "a.b.c", "ab"].into_iter().filter(|name| listed(name, &prefixes, depth)).collect::<Vec<_>>()
        };
        assert_eq!(below(&[], 0), ["a", "a.b", "a.b.c", "ab"]);
        assert_eq!(below(&[], 1), ["a", "ab"]);
        assert_eq!(below(&["a"], 0), ["a", "a.b", "a.b.c"]);
        assert_eq!(below(&["a"], 1), ["a", "a.b"]);
        assert!(below(&["c"], 0).is_empty());
    }

    #[test]
    fn every_type_goes_to_the_wire_and_back() {
        let values = [
            ParameterValue::Bool(true),
            ParameterValue::Integer(-3),
            ParameterValue::Double(0.5),
            ParameterValue::String("text".into()),
            ParameterValue::BoolArray(vec![true]),
            ParameterValue::IntegerArray(vec![1]),
            ParameterValue::DoubleArray(vec![0.5]),
            ParameterValue::StringArray(vec!["a".into()]),
        ];
        for value in values {
            assert_eq!(from_wire(to_wire(&value)), Some(value));
        }
        assert_eq!(from_wire(WireValue::default()), None);
    }
}
