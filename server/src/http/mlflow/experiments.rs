//! `/experiments/*`.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use edgeflow_core::{
    experiment::{EXPERIMENTS, Experiment, Lifecycle, number},
    search::{Filter, Order},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    app::ExperimentRequest,
    http::{
        Shared,
        mlflow::{
            MlflowError,
            page::Paging,
            request::{Ask, int64, list, required},
            shape::{self, PairFields, put},
        },
    },
};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/experiments/create", post(create))
        .route("/experiments/get", get(by_id))
        .route("/experiments/get-by-name", get(by_name))
        .route("/experiments/search", get(search).post(search))
        .route("/experiments/update", post(update))
        .route("/experiments/delete", post(delete))
        .route("/experiments/restore", post(restore))
        .route("/experiments/set-experiment-tag", post(set_tag))
        .route("/experiments/delete-experiment-tag", post(delete_tag))
        .route("/experiments/search-datasets", post(datasets))
}

type Answer = Result<Json<Value>, MlflowError>;

#[derive(Deserialize)]
struct CreateFields {
    name: Option<String>,
    artifact_location: Option<String>,
    tags: Option<Vec<PairFields>>,
}

async fn create(State(shared): State<Shared>, Ask { who, with }: Ask<CreateFields>) -> Answer {
    let name = required(with.name, "name")?;
    let request = ExperimentRequest { name, artifact_location: with.artifact_location, tags: shape::pairs(with.tags, "tags")? };
    let made = shared.app.create_experiment(&who, request).await?;
    Ok(Json(json!({ "experiment_id": made.number.to_string() })))
}

/// The one field most requests have, and what some say besides.
#[derive(Deserialize)]
struct IdFields {
    experiment_id: Option<String>,
    new_name: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

impl IdFields {
    fn number(&self) -> Result<i64, MlflowError> {
        Ok(number(&required(self.experiment_id.clone(), "experiment_id")?)?)
    }
}

async fn by_id(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    let found = shared.app.experiment(&who, with.number()?).await?;
    Ok(Json(json!({ "experiment": shown(&found) })))
}

#[derive(Deserialize)]
struct NameFields {
    experiment_name: Option<String>,
}

async fn by_name(State(shared): State<Shared>, Ask { who, with }: Ask<NameFields>) -> Answer {
    let found = shared.app.experiment_by_name(&who, &required(with.experiment_name, "experiment_name")?).await?;
    Ok(Json(json!({ "experiment": shown(&found) })))
}

#[derive(Deserialize)]
struct SearchFields {
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
    page_token: Option<String>,
    filter: Option<String>,
    #[serde(default, deserialize_with = "list")]
    order_by: Vec<String>,
    view_type: Option<String>,
}

async fn search(State(shared): State<Shared>, Ask { who, with }: Ask<SearchFields>) -> Answer {
    let paging = Paging::new(with.page_token.as_deref(), with.max_results, 1000, 50_000)?;
    let filter = Filter::parse(with.filter.as_deref().unwrap_or_default(), &EXPERIMENTS)?;
    let orders = Order::parse_all(&with.order_by, &EXPERIMENTS)?;
    let mut found = shared.app.experiments(&who, shape::view(with.view_type.as_deref())?, &filter, &orders, paging.slice()).await?;
    let next = paging.cut(&mut found);
    let mut answer = Map::new();
    put(&mut answer, "experiments", found.iter().map(shown).collect());
    if let Some(next) = next {
        answer.insert("next_page_token".to_owned(), json!(next));
    }
    Ok(Json(Value::Object(answer)))
}

async fn update(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    let number = with.number()?;
    shared.app.rename_experiment(&who, number, &required(with.new_name, "new_name")?).await?;
    Ok(Json(json!({})))
}

async fn delete(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    shared.app.set_experiment_lifecycle(&who, with.number()?, Lifecycle::Deleted).await?;
    Ok(Json(json!({})))
}

async fn restore(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    shared.app.set_experiment_lifecycle(&who, with.number()?, Lifecycle::Active).await?;
    Ok(Json(json!({})))
}

async fn set_tag(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    let number = with.number()?;
    let tag = edgeflow_core::experiment::Pair { key: required(with.key, "key")?, value: with.value.unwrap_or_default() };
    shared.app.set_experiment_tag(&who, number, &tag).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(shared): State<Shared>, Ask { who, with }: Ask<IdFields>) -> Answer {
    let number = with.number()?;
    shared.app.delete_experiment_tag(&who, number, &required(with.key, "key")?).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct DatasetFields {
    #[serde(default, deserialize_with = "list")]
    experiment_ids: Vec<String>,
}

/// Most datasets of one answer.
const MAX_DATASETS: u32 = 1000;

async fn datasets(State(shared): State<Shared>, Ask { who, with }: Ask<DatasetFields>) -> Answer {
    let found = shared.app.datasets(&who, &shape::experiments(&with.experiment_ids)?, MAX_DATASETS).await?;
    let summary = |dataset: edgeflow_core::dataset::DatasetSummary| {
        let mut shown = json!({ "experiment_id": dataset.experiment.to_string(), "name": dataset.name, "digest": dataset.digest });
        if let Some(context) = dataset.context {
            shown["context"] = json!(context);
        }
        shown
    };
    Ok(Json(json!({ "dataset_summaries": found.into_iter().map(summary).collect::<Vec<_>>() })))
}

fn shown(experiment: &Experiment) -> Value {
    let mut shown = Map::new();
    shown.insert("experiment_id".to_owned(), json!(experiment.number.to_string()));
    shown.insert("name".to_owned(), json!(experiment.name));
    shown.insert("artifact_location".to_owned(), json!(experiment.artifact_location));
    shown.insert("lifecycle_stage".to_owned(), json!(experiment.lifecycle.as_str()));
    shown.insert("creation_time".to_owned(), json!(experiment.created_ms));
    shown.insert("last_update_time".to_owned(), json!(experiment.updated_ms));
    put(&mut shown, "tags", experiment.tags.iter().collect());
    Value::Object(shown)
}
