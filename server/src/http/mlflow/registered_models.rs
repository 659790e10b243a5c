//! `registered-models/**`: models, as MLflow's clients know them.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, patch, post},
};
use edgeflow_core::{
    ModelName,
    model::{Model, ModelChange, ModelVersion, Stage, Tags},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::ModelRequest,
    http::{
        Shared,
        mlflow::{
            Code, MlflowError,
            model_versions::version_json,
            request::{Ask, int64, list, required},
        },
    },
};

/// Models of a page that does not say how many, and the most of one that does.
const PAGE: i64 = 100;
const MOST: i64 = 1000;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/registered-models/create", post(create))
        .route("/registered-models/get", get(show))
        .route("/registered-models/search", get(search).post(search))
        .route("/registered-models/list", get(search))
        .route("/registered-models/update", patch(update))
        .route("/registered-models/rename", post(rename))
        .route("/registered-models/delete", delete(remove))
        .route("/registered-models/get-latest-versions", get(latest).post(latest))
        .route("/registered-models/set-tag", post(set_tag))
        .route("/registered-models/delete-tag", delete(delete_tag))
        .route("/registered-models/alias", get(by_alias).post(set_alias).delete(delete_alias))
}

/// A key and a value, as tags come and go.
#[derive(Debug, Deserialize)]
pub(super) struct Pair {
    key: Option<String>,
    value: Option<String>,
}

pub(super) fn tags(pairs: Vec<Pair>) -> Result<Tags, MlflowError> {
    pairs.into_iter().map(|pair| Ok((required(pair.key, "key")?, pair.value.unwrap_or_default()))).collect()
}

pub(super) fn name(field: Option<String>) -> Result<ModelName, MlflowError> {
    Ok(required(field, "name")?.parse()?)
}

pub(super) fn tags_json(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// What stands in a token of a page: where the next one begins.
pub(super) fn page_start(token: Option<&str>) -> Result<usize, MlflowError> {
    match token.filter(|token| !token.is_empty()) {
        None => Ok(0),
        Some(token) => {
            let start = token.strip_prefix("from-").and_then(|start| start.parse().ok());
            start.ok_or_else(|| MlflowError::invalid(format!("Invalid page token {token:?}: give the next_page_token of a page")))
        }
    }
}

pub(super) fn page_token(start: usize) -> String {
    format!("from-{start}")
}

pub(super) fn page_size(given: Option<i64>, usual: i64, most: i64) -> Result<usize, MlflowError> {
    let size = given.unwrap_or(usual);
    match usize::try_from(size) {
        Ok(size @ 1..) if size as i64 <= most => Ok(size),
        _ => Err(MlflowError::invalid(format!("Invalid value {size} for parameter 'max_results' supplied: it is from 1 to {most}"))),
    }
}

fn model_json(model: &Model, versions: &[ModelVersion]) -> Value {
    let latest = latest_of(versions, &Stage::ALL);
    json!({
        "name": model.name,
        "creation_timestamp": model.created_at_us / 1000,
        "last_updated_timestamp": model.updated_at_us / 1000,
        "user_id": model.created_by,
        "description": model.description,
        "latest_versions": latest,
        "tags": tags_json(&model.tags),
        "aliases": model.aliases.iter().map(|(alias, number)| json!({ "alias": alias, "version": number.to_string() })).collect::<Vec<_>>(),
    })
}

/// The newest version in each of these stages; they come newest first.
fn latest_of(versions: &[ModelVersion], stages: &[Stage]) -> Vec<Value> {
    stages.iter().filter_map(|stage| versions.iter().find(|version| version.stage == *stage)).map(version_json).collect()
}

#[derive(Deserialize)]
struct Create {
    name: Option<String>,
    #[serde(default, deserialize_with = "list")]
    tags: Vec<Pair>,
    description: Option<String>,
}

async fn create(State(shared): State<Shared>, ask: Ask<Create>) -> Result<Json<Value>, MlflowError> {
    let Create { name: given, tags: pairs, description } = ask.with;
    let request = ModelRequest { name: name(given)?, description: description.unwrap_or_default(), tags: tags(pairs)? };
    let name = request.name.clone();
    shared.app.create_model(&ask.who, request).await?;
    answer(&shared, &ask.who, &name).await
}

async fn answer(shared: &Shared, who: &edgeflow_core::Principal, name: &ModelName) -> Result<Json<Value>, MlflowError> {
    let (model, versions) = shared.app.registered_model(who, name).await?;
    Ok(Json(json!({ "registered_model": model_json(&model, &versions) })))
}

#[derive(Deserialize)]
struct Name {
    name: Option<String>,
}

async fn show(State(shared): State<Shared>, ask: Ask<Name>) -> Result<Json<Value>, MlflowError> {
    answer(&shared, &ask.who, &name(ask.with.name)?).await
}

#[derive(Deserialize)]
struct Search {
    filter: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
    #[serde(default, deserialize_with = "list")]
    order_by: Vec<String>,
    page_token: Option<String>,
}

async fn search(State(shared): State<Shared>, ask: Ask<Search>) -> Result<Json<Value>, MlflowError> {
    let Search { filter, max_results, order_by, page_token: token } = ask.with;
    let (from, limit) = (page_start(token.as_deref())?, page_size(max_results, PAGE, MOST)?);
    let (found, more) = shared.app.search_models(&ask.who, &filter.unwrap_or_default(), &order_by, from, limit).await?;
    let models = found.iter().map(|(model, versions)| model_json(model, versions)).collect::<Vec<_>>();
    let mut body = json!({ "registered_models": models });
    if more {
        body["next_page_token"] = page_token(from + limit).into();
    }
    Ok(Json(body))
}

#[derive(Deserialize)]
struct Update {
    name: Option<String>,
    description: Option<String>,
}

async fn update(State(shared): State<Shared>, ask: Ask<Update>) -> Result<Json<Value>, MlflowError> {
    let name = name(ask.with.name)?;
    let change = ModelChange::Description(ask.with.description.unwrap_or_default());
    shared.app.change_model(&ask.who, &name, change).await?;
    answer(&shared, &ask.who, &name).await
}

#[derive(Deserialize)]
struct Rename {
    name: Option<String>,
    new_name: Option<String>,
}

async fn rename(State(shared): State<Shared>, ask: Ask<Rename>) -> Result<Json<Value>, MlflowError> {
    let new: ModelName = required(ask.with.new_name, "new_name")?.parse()?;
    shared.app.change_model(&ask.who, &name(ask.with.name)?, ModelChange::Name(new.clone())).await?;
    answer(&shared, &ask.who, &new).await
}

async fn remove(State(shared): State<Shared>, ask: Ask<Name>) -> Result<Json<Value>, MlflowError> {
    shared.app.delete_model(&ask.who, &name(ask.with.name)?).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Latest {
    name: Option<String>,
    #[serde(default, deserialize_with = "list")]
    stages: Vec<String>,
}

async fn latest(State(shared): State<Shared>, ask: Ask<Latest>) -> Result<Json<Value>, MlflowError> {
    let stages = ask.with.stages.iter().map(|stage| stage.parse::<Stage>()).collect::<Result<Vec<_>, _>>()?;
    let stages = if stages.is_empty() { Stage::ALL.to_vec() } else { stages };
    let (_, versions) = shared.app.registered_model(&ask.who, &name(ask.with.name)?).await?;
    Ok(Json(json!({ "model_versions": latest_of(&versions, &stages) })))
}

#[derive(Deserialize)]
struct Tag {
    name: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

async fn set_tag(State(shared): State<Shared>, ask: Ask<Tag>) -> Result<Json<Value>, MlflowError> {
    let change = ModelChange::Tag(required(ask.with.key, "key")?, Some(ask.with.value.unwrap_or_default()));
    shared.app.change_model(&ask.who, &name(ask.with.name)?, change).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(shared): State<Shared>, ask: Ask<Tag>) -> Result<Json<Value>, MlflowError> {
    let change = ModelChange::Tag(required(ask.with.key, "key")?, None);
    shared.app.change_model(&ask.who, &name(ask.with.name)?, change).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Alias {
    name: Option<String>,
    alias: Option<String>,
    version: Option<String>,
}

async fn set_alias(State(shared): State<Shared>, ask: Ask<Alias>) -> Result<Json<Value>, MlflowError> {
    let name = name(ask.with.name)?;
    let number = shared.app.registered_version(&ask.who, &name, &required(ask.with.version, "version")?).await?.number;
    let change = ModelChange::Alias(required(ask.with.alias, "alias")?, Some(number));
    shared.app.change_model(&ask.who, &name, change).await?;
    Ok(Json(json!({})))
}

async fn delete_alias(State(shared): State<Shared>, ask: Ask<Alias>) -> Result<Json<Value>, MlflowError> {
    let change = ModelChange::Alias(required(ask.with.alias, "alias")?, None);
    shared.app.change_model(&ask.who, &name(ask.with.name)?, change).await?;
    Ok(Json(json!({})))
}

async fn by_alias(State(shared): State<Shared>, ask: Ask<Alias>) -> Result<Json<Value>, MlflowError> {
    let (name, alias) = (name(ask.with.name)?, required(ask.with.alias, "alias")?);
    let (model, versions) = shared.app.registered_model(&ask.who, &name).await?;
    let number = model.aliases.get(&alias);
    let version = versions.iter().find(|version| Some(&version.number) == number);
    match version {
        Some(version) => Ok(Json(json!({ "model_version": version_json(version) }))),
        // MLflow's code for it, though there is one that says it better.
        None => Err(MlflowError::new(Code::InvalidParameterValue, format!("Registered model alias {alias} not found."))),
    }
}
