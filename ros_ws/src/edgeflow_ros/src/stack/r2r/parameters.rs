//! The standard parameter services, which r2r has only in part: declared parameters are read-only,
//! with type and description.

use super::{Service, Spinner, typed::serve};
use crate::{
    constants::rcl_interfaces::msg::ParameterType,
    error::{Error, Result},
    messages::rcl_interfaces::{
        msg::{ListParametersResult, ParameterDescriptor, ParameterValue as WireValue, SetParametersResult},
        srv::{DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters, SetParametersAtomically},
    },
    parameters::ParameterValue,
    service::ServiceRequest,
};
use futures::StreamExt;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

type Store = Arc<Mutex<BTreeMap<String, Declared>>>;

#[derive(Clone)]
struct Declared {
    value: WireValue,
    description: String,
}

pub(super) struct Parameters(Store);

impl Parameters {
    pub(super) fn serve(spinner: &Spinner) -> Result<Self> {
        let store = Store::default();
        answer::<ListParameters::Service>(spinner, &store, "~/list_parameters", |store, request| {
            let names: Vec<_> = store.keys().filter(|name| listed(name, &request.prefixes, request.depth)).cloned().collect();
            let prefixes: std::collections::BTreeSet<_> =
                names.iter().filter_map(|n| n.rsplit_once('.')).map(|(prefix, _)| prefix.to_string()).collect();
            ListParameters::Response { result: ListParametersResult { names, prefixes: prefixes.into_iter().collect() } }
        })?;
        answer::<GetParameters::Service>(spinner, &store, "~/get_parameters", |store, request| GetParameters::Response {
            values: request.names.iter().map(|name| store.get(name).map(|d| d.value.clone()).unwrap_or_default()).collect(),
        })?;
        answer::<GetParameterTypes::Service>(spinner, &store, "~/get_parameter_types", |store, request| GetParameterTypes::Response {
            types: request.names.iter().map(|name| store.get(name).map_or(ParameterType::PARAMETER_NOT_SET, |d| d.value.type_)).collect(),
        })?;
        answer::<DescribeParameters::Service>(spinner, &store, "~/describe_parameters", |store, request| {
            let describe = |name: &String| {
                let mut descriptor = ParameterDescriptor { name: name.clone(), ..Default::default() };
                if let Some(declared) = store.get(name) {
                    descriptor.type_ = declared.value.type_;
                    descriptor.description = declared.description.clone();
                    descriptor.read_only = true;
                }
                descriptor
            };
            DescribeParameters::Response { descriptors: request.names.iter().map(describe).collect() }
        })?;
        answer::<SetParameters::Service>(spinner, &store, "~/set_parameters", |store, request| SetParameters::Response {
            results: request.parameters.iter().map(|p| refusal(store, &p.name)).collect(),
        })?;
        answer::<SetParametersAtomically::Service>(spinner, &store, "~/set_parameters_atomically", |store, request| {
            SetParametersAtomically::Response {
                result: request
                    .parameters
                    .first()
                    .map_or_else(|| SetParametersResult { successful: true, reason: String::new() }, |p| refusal(store, &p.name)),
            }
        })?;
        Ok(Self(store))
    }

    pub(super) fn declare(&self, name: &str, value: &ParameterValue, description: &str) {
        let declared = Declared { value: to_wire(value), description: description.to_string() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), declared);
    }
}

/// Answers a service for as long as the node lives.
fn answer<S: Service>(
    spinner: &Spinner,
    store: &Store,
    name: &str,
    respond: impl Fn(&BTreeMap<String, Declared>, &S::Request) -> S::Response + Send + 'static,
) -> Result<()> {
    let mut requests = serve::<S>(spinner, name)?;
    let (store, name) = (store.clone(), name.to_string());
    let runtime = tokio::runtime::Handle::try_current().map_err(|e| Error::stack(format!("serve {name}"), e))?;
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            let ServiceRequest { message, reply } = request;
            let response = respond(&store.lock().unwrap_or_else(PoisonError::into_inner), &message);
            if let Err(error) = reply.respond(&response) {
                tracing::debug!(service = name, %error, "a parameter request went unanswered");
            }
        }
    });
    Ok(())
}

fn refusal(store: &BTreeMap<String, Declared>, name: &str) -> SetParametersResult {
    let reason =
        if store.contains_key(name) { format!("parameter {name} is read-only") } else { format!("parameter {name} is not declared") };
    SetParametersResult { successful: false, reason }
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

fn to_wire(value: &ParameterValue) -> WireValue {
    let mut wire = WireValue::default();
    wire.type_ = match value.clone() {
        ParameterValue::Bool(v) => {
            wire.bool_value = v;
            ParameterType::PARAMETER_BOOL
        }
        ParameterValue::Integer(v) => {
            wire.integer_value = v;
            ParameterType::PARAMETER_INTEGER
        }
        ParameterValue::Double(v) => {
            wire.double_value = v;
            ParameterType::PARAMETER_DOUBLE
        }
        ParameterValue::String(v) => {
            wire.string_value = v;
            ParameterType::PARAMETER_STRING
        }
        ParameterValue::BoolArray(v) => {
            wire.bool_array_value = v;
            ParameterType::PARAMETER_BOOL_ARRAY
        }
        ParameterValue::IntegerArray(v) => {
            wire.integer_array_value = v;
            ParameterType::PARAMETER_INTEGER_ARRAY
        }
        ParameterValue::DoubleArray(v) => {
            wire.double_array_value = v;
            ParameterType::PARAMETER_DOUBLE_ARRAY
        }
        ParameterValue::StringArray(v) => {
            wire.string_array_value = v;
            ParameterType::PARAMETER_STRING_ARRAY
        }
    };
    wire
}
