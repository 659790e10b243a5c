//! The routes of MLflow's clients: a translation between MLflow's REST protocol and the native use-cases. There is no data
//! model here; what a client logs is what `/api/v1` shows.
//!
//! One file per MLflow resource, each with its `routes()`. Errors are MLflow's ([`error`]), requests are read the way
//! MLflow's own server reads them ([`request`]), and what this control plane does not serve is named in [`unserved`].
//! `docs/mlflow.md` is the table of every endpoint.

mod artifacts;
mod error;
mod experiments;
mod log;
mod logged_models;
mod metrics;
mod model_versions;
mod multipart;
mod page;
mod registered_models;
mod request;
mod runs;
mod server;
mod shape;
mod unserved;

use axum::{
    Router,
    routing::{any, get},
};

use crate::http::Shared;

pub(crate) use error::{Code, MlflowError};

/// Prefixes under which clients look for the same routes: the versions of the REST API, and the dashboard's own.
const PREFIXES: [&str; 4] = ["/api/2.0", "/api/3.0", "/ajax-api/2.0", "/ajax-api/3.0"];

/// Everything a client of MLflow may ask, from the root of the server.
pub(crate) fn routes() -> Router<Shared> {
    let mut all = server::routes()
        .route("/model-versions/get-artifact", get(model_versions::artifact))
        .route("/get-artifact", get(artifacts::of_run))
        .route("/graphql", any(unserved::graphql));
    for prefix in PREFIXES {
        all = all.nest(&format!("{prefix}/mlflow"), tracking()).nest(&format!("{prefix}/mlflow-artifacts"), artifacts::routes());
    }
    all
}

/// What stands below `/api/2.0/mlflow`.
fn tracking() -> Router<Shared> {
    // A route and no fallback: `/api/{*rest}` of the router around it would come first.
    Router::new()
        .merge(registered_models::routes())
        .merge(model_versions::routes())
        .merge(artifacts::run_routes())
        .merge(experiments::routes())
        .merge(runs::routes())
        .merge(log::routes())
        .merge(metrics::routes())
        .merge(logged_models::routes())
        .route("/server-info", get(server::info))
        .route("/{*rest}", any(unserved::answer))
        .method_not_allowed_fallback(unserved::wrong_method)
}
