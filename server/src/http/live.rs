//! `/targets/{target}/live`: messages of a robot's topics at an operator's site for a while, and back.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{TargetName, command::CommandView};
use edgeflow_wire::LiveTopic;
use serde::{Deserialize, Serialize};

use crate::{
    app::{LiveOrder, LiveView},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Named, Params, name},
    },
};

/// A session to be opened.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveRequest {
    /// PKCS#10 certificate request for an ECDSA key on P-256 of the operator's, PEM. The name in it is not read.
    csr: String,
    /// Topics whose messages come from the robot, absolute or relative to its namespace.
    #[serde(default)]
    from_robot: Vec<String>,
    /// Topics on which the robot publishes what the operator sends: `{"topic", "type"}`; the type only where nobody on the robot
    /// uses the topic yet.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    to_robot: Vec<LiveTopic>,
    /// How long, seconds, up to an hour.
    for_s: f64,
    /// Most messages a second of each topic.
    max_hz: f64,
    /// Most kilobits a second of each direction.
    max_kbps: u32,
}

/// A session that was opened. The robot has yet to take it up: see the command.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LiveResponse {
    /// The session.
    session: LiveView,
    /// What the robot was told.
    command: CommandView,
    /// The operator's certificate, PEM. It opens the zenoh router's keys of this session, and nothing else, while it lasts.
    certificate: String,
    /// The control plane's CA certificate, PEM.
    ca: String,
    /// Port of the zenoh router, on the host of this API.
    zenoh_port: u16,
}

/// How a session is ended.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndQuery {
    /// Shut its operator out of the zenoh router too, which opens anew for that: robots connect to it again. `false` by default.
    #[serde(default)]
    cut: bool,
}

/// Opens a session; the robot's parameters say what may be forwarded.
#[utoipa::path(post, path = "/api/v1/targets/{target}/live", tag = "live", params(("target" = String, Path)),
    request_body = LiveRequest, responses(
    (status = 201, body = LiveResponse), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn open(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<LiveRequest>,
) -> Result<(StatusCode, Json<LiveResponse>), HttpError> {
    let LiveRequest { csr, from_robot, to_robot, for_s, max_hz, max_kbps } = request;
    let opened = shared.app.open_live(&who, &target, LiveOrder { csr, from_robot, to_robot, for_s, max_hz, max_kbps }).await?;
    let response = LiveResponse {
        session: opened.session,
        command: opened.command,
        certificate: opened.certificate,
        ca: opened.ca,
        zenoh_port: opened.zenoh_port,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Sessions with a robot that last.
#[utoipa::path(get, path = "/api/v1/targets/{target}/live", tag = "live", params(("target" = String, Path)), responses(
    (status = 200, body = Vec<LiveView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<Vec<LiveView>>, HttpError> {
    Ok(Json(shared.app.live(&who, &target).await?))
}

/// Ends a session before its time.
#[utoipa::path(delete, path = "/api/v1/targets/{target}/live/{session}", tag = "live",
    params(("target" = String, Path), ("session" = String, Path), EndQuery),
    responses((status = 204, description = "It is ended."), (status = 404, body = ErrorBody)))]
pub(crate) async fn end(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, session)): At<(String, String)>,
    Params(query): Params<EndQuery>,
) -> Result<StatusCode, HttpError> {
    shared.app.end_live(&who, &name(&target)?, &session, query.cut).await?;
    Ok(StatusCode::NO_CONTENT)
}
