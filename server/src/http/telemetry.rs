//! `/targets/{target}/telemetry`: a robot's numbers as series.

use axum::{Json, extract::State};
use edgeflow_core::{TargetName, rollup::Resolution, telemetry::TelemetryView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    app::TelemetryRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{Named, Params},
    },
};

/// Which samples.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetryQuery {
    /// `accuracy`, `fps`, `latency_p50_us`, `latency_p95_us`, `mean_score`, `max_psi`, or a drift feature such as `brightness`.
    channel: String,
    /// From this time on, microseconds since the Unix epoch.
    since_us: Option<i64>,
    /// The newest so many, 1 to 10000; 1000 by default.
    limit: Option<u32>,
    /// `raw`, `minute`, `hour`, or `auto` (default): as finely as all since `since_us` is kept and fits into `limit`.
    resolution: Option<String>,
}

/// A series, oldest first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/telemetry", tag = "telemetry", params(("target" = String, Path), TelemetryQuery), responses(
    (status = 200, body = TelemetryView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<TelemetryQuery>,
) -> Result<Json<TelemetryView>, HttpError> {
    let limit = query.limit.unwrap_or(1000);
    if !(1..=10_000).contains(&limit) {
        return Err(HttpError::invalid(format!("limit {limit} is not in 1 to 10000")));
    }
    let resolution = match query.resolution.as_deref() {
        None | Some("auto") => None,
        Some(word) => Some(Resolution::parse(word).map_err(|error| HttpError::invalid(format!("{error}, or auto")))?),
    };
    let request = TelemetryRequest { channel: query.channel, since_us: query.since_us, limit, resolution };
    Ok(Json(shared.app.telemetry(&who, &target, request).await?))
}

/// Channels of a robot.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChannelsView {
    /// Names, sorted.
    channels: Vec<String>,
    /// Units of those channels that software on the robot named itself; empty where it gave none.
    units: BTreeMap<String, String>,
}

/// Channels there are samples of.
#[utoipa::path(get, path = "/api/v1/targets/{target}/telemetry/channels", tag = "telemetry", params(("target" = String, Path)), responses(
    (status = 200, body = ChannelsView), (status = 404, body = ErrorBody)))]
pub(crate) async fn channels(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<ChannelsView>, HttpError> {
    let (channels, units) = shared.app.telemetry_channels(&who, &target).await?;
    Ok(Json(ChannelsView { channels, units }))
}
