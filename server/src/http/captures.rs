//! `/targets/{target}/captures`: recordings that a robot sends in parts, and people fetch.

use axum::{
    Json,
    body::{self, Body as RawBody},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use edgeflow_core::{Page, TargetName, capture::CaptureView};
use edgeflow_wire::{CaptureInfo, CaptureProgress, MAX_CAPTURE_PART_BYTES};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

use crate::{
    app::AppError,
    http::{
        Shared,
        artifacts::{answer, parse_range},
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Named, PageQuery, Params, name},
    },
};

/// Longest time a part may take to come.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What a robot has to offer.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct CaptureOffer {
    /// Its name: 1 to 63 lower-case letters, digits and dashes.
    id: String,
    /// Why it was made.
    reason: String,
    /// Version of the policy, as a string.
    policy: String,
    /// When there was a reason, microseconds since the Unix epoch.
    triggered_us: i64,
    /// Time of its first message.
    start_us: i64,
    /// Time of its last message.
    end_us: i64,
    /// Messages in it.
    messages: u64,
    /// Messages that could not be written.
    #[serde(default)]
    missed: u64,
    /// Topic to its messages.
    topics: BTreeMap<String, u64>,
    /// Size of the file.
    size_bytes: u64,
    /// SHA-256 of the file, 64 hex digits.
    sha256: String,
}

impl CaptureOffer {
    fn info(self) -> Result<CaptureInfo, HttpError> {
        let policy = self.policy.parse().map_err(|_| HttpError::invalid(format!("policy {:?} is no version", self.policy)))?;
        let Self { id, reason, triggered_us, start_us, end_us, messages, missed, topics, size_bytes, sha256, .. } = self;
        Ok(CaptureInfo { id, reason, policy, triggered_us, start_us, end_us, messages, missed, topics, size_bytes, sha256 })
    }
}

/// How much of it is here.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CaptureProgressBody {
    /// Bytes that are here: the next part begins there.
    received_bytes: u64,
    /// It is whole, and what came is what was offered.
    stored: bool,
}

impl From<CaptureProgress> for CaptureProgressBody {
    fn from(CaptureProgress { received_bytes, stored }: CaptureProgress) -> Self {
        Self { received_bytes, stored }
    }
}

/// A robot offers a capture, or asks how much of one is here. For the robot itself only.
#[utoipa::path(post, path = "/api/v1/targets/{target}/captures", tag = "captures", params(("target" = String, Path)),
    request_body = CaptureOffer, responses(
    (status = 200, body = CaptureProgressBody), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "There is another capture of that name")))]
pub(crate) async fn offer(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(offer): Body<CaptureOffer>,
) -> Result<Json<CaptureProgressBody>, HttpError> {
    Ok(Json(shared.app.offer_capture(&who, &target, offer.info()?).await?.into()))
}

/// Takes a part of a capture, at most 1 MiB, that begins at `offset`. With the last one the digest is checked. For the robot itself only.
#[utoipa::path(put, path = "/api/v1/targets/{target}/captures/{id}/parts/{offset}", tag = "captures",
    params(("target" = String, Path), ("id" = String, Path), ("offset" = u64, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = CaptureProgressBody), (status = 400, body = ErrorBody, description = "What came is not what was offered"),
    (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "Something is missing in between: offer it again and see"), (status = 413, body = ErrorBody)))]
pub(crate) async fn part(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, id, offset)): At<(String, String, u64)>,
    body: RawBody,
) -> Result<Json<CaptureProgressBody>, HttpError> {
    let target = name(&target)?;
    let read = timeout(READ_TIMEOUT, body::to_bytes(body, MAX_CAPTURE_PART_BYTES)).await;
    let late = |_| HttpError::busy(StatusCode::REQUEST_TIMEOUT, format!("the part did not come within {READ_TIMEOUT:?}"));
    let part = read.map_err(late)?.map_err(|error| {
        // The limit, or a connection that broke: to whom it still answers, it was the limit.
        tracing::debug!(%error, "a part of a capture did not come");
        AppError::TooLarge { what: "the part".to_owned(), limit_bytes: MAX_CAPTURE_PART_BYTES as u64 }
    })?;
    Ok(Json(shared.app.take_capture_part(&who, &target, &id, offset, part).await?.into()))
}

/// Captures of a robot, newest first: those here, on their way, and gone.
#[utoipa::path(get, path = "/api/v1/targets/{target}/captures", tag = "captures", params(("target" = String, Path), PageQuery), responses(
    (status = 200, body = Page<CaptureView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<CaptureView>>, HttpError> {
    Ok(Json(shared.app.captures(&who, &target, page.number()?, page.limit()?).await?))
}

/// A capture's file, MCAP. One `Range: bytes=` is honoured.
#[utoipa::path(get, path = "/api/v1/targets/{target}/captures/{id}", tag = "captures", params(("target" = String, Path), ("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 206, content_type = "application/octet-stream"),
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody, description = "It is still on its way"), (status = 416, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, id)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = |size| asked.map_or(Ok(None), |asked| parse_range(asked, size));
    let (bytes, sha256) = shared.app.capture_bytes(&who, &name(&target)?, &id, range).await?;
    let mut response = answer(bytes, &sha256)?;
    let file = format!("attachment; filename=\"{target}_{id}.mcap\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, file.parse().map_err(AppError::artifact("writing a header"))?);
    Ok(response)
}
