//! What a command does on the ROS graph.

use edgeflow_ros::{
    Error, Node, QosProfile,
    registry::{self, TypeDescription},
};
use edgeflow_wire::{CommandOutcome, CommandStatusBody};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

use crate::{capture, types};

/// How long a publisher waits until somebody subscribes.
const SUBSCRIBERS: Duration = Duration::from_secs(3);
/// How long a publisher stays after its one message: a middleware may send it only now, and takes what nobody has acknowledged with it
/// when it goes.
const LINGER: Duration = Duration::from_millis(500);
/// Most bytes of a service's answer that are told.
const MAX_RESULT_BYTES: usize = 16 * 1024;

/// How a command ended.
pub(crate) fn status(id: &str, outcome: CommandOutcome, message: impl Into<String>) -> CommandStatusBody {
    CommandStatusBody { id: id.to_owned(), outcome, message: message.into(), result: Value::Null }
}

/// What was never tried is refused, what was tried has failed.
fn ended(id: &str, error: &Error) -> CommandStatusBody {
    let outcome = match error {
        Error::UnknownType { .. } | Error::Value { .. } | Error::Name { .. } => CommandOutcome::Refused,
        _ => CommandOutcome::Failed,
    };
    status(id, outcome, error.to_string())
}

/// Calls a service and tells its answer. One whose field `success` is false has failed, in the service's own words.
pub(crate) async fn call_service(
    node: &Node,
    id: &str,
    service: &str,
    type_name: &str,
    request: &Value,
    patience: Duration,
) -> CommandStatusBody {
    let began = Instant::now();
    let called = async {
        let client = node.create_dynamic_client(service, type_name)?;
        client.wait_for_service(patience).await?;
        client.call(request, patience.saturating_sub(began.elapsed())).await
    };
    let answer = match called.await {
        Ok(answer) => answer,
        Err(error) => return ended(id, &error),
    };
    let failed = answer.get("success") == Some(&Value::Bool(false));
    let message = answer.get("message").and_then(Value::as_str).filter(|_| failed).unwrap_or_default().to_owned();
    let large = answer.to_string().len() > MAX_RESULT_BYTES;
    let result = if large { Value::String(format!("an answer of more than {MAX_RESULT_BYTES} bytes")) } else { answer };
    let outcome = if failed { CommandOutcome::Failed } else { CommandOutcome::Done };
    CommandStatusBody { id: id.to_owned(), outcome, message, result }
}

/// Has a capture made and tells what is in it and where it will be found.
pub(crate) async fn capture(
    captures: mpsc::Sender<capture::Request>,
    robot: &str,
    id: &str,
    reason: String,
    after_s: Option<f64>,
) -> CommandStatusBody {
    let (answer, answered) = oneshot::channel();
    if captures.send(capture::Request { reason, after_s, answer }).await.is_err() {
        return status(id, CommandOutcome::Failed, "the bridge stops");
    }
    match answered.await {
        Ok(Ok(info)) => {
            let place = format!("/api/v1/targets/{robot}/captures/{}", info.id);
            let result = json!({
                "capture": info.id, "sha256": info.sha256, "size_bytes": info.size_bytes, "messages": info.messages,
                "missed": info.missed, "topics": info.topics, "start_us": info.start_us, "end_us": info.end_us, "where": place,
            });
            CommandStatusBody { result, ..status(id, CommandOutcome::Done, "") }
        }
        Ok(Err(reason)) => status(id, CommandOutcome::Failed, reason),
        Err(_) => status(id, CommandOutcome::Failed, "the bridge stops"),
    }
}

/// The type that a command names: known or installed here, or as a node tells that publishes the topic.
async fn the_type(node: &Node, topic: &str, name: &str) -> Result<&'static TypeDescription, String> {
    let unknown = matches!(registry::resolve(name, None), Err(Error::UnknownType { .. }));
    let publishers = if unknown { node.get_publishers_info(topic).unwrap_or_default() } else { Vec::new() };
    let hash = publishers.into_iter().find(|one| one.type_name == name).and_then(|one| one.type_hash);
    types::resolve(node, topic, name, hash.as_deref()).await
}

/// Publishes a message once somebody subscribes.
pub(crate) async fn publish(node: &Node, id: &str, topic: &str, type_name: &str, message: &Value) -> CommandStatusBody {
    let ty = match the_type(node, topic, type_name).await {
        Ok(ty) => ty,
        Err(reason) => return status(id, CommandOutcome::Refused, reason),
    };
    let publisher = match node.publish_described(topic, ty, QosProfile::default()) {
        Ok(publisher) => publisher,
        Err(error) => return ended(id, &error),
    };
    if !publisher.wait_for_subscribers(1, SUBSCRIBERS).await {
        return status(id, CommandOutcome::Failed, format!("nobody subscribes {}", publisher.topic()));
    }
    match publisher.publish(message) {
        Ok(()) => {
            tokio::time::sleep(LINGER).await;
            status(id, CommandOutcome::Done, "")
        }
        Err(error) => ended(id, &error),
    }
}
