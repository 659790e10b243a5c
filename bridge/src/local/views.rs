//! What a program may ask.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use std::sync::Arc;

use super::Local;
use crate::SOFTWARE;

/// How the link and the log stand.
pub(super) async fn status(State(local): State<Arc<Local>>) -> Json<Value> {
    let (link, log) = (local.link.borrow().clone(), local.log.borrow().clone());
    let classes: Vec<Value> = log
        .classes
        .iter()
        .map(|stats| json!({ "class": stats.class.as_str(), "appended": stats.appended, "acknowledged": stats.acknowledged, "lost": stats.lost }))
        .collect();
    Json(json!({
        "robot": local.robot,
        "software": SOFTWARE,
        "connected": link.connected,
        "reason": link.reason,
        "epoch": log.epoch,
        "classes": classes,
        "observed": local.desired.borrow().as_ref().map(|desired| desired.version),
    }))
}

/// The desired state this robot has taken up; `null` before the first.
pub(super) async fn config(State(local): State<Arc<Local>>) -> Json<Value> {
    Json(json!(*local.desired.borrow()))
}
