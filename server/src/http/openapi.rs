//! The API, described for programs. Served, and committed as `docs/openapi.json`.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::http::{
    artifacts, audit,
    auth::Caller,
    brokers, captures, commands, deployments, drift,
    error::{ErrorBody, HttpError},
    events, experiments, fleet, identities, lineage, live, model_versions, models, openlineage, operators, policies, reconciliation,
    retention, rollouts, runs, server, stream, targets, telemetry, uplink, watch,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Edgeflow control plane",
        description = "Times are integers, microseconds since the Unix epoch, UTC. Lists are `{items, next}`: give `next` as `after`. \
                       Errors are `{error: {code, message}}`."
    ),
    paths(
        server::get, server::health, targets::list, targets::enrol, targets::get, targets::revoke, targets::summary, targets::set_labels,
        fleet::get, fleet::plan, fleet::apply, fleet::revisions, fleet::revision, fleet::approve, fleet::reject, fleet::revert, fleet::export, fleet::schema,
        operators::create, operators::list, operators::remove,
        identities::bootstrap, identities::list, identities::renew, identities::enroll, brokers::certify, brokers::revoked, targets::log, targets::entries,
        captures::offer, captures::part, captures::list, captures::get, commands::give, commands::list, commands::get, live::open, live::list, live::end, policies::get, policies::put,
        reconciliation::hold, reconciliation::release, reconciliation::conflicts, reconciliation::resolve, reconciliation::undeclare, telemetry::get,
        telemetry::channels, drift::of_target, drift::fleet, drift::fleet_verdict, lineage::of_target, lineage::robots, lineage::provenance, lineage::versions,
        lineage::diff, lineage::timeline, lineage::graph, openlineage::export,
        experiments::list, experiments::create, experiments::get, experiments::change, experiments::remove, experiments::runs,
        experiments::logged_models,
        runs::create, runs::get, runs::change, runs::remove, runs::log, runs::metric, runs::compare, runs::logged_model,
        models::list, models::create, models::get, models::update, models::delete,
        models::set_tag, models::delete_tag, models::set_alias, models::delete_alias, model_versions::register, model_versions::get, model_versions::diff,
        model_versions::update, model_versions::delete, model_versions::set_tag, model_versions::delete_tag, artifacts::get, deployments::list, deployments::create, deployments::get,
        rollouts::create, rollouts::list, rollouts::get, rollouts::robots, rollouts::metrics, rollouts::act, events::list, stream::get,
        audit::list, retention::get, retention::removals, retention::losses, uplink::desired, uplink::telemetry, get, watch::healthz, watch::metrics
    ),
    components(schemas(ErrorBody)),
    modifiers(&Bearer, &Ids, &Refusals),
    security(("bearer" = []))
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The administrator's token, or an operator's. A robot's token reads artifacts and the robot itself."))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Names every operation after its method and path, such as `get_targets_by_target_log`.
struct Ids;

impl Modify for Ids {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut openapi.paths.paths {
            let words = path.trim_start_matches("/api/v1").split('/').filter(|word| !word.is_empty()).map(|word| {
                let name = word.trim_matches(['{', '}']).replace('.', "_");
                if word.starts_with('{') { format!("by_{name}") } else { name }
            });
            let name = words.collect::<Vec<_>>().join("_");
            for (method, operation) in [
                ("get", &mut item.get),
                ("put", &mut item.put),
                ("post", &mut item.post),
                ("delete", &mut item.delete),
                ("patch", &mut item.patch),
            ] {
                if let Some(operation) = operation {
                    operation.operation_id = Some(format!("{method}_{name}"));
                }
            }
        }
    }
}

/// Every operation may refuse, and says so in one shape: what is not asked for rightly (400, 422), by nobody known (401), or by
/// somebody who may not (403), what is too large (413) or comes too often (429), and what fails (500).
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
                let refusal = ResponseBuilder::new().description("Refused, or failed").content("application/json", body).build();
                operation.responses.responses.insert("default".to_owned(), refusal.into());
            }
        }
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
