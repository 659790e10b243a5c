//! The API, described for programs. Served, and committed as `docs/openapi.json`.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::http::{
    artifacts, audit,
    auth::Caller,
    deployments, drift,
    error::{ErrorBody, HttpError},
    events, models, server, stream, targets, telemetry, watch,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Edgeflow control plane",
        description = "Times are integers, microseconds since the Unix epoch, UTC. Lists are `{items, next}`: give `next` as `after`. \
                       Errors are `{error: {code, message}}`."
    ),
    paths(
        server::get, targets::list, targets::enrol, targets::get, targets::revoke, targets::log, targets::entries, telemetry::get,
        telemetry::channels, drift::of_target, drift::fleet, models::list, models::create, models::get, models::register,
        models::version, artifacts::get, deployments::list, deployments::create, deployments::get, events::list, stream::get,
        audit::list, get, watch::healthz, watch::metrics
    ),
    components(schemas(ErrorBody)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The administrator's token. A robot's token reads artifacts and the robot itself."))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn get(_: Caller) -> Result<Json<utoipa::openapi::OpenApi>, HttpError> {
    Ok(Json(document()))
}
