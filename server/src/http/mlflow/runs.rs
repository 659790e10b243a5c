//! `/runs/*` but what is logged to them, which is in [`log`](super::log).

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use edgeflow_core::{
    experiment::{Lifecycle, number},
    run::{RUNS, RunChange},
    search::{Filter, Order},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    app::RunRequest,
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
        .route("/runs/create", post(create))
        .route("/runs/get", get(by_id))
        .route("/runs/search", post(search))
        .route("/runs/update", post(update))
        .route("/runs/delete", post(delete))
        .route("/runs/restore", post(restore))
}

type Answer = Result<Json<Value>, MlflowError>;

#[derive(Deserialize)]
struct CreateFields {
    experiment_id: Option<String>,
    user_id: Option<String>,
    run_name: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    start_time: Option<i64>,
    tags: Option<Vec<PairFields>>,
}

async fn create(State(shared): State<Shared>, Ask { who, with }: Ask<CreateFields>) -> Answer {
    let request = RunRequest {
        experiment: number(&required(with.experiment_id, "experiment_id")?)?,
        name: with.run_name.unwrap_or_default(),
        user: with.user_id.unwrap_or_default(),
        start_ms: with.start_time.unwrap_or_default(),
        tags: shape::pairs(with.tags, "tags")?,
    };
    let run = shared.app.create_run(&who, request).await?;
    Ok(Json(json!({ "run": shape::run(&run) })))
}

/// Which run; old clients call it `run_uuid`.
#[derive(Deserialize)]
pub(crate) struct RunFields {
    pub(crate) run_id: Option<String>,
    pub(crate) run_uuid: Option<String>,
}

impl RunFields {
    pub(crate) fn id(self) -> Result<String, MlflowError> {
        required(self.run_id.filter(|id| !id.is_empty()).or(self.run_uuid), "run_id")
    }
}

async fn by_id(State(shared): State<Shared>, Ask { who, with }: Ask<RunFields>) -> Answer {
    let run = shared.app.run(&who, &with.id()?).await?;
    Ok(Json(json!({ "run": shape::run(&run) })))
}

#[derive(Deserialize)]
struct SearchFields {
    #[serde(default, deserialize_with = "list")]
    experiment_ids: Vec<String>,
    filter: Option<String>,
    run_view_type: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
    #[serde(default, deserialize_with = "list")]
    order_by: Vec<String>,
    page_token: Option<String>,
}

async fn search(State(shared): State<Shared>, Ask { who, with }: Ask<SearchFields>) -> Answer {
    let paging = Paging::new(with.page_token.as_deref(), with.max_results, 1000, 50_000)?;
    let filter = Filter::parse(with.filter.as_deref().unwrap_or_default(), &RUNS)?;
    let orders = Order::parse_all(&with.order_by, &RUNS)?;
    let experiments = shape::experiments(&with.experiment_ids)?;
    let view = shape::view(with.run_view_type.as_deref())?;
    let mut found = shared.app.runs(&who, &experiments, view, &filter, &orders, paging.slice()).await?;
    let next = paging.cut(&mut found);
    let mut answer = Map::new();
    put(&mut answer, "runs", found.iter().map(shape::run).collect());
    if let Some(next) = next {
        answer.insert("next_page_token".to_owned(), json!(next));
    }
    Ok(Json(Value::Object(answer)))
}

#[derive(Deserialize)]
struct UpdateFields {
    #[serde(flatten)]
    run: RunFields,
    status: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    end_time: Option<i64>,
    run_name: Option<String>,
}

async fn update(State(shared): State<Shared>, Ask { who, with }: Ask<UpdateFields>) -> Answer {
    let id = with.run.id()?;
    let change = RunChange {
        status: with.status.as_deref().map(str::parse).transpose()?,
        end_ms: with.end_time,
        name: with.run_name.filter(|name| !name.is_empty()),
    };
    let info = shared.app.update_run(&who, &id, &change).await?;
    Ok(Json(json!({ "run_info": shape::info(&info) })))
}

async fn delete(State(shared): State<Shared>, Ask { who, with }: Ask<RunFields>) -> Answer {
    shared.app.set_run_lifecycle(&who, &with.id()?, Lifecycle::Deleted).await?;
    Ok(Json(json!({})))
}

async fn restore(State(shared): State<Shared>, Ask { who, with }: Ask<RunFields>) -> Answer {
    shared.app.set_run_lifecycle(&who, &with.id()?, Lifecycle::Active).await?;
    Ok(Json(json!({})))
}
