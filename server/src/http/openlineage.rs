//! `/lineage/openlineage`: lineage as OpenLineage events, a line each.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use edgeflow_core::openlineage::{Cursor, NAMESPACE};
use serde::Deserialize;

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Params, limit, name},
};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const NEXT: HeaderName = HeaderName::from_static("edgeflow-next");
const MORE: HeaderName = HeaderName::from_static("edgeflow-more");

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenLineageQuery {
    /// Only what happened since the answer that gave this in its header `edgeflow-next`.
    after: Option<String>,
    /// At most so many happenings, 1 to 1000; 100 by default. Some make several events, so that an answer may have more lines.
    limit: Option<u32>,
    /// Namespace of jobs, models and robots; `edgeflow` by default. Events of another one are about other things.
    namespace: Option<String>,
}

/// What happened to lineage as OpenLineage run events (spec 2-0-2), one JSON document a line, in the order in which it was committed in
/// each of the files. `edgeflow-next` says where to go on; `edgeflow-more` is `true` while there is more already.
#[utoipa::path(get, path = "/api/v1/lineage/openlineage", tag = "lineage", params(OpenLineageQuery), responses(
    (status = 200, body = String, content_type = "application/x-ndjson", description = "OpenLineage run events",
        headers(("edgeflow-next" = String, description = "give it as `after`"), ("edgeflow-more" = bool, description = "whether there is more already"))),
    (status = 400, body = ErrorBody)))]
pub(crate) async fn export(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<OpenLineageQuery>,
) -> Result<Response, HttpError> {
    let after = query.after.as_deref().map_or_else(|| Ok(Cursor::default()), name)?;
    let namespace = query.namespace.as_deref().unwrap_or(NAMESPACE);
    if namespace.is_empty() || namespace.len() > 200 || namespace.chars().any(char::is_control) {
        return Err(HttpError::invalid("namespace has 1 to 200 bytes and no control characters"));
    }
    let page = shared.app.lineage_events(&who, namespace, after, limit(query.limit)?).await?;
    let lines: String = page.events.iter().map(|event| format!("{event}\n")).collect();
    let next = HeaderValue::try_from(page.next.to_string()).map_err(|error| HttpError::invalid(error.to_string()))?;
    let more = HeaderValue::from_static(if page.more { "true" } else { "false" });
    Ok(([(header::CONTENT_TYPE, NDJSON), (NEXT, next), (MORE, more)], lines).into_response())
}
