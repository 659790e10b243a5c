//! Somebody at the robot holds it, lets it go, or gives up what was changed here.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Local, Refusal, parse};

/// Longest reason, bytes.
const MAX_REASON: usize = 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewHold {
    reason: String,
}

/// Who holds the robot: here, and in the desired state.
pub(super) async fn get(State(local): State<Arc<Local>>) -> Json<Value> {
    let declared = local.desired.borrow().as_ref().and_then(|desired| desired.hold.clone());
    Json(json!({ "robot": local.hold.now(), "control": declared }))
}

/// Holds the robot: nothing of what it has changes until it is let go here, restarts included.
pub(super) async fn hold(State(local): State<Arc<Local>>, body: Bytes) -> Result<StatusCode, Refusal> {
    let NewHold { reason } = parse(&body)?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(Refusal::bad(format!("reason: say in 1 to {MAX_REASON} bytes why the robot is held")));
    }
    let since_us = local.recorder.clock().now().t_us;
    tokio::task::block_in_place(|| local.hold.hold(reason, since_us)).map_err(unwritten)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the hold that was asked for here.
pub(super) async fn release(State(local): State<Arc<Local>>) -> Result<StatusCode, Refusal> {
    if tokio::task::block_in_place(|| local.hold.release()).map_err(unwritten)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let by_control = local.desired.borrow().as_ref().is_some_and(|desired| desired.hold.is_some());
    let place = if by_control { "it is held by the control plane: release it there" } else { "it is not held" };
    Err(Refusal::new(StatusCode::NOT_FOUND, place))
}

/// Gives up what was changed in a slot on the robot: what is declared is applied.
pub(super) async fn give_up(State(local): State<Arc<Local>>, Path(slot): Path<String>) -> Result<StatusCode, Refusal> {
    if !local.slots.contains(&slot) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("this robot has no slot {slot:?}: there are {}", local.slots.join(", "))));
    }
    match local.giving_up.try_send(slot) {
        Ok(()) => Ok(StatusCode::ACCEPTED),
        Err(_) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the bridge is busy with its slots: try again later")),
    }
}

fn unwritten(error: crate::BridgeError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
