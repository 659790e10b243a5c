//! What a program hands over: events, and points of a channel.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use edgeflow_wire::{ApplicationEventBody, Class, EntryBody, EventSeverity, Point, PointsBody};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

use super::{Local, Refusal, channels::full_name, parse};
use crate::Moment;

/// Longest name, source or message, bytes.
const MAX_TEXT: usize = 4_096;
/// Most points of one request.
const MAX_POINTS: usize = 2_000;
/// How long a caller waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    source: String,
    name: String,
    #[serde(default)]
    severity: EventSeverity,
    #[serde(default)]
    message: String,
    t_us: Option<i64>,
    #[serde(default)]
    data: Value,
}

/// One event: class `event`.
pub(super) async fn event(State(local): State<Arc<Local>>, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let event: NewEvent = parse(&body)?;
    for (field, text) in [("source", &event.source), ("name", &event.name)] {
        if text.is_empty() {
            return Err(Refusal::bad(format!("{field} is empty")));
        }
    }
    for (field, text) in [("source", &event.source), ("name", &event.name), ("message", &event.message)] {
        if text.len() > MAX_TEXT {
            return Err(Refusal::bad(format!("{field} has {} bytes: at most {MAX_TEXT}", text.len())));
        }
    }
    let moment = moment(&local, event.t_us);
    let NewEvent { source, name, severity, message, data, .. } = event;
    let body = EntryBody::ApplicationEvent(ApplicationEventBody { source, name, severity, message, data });
    Ok(keep(&local, Class::Event, moment, body).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPoints {
    points: Vec<NewPoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPoint {
    t_us: Option<i64>,
    value: f64,
}

/// Points of a registered channel: one entry for all of a request.
pub(super) async fn points(
    State(local): State<Arc<Local>>,
    Path((program, channel)): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let name = full_name(&program, &channel)?;
    let NewPoints { points } = parse(&body)?;
    let Some(known) = local.channels.get(&name) else {
        let remedy = format!("no channel {name}: PUT /v1/channels/{name} with its unit first");
        return Err(Refusal::new(StatusCode::NOT_FOUND, remedy));
    };
    if points.is_empty() || points.len() > MAX_POINTS {
        return Err(Refusal::bad(format!("{} points: send 1 to {MAX_POINTS} at a time", points.len())));
    }
    let now = local.recorder.clock().now();
    let points: Vec<Point> = points.iter().map(|point| Point { t_us: point.t_us.unwrap_or(now.t_us), value: point.value }).collect();
    let newest_us = points.iter().map(|point| point.t_us).max();
    let body = EntryBody::Points(PointsBody { channel: name, unit: known.unit, points });
    Ok(keep(&local, known.class, moment(&local, newest_us), body).await)
}

/// The moment a caller's time names in both clocks; now, when it names none.
fn moment(local: &Local, t_us: Option<i64>) -> Moment {
    let clock = local.recorder.clock();
    t_us.map_or_else(|| clock.now(), |t_us| clock.at_us(t_us))
}

/// `201` when the entry is on the disk, `202` when the disk does not take it now: the bridge goes on trying. `503` while entries
/// of this class are given up.
async fn keep(local: &Local, class: Class, moment: Moment, body: EntryBody) -> (StatusCode, Json<Value>) {
    if local.recorder.sheds(class) {
        let error = format!("the robot's computer is short of something, so entries of class {class} are given up: try again later");
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error })));
    }
    match tokio::time::timeout(PATIENCE, local.recorder.record_durably(class, moment, body)).await {
        Ok(true) => (StatusCode::CREATED, Json(json!({ "durable": true }))),
        Ok(false) | Err(_) => {
            let reason = "the edge log's disk takes nothing now; the bridge holds the entry in memory and goes on trying";
            (StatusCode::ACCEPTED, Json(json!({ "durable": false, "reason": reason })))
        }
    }
}
