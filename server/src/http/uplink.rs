//! The robots' own two questions: take this part of my log, and what is new for me. The HTTP uplink.
//!
//! A robot has one question for news open at a time, the newest; a few requests in all; a bounded time to send a document;
//! and its documents are ingested one after the other. Nothing here is held while another robot waits.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use edgeflow_core::{RobotId, TargetName};
use edgeflow_wire::{MAX_DOCUMENT_BYTES, Version, WireError};
use futures::StreamExt;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, AppError, Door, DoorMetrics, Outcome, Place, Sessions, Visits, decode_upstream},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{Named, Params},
    },
};

/// An encoded wire document.
const DOCUMENT: &str = "application/vnd.edgeflow.document+zstd";
/// Longest time a question for news stays open.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Longest time a document may take to come.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// What the two handlers share.
pub(crate) struct Uplink {
    sessions: Sessions<RobotId>,
    visits: Arc<Visits>,
    metrics: DoorMetrics,
}

impl Uplink {
    /// Follows what happens to robots until `shutdown`.
    pub(crate) fn start(app: &Arc<App>, shutdown: CancellationToken) -> Arc<Self> {
        let metrics = DoorMetrics::default();
        app.metrics().register(|registry| metrics.register(Door::Http, registry));
        let visits = Visits::new(app, Door::Http, metrics.clone());
        let uplink = Arc::new(Self { sessions: Sessions::new(), visits, metrics });
        let (changes, revocations, removed, following) = (app.desired_changes(), app.revocations(), app.revocations(), uplink.clone());
        tokio::spawn(async move {
            let follow = async { tokio::join!(following.sessions.follow(changes, revocations), following.visits.follow(removed)) };
            shutdown.run_until_cancelled(follow).await;
            following.sessions.end_all(Outcome::Shutdown);
        });
        uplink
    }

    fn ended(&self, outcome: Outcome) -> HttpError {
        self.metrics.count_end(outcome);
        match outcome {
            Outcome::Revoked => AppError::Unauthenticated.into(),
            Outcome::TakenOver => HttpError::from(AppError::Conflict("a newer question for news of this robot took over".to_owned())),
            Outcome::TooMany => {
                HttpError::busy(StatusCode::TOO_MANY_REQUESTS, "this robot has too many requests open: does another use its name?")
            }
            Outcome::HandshakeTimeout => {
                HttpError::busy(StatusCode::REQUEST_TIMEOUT, format!("the document did not come within {READ_TIMEOUT:?}"))
            }
            _ => HttpError::busy(StatusCode::SERVICE_UNAVAILABLE, "the control plane stops: ask again"),
        }
    }
}

/// A robot's place among those that wait, given up when this is dropped.
struct Waiting<'a> {
    uplink: &'a Uplink,
    robot: &'a RobotId,
    place: Place,
    gauge: Gauge,
}

impl<'a> Waiting<'a> {
    fn begin(uplink: &'a Uplink, robot: &'a RobotId) -> Self {
        let gauge = uplink.metrics.waiting.clone();
        gauge.inc();
        Self { uplink, robot, place: uplink.sessions.enter(robot), gauge }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
        self.uplink.sessions.forget(self.robot, &self.place);
    }
}

/// What a robot knows, and how long it waits.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DesiredQuery {
    /// `server_epoch` of the desired state it knows. Without it and `generation` the answer comes at once.
    server_epoch: Option<u64>,
    /// `generation` of the desired state it knows.
    generation: Option<u64>,
    /// `commands_upto` of the newest answer on this connection, 0 at first. Without it no commands are told.
    commands_after: Option<i64>,
    /// How long the answer may wait for news, seconds; at most 60, 25 by default.
    wait_s: Option<u64>,
}

/// What is new for a robot: its desired state when that is not the one it knows, else what comes within the time it waits.
/// For the robot itself only. The body is a wire document, JSON in zstd.
///
/// The robot counts as here until 10 s after its last request, or three times as long as it usually is silent between two, if that is
/// longer: a silence of more than 20 s is an absence. Whoever asks less often waits for news instead.
#[utoipa::path(get, path = "/api/v1/targets/{target}/desired", tag = "uplink", params(("target" = String, Path), DesiredQuery), responses(
    (status = 200, description = "There is news", content_type = "application/vnd.edgeflow.document+zstd", body = Vec<u8>),
    (status = 204, description = "Nothing is new"), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "A newer question of the same robot took over"), (status = 429, body = ErrorBody)))]
pub(crate) async fn desired(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<DesiredQuery>,
) -> Result<Response, HttpError> {
    let until = Instant::now() + query.wait_s.map_or(Duration::from_secs(25), Duration::from_secs).min(MAX_WAIT);
    let known = match (query.server_epoch, query.generation) {
        (Some(server_epoch), Some(generation)) => Some(Version { server_epoch, generation }),
        (None, None) => None,
        _ => return Err(HttpError::invalid("give both server_epoch and generation, or neither")),
    };
    let (app, uplink) = (&shared.app, &*shared.uplink);
    let robot = app.robot_itself(&who, &target).await?;
    let _visit = uplink.visits.enter(&robot).await.ok_or_else(|| uplink.ended(Outcome::TooMany))?;
    let waiting = Waiting::begin(uplink, &robot);
    app.still_enrolled(&robot).await?;
    loop {
        if let Some(news) = app.news(&robot, known, query.commands_after).await? {
            uplink.metrics.sent.inc();
            return document(&news);
        }
        tokio::select! {
            biased;
            outcome = waiting.place.signals.ended() => return Err(uplink.ended(outcome)),
            () = waiting.place.signals.desired.notified() => {}
            () = sleep_until(until) => return Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
}

/// Takes a hello or a batch of a robot's log, a wire document, and answers with its acknowledgement once it is durable. For the
/// robot itself only.
#[utoipa::path(post, path = "/api/v1/targets/{target}/telemetry", tag = "uplink", params(("target" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/vnd.edgeflow.document+zstd"), responses(
    (status = 200, description = "The acknowledgement", content_type = "application/vnd.edgeflow.document+zstd", body = Vec<u8>),
    (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 408, body = ErrorBody),
    (status = 413, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub(crate) async fn telemetry(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    body: Body,
) -> Result<Response, HttpError> {
    let (app, uplink) = (shared.app.clone(), &*shared.uplink);
    let robot = app.robot_itself(&who, &target).await?;
    let visit = uplink.visits.enter(&robot).await.ok_or_else(|| uplink.ended(Outcome::TooMany))?;
    let payload = match timeout(READ_TIMEOUT, read(body)).await {
        Ok(payload) => payload.inspect_err(|error| {
            let large = matches!(error, AppError::TooLarge { .. });
            uplink.metrics.count_end(if large { Outcome::PacketTooLarge } else { Outcome::Broken });
        })?,
        Err(_) => return Err(uplink.ended(Outcome::HandshakeTimeout)),
    };
    uplink.metrics.telemetry.inc();
    uplink.metrics.telemetry_bytes.inc_by(payload.len() as u64);
    let ingested = async {
        let _turn = visit.turn().await;
        let upstream = decode_upstream(payload).await.map_err(AppError::Invalid)?;
        app.ingest(&robot, upstream).await
    };
    document(&ingested.await.inspect_err(|error| {
        let bad = matches!(error, AppError::Invalid(_));
        uplink.metrics.count_end(if bad { Outcome::BadDocument } else { Outcome::ServerError });
    })?)
}

fn document<T: Serialize>(document: &T) -> Result<Response, HttpError> {
    let bytes = edgeflow_wire::encode(document).map_err(AppError::artifact::<WireError>("writing a document"))?;
    Ok(([(header::CONTENT_TYPE, DOCUMENT)], Bytes::from(bytes)).into_response())
}

async fn read(body: Body) -> Result<Bytes, AppError> {
    let mut chunks = body.into_data_stream();
    let mut document = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| AppError::Upload(error.to_string()))?;
        if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
            return Err(AppError::TooLarge { what: "the document".to_owned(), limit_bytes: MAX_DOCUMENT_BYTES as u64 });
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document.freeze())
}
