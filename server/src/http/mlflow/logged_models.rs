//! `/logged-models/*`.

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    http::Uri,
    response::Response,
    routing::{delete, get, patch, post},
};
use edgeflow_core::{
    Principal,
    artifact::ArtifactPath,
    experiment::number,
    logged_model::{LOGGED_MODELS, LoggedModel, ModelMetric, ModelOrder, ModelStatus},
    model_source::Source,
    search::{Filter, Order},
};
use edgeflow_store::ModelSearch;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    app::LoggedModelRequest,
    http::{
        Shared,
        mlflow::{
            MlflowError,
            page::Paging,
            request::{Ask, Asker, At, boolean, int64, list, required},
            shape::{self, PairFields, metric, put},
        },
    },
};

/// Most models of one answer.
const MAX_MODELS: u32 = 1000;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/logged-models", post(create))
        .route("/logged-models/search", post(search))
        .route("/logged-models/{model_id}", get(by_id).patch(finalize).delete(remove))
        .route("/logged-models/{model_id}/tags", patch(set_tags))
        .route("/logged-models/{model_id}/tags/{*key}", delete(delete_tag))
        .route("/logged-models/{model_id}/params", post(log_params))
        .route("/logged-models/{model_id}/artifacts/directories", get(artifacts))
        .route("/logged-models/{model_id}/artifacts/files", get(artifact))
}

type Answer = Result<Json<Value>, MlflowError>;

#[derive(Deserialize)]
struct CreateFields {
    experiment_id: Option<String>,
    name: Option<String>,
    model_type: Option<String>,
    source_run_id: Option<String>,
    params: Option<Vec<PairFields>>,
    tags: Option<Vec<PairFields>>,
}

async fn create(State(shared): State<Shared>, Ask { who, with }: Ask<CreateFields>) -> Answer {
    let request = LoggedModelRequest {
        experiment: number(&required(with.experiment_id, "experiment_id")?)?,
        name: with.name.unwrap_or_default(),
        model_type: with.model_type.unwrap_or_default(),
        source_run_id: with.source_run_id.unwrap_or_default(),
        params: shape::pairs(with.params, "params")?,
        tags: shape::pairs(with.tags, "tags")?,
    };
    let made = shared.app.create_logged_model(&who, request).await?;
    Ok(Json(json!({ "model": shown(&made) })))
}

#[derive(Default, Deserialize)]
struct GetFields {
    #[serde(default, deserialize_with = "boolean")]
    allow_deleted: Option<bool>,
}

async fn by_id(State(shared): State<Shared>, At(id): At<String>, Asker(who): Asker, request: Request) -> Answer {
    // The client writes the flag into the address and sends an empty body besides.
    let asked = Query::<GetFields>::try_from_uri(request.uri()).map_err(|error| MlflowError::invalid(error.body_text()))?;
    let model = shared.app.logged_model(&who, &id, asked.allow_deleted.unwrap_or_default()).await?;
    Ok(Json(json!({ "model": shown(&model) })))
}

#[derive(Deserialize)]
struct ArtifactQuery {
    artifact_directory_path: Option<String>,
    artifact_file_path: Option<String>,
}

/// What the address asks for of a model's artifacts: their folder as it is named, and on this server.
async fn folder(shared: &Shared, who: &Principal, id: &str, uri: &Uri) -> Result<(String, ArtifactPath, ArtifactQuery), MlflowError> {
    let query = Query::<ArtifactQuery>::try_from_uri(uri).map_err(|error| MlflowError::invalid(error.body_text()))?.0;
    let root_uri = shared.app.logged_model(who, id, false).await?.artifact_uri;
    match Source::parse(&root_uri)? {
        Source::Artifacts(root) => Ok((root_uri, root, query)),
        _ => Err(MlflowError::invalid(format!("the artifacts of logged model {id} are at {root_uri}, not on this server"))),
    }
}

async fn artifacts(State(shared): State<Shared>, At(id): At<String>, Asker(who): Asker, request: Request) -> Answer {
    let (root_uri, root, query) = folder(&shared, &who, &id, request.uri()).await?;
    let below = query.artifact_directory_path.map(|path| path.trim_end_matches('/').to_owned()).filter(|path| !path.is_empty());
    let (folder, prefix) = match below {
        Some(below) => (root.join(&below)?, format!("{below}/")),
        None => (root, String::new()),
    };
    let files = super::artifacts::files(&shared, &who, Some(&folder), &prefix).await?;
    Ok(Json(json!({ "root_uri": root_uri, "files": files })))
}

async fn artifact(State(shared): State<Shared>, At(id): At<String>, Asker(who): Asker, request: Request) -> Result<Response, MlflowError> {
    let (_, root, query) = folder(&shared, &who, &id, request.uri()).await?;
    let path = root.join(&required(query.artifact_file_path, "artifact_file_path")?)?;
    super::artifacts::send(&shared, &who, &path, request.headers()).await
}

#[derive(Deserialize)]
struct FinalizeFields {
    status: Option<String>,
    status_message: Option<String>,
}

async fn finalize(State(shared): State<Shared>, At(id): At<String>, Ask { who, with }: Ask<FinalizeFields>) -> Answer {
    let status = match required(with.status, "status")?.as_str() {
        "LOGGED_MODEL_PENDING" => ModelStatus::Pending,
        "LOGGED_MODEL_READY" => ModelStatus::Ready,
        "LOGGED_MODEL_UPLOAD_FAILED" => ModelStatus::Failed,
        word => {
            let known = "LOGGED_MODEL_READY, LOGGED_MODEL_UPLOAD_FAILED or LOGGED_MODEL_PENDING";
            return Err(MlflowError::invalid(format!("unknown status {word:?}: use {known}")));
        }
    };
    let message = with.status_message.unwrap_or_default();
    let model = shared.app.finalize_logged_model(&who, &id, status, &message).await?;
    Ok(Json(json!({ "model": shown(&model) })))
}

async fn remove(State(shared): State<Shared>, At(id): At<String>, Asker(who): Asker) -> Answer {
    shared.app.delete_logged_model(&who, &id).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct PairsFields {
    tags: Option<Vec<PairFields>>,
    params: Option<Vec<PairFields>>,
}

async fn set_tags(State(shared): State<Shared>, At(id): At<String>, Ask { who, with }: Ask<PairsFields>) -> Answer {
    shared.app.set_logged_model_tags(&who, &id, &shape::pairs(with.tags, "tags")?).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(shared): State<Shared>, At((id, key)): At<(String, String)>, Asker(who): Asker) -> Answer {
    shared.app.delete_logged_model_tag(&who, &id, &key).await?;
    Ok(Json(json!({})))
}

async fn log_params(State(shared): State<Shared>, At(id): At<String>, Ask { who, with }: Ask<PairsFields>) -> Answer {
    shared.app.log_logged_model_params(&who, &id, &shape::pairs(with.params, "params")?).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct DatasetFields {
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

#[derive(Deserialize)]
struct OrderFields {
    field_name: Option<String>,
    #[serde(default, deserialize_with = "boolean")]
    ascending: Option<bool>,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

#[derive(Deserialize)]
struct SearchFields {
    #[serde(default, deserialize_with = "list")]
    experiment_ids: Vec<String>,
    filter: Option<String>,
    datasets: Option<Vec<DatasetFields>>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
    order_by: Option<Vec<OrderFields>>,
    page_token: Option<String>,
}

async fn search(State(shared): State<Shared>, Ask { who, with }: Ask<SearchFields>) -> Answer {
    let paging = Paging::new(with.page_token.as_deref(), with.max_results, 100, MAX_MODELS)?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let datasets = with
        .datasets
        .unwrap_or_default()
        .into_iter()
        .map(|dataset| Ok((required(dataset.dataset_name, "dataset_name")?, some(dataset.dataset_digest))));
    let orders = with.order_by.unwrap_or_default().into_iter().map(|fields| {
        let mut order = Order::parse(&required(fields.field_name, "field_name")?, &LOGGED_MODELS)?;
        order.descending = !fields.ascending.unwrap_or(true);
        Ok(ModelOrder { order, dataset: some(fields.dataset_name).map(|name| (name, some(fields.dataset_digest))) })
    });
    let asked = ModelSearch {
        experiments: shape::experiments(&with.experiment_ids)?,
        filter: Filter::parse(with.filter.as_deref().unwrap_or_default(), &LOGGED_MODELS)?,
        datasets: datasets.collect::<Result<_, MlflowError>>()?,
        orders: orders.collect::<Result<_, MlflowError>>()?,
    };
    let mut found = shared.app.logged_models(&who, &asked, paging.slice()).await?;
    let next = paging.cut(&mut found);
    let mut answer = Map::new();
    put(&mut answer, "models", found.iter().map(shown).collect());
    if let Some(next) = next {
        answer.insert("next_page_token".to_owned(), json!(next));
    }
    Ok(Json(Value::Object(answer)))
}

pub(crate) fn shown(model: &LoggedModel) -> Value {
    let status = match model.status {
        ModelStatus::Pending => "LOGGED_MODEL_PENDING",
        ModelStatus::Ready => "LOGGED_MODEL_READY",
        ModelStatus::Failed => "LOGGED_MODEL_UPLOAD_FAILED",
    };
    let mut info = json!({
        "model_id": model.id,
        "experiment_id": model.experiment.to_string(),
        "name": model.name,
        "creation_timestamp_ms": model.created_ms,
        "last_updated_timestamp_ms": model.updated_ms,
        "artifact_uri": model.artifact_uri,
        "status": status,
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
    });
    if let Some(info) = info.as_object_mut() {
        put(info, "tags", model.tags.iter().collect());
        if !model.status_message.is_empty() {
            info.insert("status_message".to_owned(), json!(model.status_message));
        }
    }
    let mut data = Map::new();
    put(&mut data, "params", model.params.iter().collect());
    put(&mut data, "metrics", model.metrics.iter().map(|measured| model_metric(&model.id, measured)).collect());
    json!({ "info": info, "data": data })
}

/// What was measured of a model, as MLflow writes it.
pub(super) fn model_metric(model_id: &str, measured: &ModelMetric) -> Value {
    let mut shown = metric(&measured.metric);
    shown.insert("model_id".to_owned(), json!(model_id));
    shown.insert("run_id".to_owned(), json!(measured.run_id));
    for (name, text) in [("dataset_name", &measured.dataset_name), ("dataset_digest", &measured.dataset_digest)] {
        if !text.is_empty() {
            shown.insert(name.to_owned(), json!(text));
        }
    }
    Value::Object(shown)
}
