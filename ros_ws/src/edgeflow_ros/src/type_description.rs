//! `~/get_type_description` (REP 2016): every node tells what the types consist of that it knows, and asks others for those that
//! it meets on the graph and does not know. rcl has this service as well, for clients that start it; r2r does not, so the door
//! serves it on both stacks.

use crate::{
    dynamic::RawType,
    error::{Error, Result},
    messages::type_description_interfaces::{
        msg::{self, IndividualTypeDescription},
        srv::GetTypeDescription,
    },
    node::Node,
    registry::{self, Described, Field, FieldType, Type, TypeDescription},
    service::ServiceRequest,
    stack,
};
use futures::StreamExt;
use std::time::Duration;
use tokio::task::AbortHandle;

/// The service below each node.
const SERVICE: &str = "get_type_description";

/// Answers until it is dropped.
pub(crate) struct TypeDescriptions(AbortHandle);

impl Drop for TypeDescriptions {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves the descriptions of the types that this program knows. `name` is the service's as the stack wants it.
pub(crate) fn serve(node: &stack::Node, name: &str) -> Result<TypeDescriptions> {
    let mut requests = node.service::<GetTypeDescription::Service>(name)?;
    // The task holds no node, so it keeps none in the graph.
    let task = tokio::spawn(async move {
        while let Some(ServiceRequest { message, reply }) = requests.next().await {
            if let Err(error) = reply.respond(&answer(&message)) {
                tracing::debug!(%error, "a question for a type went unanswered");
            }
        }
    });
    Ok(TypeDescriptions(task.abort_handle()))
}

/// The name of the service before it is resolved.
pub(crate) fn service() -> String {
    format!("~/{SERVICE}")
}

fn answer(request: &GetTypeDescription::Request) -> GetTypeDescription::Response {
    let refuse = |failure_reason: String| GetTypeDescription::Response { successful: false, failure_reason, ..Default::default() };
    match registry::message(&request.type_name) {
        Err(error) => refuse(error.to_string()),
        Ok(ty) if !request.type_hash.is_empty() && request.type_hash != ty.hash => {
            refuse(format!("{} is here of type hash {}, not {}", ty.name, ty.hash, request.type_hash))
        }
        Ok(ty) => {
            let described = ty.described();
            GetTypeDescription::Response {
                successful: true,
                type_description: msg::TypeDescription {
                    type_description: to_wire(described.type_description),
                    referenced_type_descriptions: described.referenced_type_descriptions.into_iter().map(to_wire).collect(),
                },
                ..Default::default()
            }
        }
    }
}

fn to_wire(ty: Type) -> IndividualTypeDescription {
    let field = |field: Field| msg::Field {
        name: field.name,
        type_: msg::FieldType {
            type_id: field.ty.type_id,
            capacity: field.ty.capacity,
            string_capacity: field.ty.string_capacity,
            nested_type_name: field.ty.nested_type_name,
        },
        ..Default::default()
    };
    IndividualTypeDescription { type_name: ty.type_name, fields: ty.fields.into_iter().map(field).collect() }
}

fn from_wire(ty: IndividualTypeDescription) -> Type {
    let field = |field: msg::Field| {
        let msg::FieldType { type_id, capacity, string_capacity, nested_type_name } = field.type_;
        // Its default is left out: no hash covers it, so it could be a lie.
        Field::new(field.name, FieldType { type_id, capacity, string_capacity, nested_type_name })
    };
    Type { type_name: ty.type_name, fields: ty.fields.into_iter().map(field).collect() }
}

impl Node {
    /// A type that is published, as a node that publishes it describes it; known from then on. What is told is believed only if
    /// it has the hash that the graph shows.
    ///
    /// # Errors
    /// [`Error::NotDescribed`] when the node has no such service, does not answer in time or does not know; [`Error::OtherDefinition`] for a
    /// description that is not that of the type, [`Error::Description`] for one that cannot be used.
    pub async fn fetch_type(&self, ty: &RawType, node: &str, timeout: Duration) -> Result<&'static TypeDescription> {
        if let Ok(known) = registry::resolve(&ty.name, Some(&ty.hash)) {
            return Ok(known);
        }
        let not = |reason: String| Error::NotDescribed { type_name: ty.name.clone(), node: node.to_owned(), reason };
        let name = format!("{node}/{SERVICE}");
        let client = self.create_client::<GetTypeDescription::Service>(&name)?;
        let asked = async {
            if client.wait_for_service(timeout).await.is_err() {
                return Err(not(format!(
                    "it has no service {name}; rclcpp and rclpy nodes have it by the parameter start_type_description_service"
                )));
            }
            let request =
                GetTypeDescription::Request { type_name: ty.name.clone(), type_hash: ty.hash.clone(), include_type_sources: false };
            client.call(&request, timeout).await.map_err(|error| not(error.to_string()))
        };
        let answer = match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer?,
            Err(_) => return Err(not(format!("it has not answered within {timeout:?}"))),
        };
        if !answer.successful {
            return Err(not(answer.failure_reason));
        }
        let described = Described {
            type_description: from_wire(answer.type_description.type_description),
            referenced_type_descriptions: answer.type_description.referenced_type_descriptions.into_iter().map(from_wire).collect(),
        };
        registry::learn(&ty.name, &ty.hash, &described, &name)
    }
}
