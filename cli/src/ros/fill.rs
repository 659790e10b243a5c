//! `--from-topic TOPIC:FIELD`: a field of a request taken from the next message of a topic, so that nobody types pixels.

use edgeflow_ros::{
    QosProfile, Queue,
    registry::{Array, Element, TypeDescription},
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

use super::{graph::Graph, yaml};
use crate::error::CliError;

/// Puts the next message of a topic into a field of `value`.
pub(super) async fn from_topic(
    graph: &Graph,
    ty: &TypeDescription,
    value: &mut Value,
    given: &str,
    timeout: Duration,
) -> Result<(), CliError> {
    let refuse = |reason: String| CliError::FromTopic { given: given.to_owned(), reason };
    let Some((topic, path)) = given.rsplit_once(':') else {
        return Err(refuse("write TOPIC:FIELD, for instance /robot_1/camera/image:image".to_owned()));
    };
    let field = yaml::field_at(ty, path).map_err(refuse)?;
    let Element::Message(wanted) = field.ty else {
        return Err(refuse(format!("the field {path} is a {}, not a message", field.ty.name())));
    };
    if field.array != Array::Single {
        return Err(refuse(format!("the field {path} is a list")));
    }
    let found = graph.topic_type(topic, None).await?;
    if found != wanted {
        return Err(refuse(format!("the topic has the type {found}, but the field {path} takes {wanted}")));
    }
    let qos = QosProfile::default().transient_local();
    let mut messages = graph.node.subscribe_dynamic(topic, wanted, qos, Queue::latest())?;
    match tokio::time::timeout(timeout, messages.next()).await {
        Ok(Some(message)) => put(value, path, message).map_err(refuse),
        Ok(None) | Err(_) => Err(CliError::NoMessage { topic: messages.topic().to_owned(), timeout }),
    }
}

/// Puts `inner` at a dotted path, making the maps on the way.
fn put(value: &mut Value, path: &str, inner: Value) -> Result<(), String> {
    let mut place = value;
    for part in path.split('.') {
        if place.is_null() {
            *place = json!({});
        }
        let Some(fields) = place.as_object_mut() else {
            return Err(format!("what was given for {path} is not a map"));
        };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = inner;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_where_the_path_leads() {
        let mut value = json!({"a": 1});
        put(&mut value, "b.c", json!([2])).unwrap();
        assert_eq!(value, json!({"a": 1, "b": {"c": [2]}}));
        assert!(put(&mut value, "a.x", json!(1)).is_err());
    }
}
