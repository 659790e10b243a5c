//! `model-versions/**`: versions of models, as MLflow's clients know them.

use axum::{
    Json, Router,
    extract::{Request, State},
    response::Response,
    routing::{delete, get, patch, post},
};
use edgeflow_core::{
    ModelName,
    artifact::ArtifactPath,
    model::{ModelVersion, Stage, VersionChange},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    app::{AppError, SourceRequest},
    http::{
        Shared,
        mlflow::{
            MlflowError, artifacts,
            logged_models::model_metric,
            registered_models::{Pair, name, page_size, page_start, page_token, tags, tags_json},
            request::{Ask, boolean, int64, list, required},
        },
    },
};

/// Versions of a page that does not say how many, and the most of one that does.
const PAGE: i64 = 10_000;
const MOST: i64 = 200_000;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/model-versions/create", post(create))
        .route("/model-versions/get", get(show))
        .route("/model-versions/search", get(search).post(search))
        .route("/model-versions/update", patch(update))
        .route("/model-versions/delete", delete(remove))
        .route("/model-versions/set-tag", post(set_tag))
        .route("/model-versions/delete-tag", delete(delete_tag))
        .route("/model-versions/transition-stage", post(transition))
        .route("/model-versions/get-download-uri", get(download_uri))
        .route("/model-versions/get-artifact", get(artifact))
}

/// A version as MLflow writes it.
pub(super) fn version_json(version: &ModelVersion) -> Value {
    let registered = &version.registered;
    let origin = &registered.origin;
    let mut shown = json!({
        "name": registered.model,
        "version": version.version(),
        "creation_timestamp": registered.created_at_us / 1000,
        "last_updated_timestamp": version.updated_at_us / 1000,
        "user_id": registered.created_by,
        "current_stage": version.stage,
        "description": registered.description,
        "source": origin.source,
        "status": "READY",
        "status_message": registered.note,
        "tags": tags_json(&registered.tags),
        "aliases": version.aliases,
    });
    for (name, id) in [("run_id", &origin.run_id), ("run_link", &origin.run_link), ("model_id", &origin.model_id)] {
        if let Some(id) = id {
            shown[name] = id.as_str().into();
        }
    }
    shown
}

fn answer(version: &ModelVersion) -> Json<Value> {
    Json(json!({ "model_version": version_json(version) }))
}

#[derive(Deserialize)]
struct Create {
    name: Option<String>,
    source: Option<String>,
    run_id: Option<String>,
    run_link: Option<String>,
    model_id: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "list")]
    tags: Vec<Pair>,
}

async fn create(State(shared): State<Shared>, ask: Ask<Create>) -> Result<Json<Value>, MlflowError> {
    let given = |field: Option<String>| field.filter(|text| !text.is_empty());
    let asked = ask.with;
    let request = SourceRequest {
        model: name(asked.name)?,
        source: required(asked.source, "source")?,
        run_id: given(asked.run_id),
        run_link: given(asked.run_link),
        model_id: given(asked.model_id),
        description: asked.description.unwrap_or_default(),
        tags: tags(asked.tags)?,
    };
    Ok(answer(&shared.app.create_version_of_source(&ask.who, request).await?))
}

/// A version's number, which some clients send as a number.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(String),
        Number(u64),
        None,
    }
    Ok(match Given::deserialize(from)? {
        Given::Text(text) => Some(text),
        Given::Number(number) => Some(number.to_string()),
        Given::None => None,
    })
}

#[derive(Deserialize)]
struct Version {
    name: Option<String>,
    #[serde(default, deserialize_with = "number")]
    version: Option<String>,
}

impl Version {
    /// MLflow's versions are numbers; an alias has a route of its own.
    fn read(self) -> Result<(ModelName, String), MlflowError> {
        let (name, version) = (name(self.name)?, required(self.version, "version")?);
        if version.parse::<u64>().is_err() {
            return Err(MlflowError::invalid(format!("Model version must be an integer, got {version:?}")));
        }
        Ok((name, version))
    }
}

async fn show(State(shared): State<Shared>, ask: Ask<Version>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.read()?;
    let version = shared.app.registered_version(&ask.who, &name, &version).await?;
    let mut shown = version_json(&version);
    // What is known of the logged model it was made of, as long as that is there.
    if let Some(id) = &version.registered.origin.model_id {
        match shared.app.logged_model(&ask.who, id, false).await {
            Ok(model) => {
                shown["model_params"] = model.params.iter().map(|param| json!({ "name": param.key, "value": param.value })).collect();
                shown["model_metrics"] = model.metrics.iter().map(|measured| model_metric(&model.id, measured)).collect();
            }
            Err(AppError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(json!({ "model_version": shown })))
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
    let (found, more) = shared.app.search_model_versions(&ask.who, &filter.unwrap_or_default(), &order_by, from, limit).await?;
    let mut body = json!({ "model_versions": found.iter().map(version_json).collect::<Vec<_>>() });
    if more {
        body["next_page_token"] = page_token(from + limit).into();
    }
    Ok(Json(body))
}

#[derive(Deserialize)]
struct Update {
    #[serde(flatten)]
    which: Version,
    description: Option<String>,
}

async fn update(State(shared): State<Shared>, ask: Ask<Update>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.which.read()?;
    let change = VersionChange::Description(ask.with.description.unwrap_or_default());
    Ok(answer(&shared.app.change_model_version(&ask.who, &name, &version, change).await?))
}

async fn remove(State(shared): State<Shared>, ask: Ask<Version>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.read()?;
    shared.app.delete_model_version(&ask.who, &name, &version).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Tag {
    #[serde(flatten)]
    which: Version,
    key: Option<String>,
    value: Option<String>,
}

async fn set_tag(State(shared): State<Shared>, ask: Ask<Tag>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.which.read()?;
    let change = VersionChange::Tag(required(ask.with.key, "key")?, Some(ask.with.value.unwrap_or_default()));
    shared.app.change_model_version(&ask.who, &name, &version, change).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(shared): State<Shared>, ask: Ask<Tag>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.which.read()?;
    shared.app.change_model_version(&ask.who, &name, &version, VersionChange::Tag(required(ask.with.key, "key")?, None)).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Transition {
    #[serde(flatten)]
    which: Version,
    stage: Option<String>,
    #[serde(default, deserialize_with = "boolean")]
    archive_existing_versions: Option<bool>,
}

async fn transition(State(shared): State<Shared>, ask: Ask<Transition>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.which.read()?;
    let stage: Stage = required(ask.with.stage, "stage")?.parse()?;
    let archive_others = ask.with.archive_existing_versions.unwrap_or(false);
    if archive_others && !matches!(stage, Stage::Staging | Stage::Production) {
        return Err(MlflowError::invalid(format!("archive_existing_versions is for Staging and Production, not for {stage}")));
    }
    let change = VersionChange::Stage { stage, archive_others };
    Ok(answer(&shared.app.change_model_version(&ask.who, &name, &version, change).await?))
}

async fn download_uri(State(shared): State<Shared>, ask: Ask<Version>) -> Result<Json<Value>, MlflowError> {
    let (name, version) = ask.with.read()?;
    let version = shared.app.registered_version(&ask.who, &name, &version).await?;
    let uri = match shared.app.client_folder(&ask.who, &version).await? {
        Some(folder) => format!("mlflow-artifacts:/{folder}"),
        None => version.registered.origin.source,
    };
    Ok(Json(json!({ "artifact_uri": uri })))
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(flatten)]
    which: Version,
    path: Option<String>,
}

/// `/model-versions/get-artifact`: one file of a version.
pub(super) async fn artifact(State(shared): State<Shared>, request: Request) -> Result<Response, MlflowError> {
    let headers = request.headers().clone();
    let ask = <Ask<Artifact> as axum::extract::FromRequest<Shared>>::from_request(request, &shared).await?;
    let (name, version) = ask.with.which.read()?;
    let version = shared.app.registered_version(&ask.who, &name, &version).await?;
    let path = ArtifactPath::new(required(ask.with.path, "path")?)?;
    let folder = shared.app.client_folder(&ask.who, &version).await?;
    let folder = folder.ok_or_else(|| MlflowError::invalid(format!("the files of version {} of {name} are not here", version.number)))?;
    artifacts::send(&shared, &ask.who, &folder.join(path.as_str())?, &headers).await
}
