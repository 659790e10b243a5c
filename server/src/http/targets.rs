//! `/targets`: robots.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{
    Page, TargetName,
    entry::{EntryFilter, EntryView, LogView},
    overview::{FleetSummary, TargetFilter},
    target::TargetView,
};
use edgeflow_wire::Class;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    app::TargetRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{Body, Named, PageQuery, Params, limit, name, number},
    },
};

/// A robot to be enrolled.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolRequest {
    /// 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit.
    name: String,
    /// Labels for selecting.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A robot that was enrolled.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EnrolResponse {
    /// Its name; also its MQTT client id and user name.
    name: String,
    /// Its token, shown this once; also its MQTT password.
    token: String,
}

/// Enrols a robot.
#[utoipa::path(post, path = "/api/v1/targets", tag = "targets", request_body = EnrolRequest, responses(
    (status = 201, body = EnrolResponse), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn enrol(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<EnrolRequest>,
) -> Result<(StatusCode, Json<EnrolResponse>), HttpError> {
    let request = TargetRequest { name: name(&request.name)?, labels: request.labels };
    let enrolled = shared.app.enrol_target(&who, request).await?;
    Ok((StatusCode::CREATED, Json(EnrolResponse { name: enrolled.name.to_string(), token: enrolled.token })))
}

/// Which robots: all that is said must hold.
#[derive(Debug, Default, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the shape of it, for the document: a key may come several times, which serde's queries do not read")]
pub(crate) struct FilterQuery {
    /// Part of the name.
    q: Option<String>,
    /// `key:value`. Several of one key: any of these values; of several keys: all.
    label: Option<Vec<String>>,
    /// Member of this group, as declared in the fleet.
    group: Option<String>,
    /// `ready`, `progressing`, `degraded`, `drifted`, `offline` or `held`.
    condition: Option<String>,
    /// What it runs in some slot: `name`, or `name/version`.
    model: Option<String>,
}

/// A filter, the group it names, and the page.
type Read = (TargetFilter, Option<String>, PageQuery);

/// Reads what [`FilterQuery`] and, of a list, [`PageQuery`] describe.
fn read_filter(pairs: Vec<(String, String)>, paged: bool) -> Result<Read, HttpError> {
    let (mut filter, mut group, mut page) = (TargetFilter::default(), None, PageQuery::default());
    for (key, value) in pairs {
        match key.as_str() {
            "q" => filter.part = Some(value).filter(|part| !part.is_empty()),
            "label" => {
                let (label, value) =
                    value.split_once(':').ok_or_else(|| HttpError::invalid(format!("label {value:?} is no \"key:value\"")))?;
                filter.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
            }
            "group" => group = Some(value),
            "condition" => filter.condition = Some(name(&value)?),
            "model" => {
                let (model, version) = value.split_once('/').map_or((value.as_str(), None), |(model, version)| (model, Some(version)));
                filter.model = Some((model.to_owned(), version.map(str::to_owned)));
            }
            "after" if paged => page.after = Some(value),
            "limit" if paged => {
                page.limit = Some(value.parse().map_err(|_| HttpError::invalid(format!("limit {value:?} is not in 1 to 1000")))?);
            }
            _ => {
                let paging = if paged { ", after and limit" } else { "" };
                return Err(HttpError::invalid(format!("unknown key {key:?}: there are q, label, group, condition, model{paging}")));
            }
        }
    }
    Ok((filter, group, page))
}

/// Robots by name.
#[utoipa::path(get, path = "/api/v1/targets", tag = "targets", params(FilterQuery, PageQuery), responses(
    (status = 200, body = Page<TargetView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<Vec<(String, String)>>,
) -> Result<Json<Page<TargetView>>, HttpError> {
    let (filter, group, page) = read_filter(query, true)?;
    let filter = shared.app.of_group(&who, filter, group).await?;
    Ok(Json(shared.app.find_targets(&who, &filter, page.after.as_deref(), page.limit()?).await?))
}

/// Robots, counted by what they are.
#[utoipa::path(get, path = "/api/v1/targets/summary", tag = "targets", params(FilterQuery), responses(
    (status = 200, body = FleetSummary), (status = 400, body = ErrorBody)))]
pub(crate) async fn summary(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<Vec<(String, String)>>,
) -> Result<Json<FleetSummary>, HttpError> {
    let (filter, group, _) = read_filter(query, false)?;
    let filter = shared.app.of_group(&who, filter, group).await?;
    Ok(Json(shared.app.target_summary(&who, &filter).await?))
}

/// Labels to be put in the place of others.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelsRequest {
    /// All of them: what is not named is gone.
    labels: BTreeMap<String, String>,
}

/// Puts labels in the place of a robot's.
#[utoipa::path(put, path = "/api/v1/targets/{target}/labels", tag = "targets", params(("target" = String, Path)),
    request_body = LabelsRequest, responses(
    (status = 200, body = TargetView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn set_labels(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<LabelsRequest>,
) -> Result<Json<TargetView>, HttpError> {
    Ok(Json(shared.app.set_labels(&who, &target, request.labels).await?))
}

/// One robot.
#[utoipa::path(get, path = "/api/v1/targets/{target}", tag = "targets", params(("target" = String, Path)), responses(
    (status = 200, body = TargetView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<TargetView>, HttpError> {
    Ok(Json(shared.app.target(&who, &target).await?))
}

/// Revokes a robot: its sessions end, its token is worth nothing, what it reported stays.
#[utoipa::path(delete, path = "/api/v1/targets/{target}", tag = "targets", params(("target" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)))]
pub(crate) async fn revoke(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<StatusCode, HttpError> {
    shared.app.revoke_target(&who, &target).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The account of a robot's log: what is stored, doubled, missing and lost.
#[utoipa::path(get, path = "/api/v1/targets/{target}/log", tag = "targets", params(("target" = String, Path)), responses(
    (status = 200, body = LogView), (status = 404, body = ErrorBody)))]
pub(crate) async fn log(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<LogView>, HttpError> {
    Ok(Json(shared.app.target_log(&who, &target).await?))
}

/// Order of arrival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntriesQuery {
    /// Of this kind only, such as `mission`.
    kind: Option<String>,
    /// Of this class only: `critical`, `event`, `summary` or `detail`.
    class: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `asc` or `desc` (default), in the order of arrival.
    #[serde(default)]
    #[param(inline)]
    order: Order,
}

/// A robot's entries, as they arrived.
#[utoipa::path(get, path = "/api/v1/targets/{target}/entries", tag = "targets", params(("target" = String, Path), EntriesQuery), responses(
    (status = 200, body = Page<EntryView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn entries(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<EntriesQuery>,
) -> Result<Json<Page<EntryView>>, HttpError> {
    let class = query.class.as_deref().map(str::parse::<Class>).transpose().map_err(|error| HttpError::invalid(error.to_string()))?;
    let filter = EntryFilter {
        target: None,
        kinds: query.kind.into_iter().collect(),
        notable: false,
        classes: class.into_iter().collect(),
        after: number(query.after.as_deref())?,
        ascending: query.order == Order::Asc,
        limit: limit(query.limit)?,
    };
    Ok(Json(shared.app.target_entries(&who, &target, filter).await?))
}
