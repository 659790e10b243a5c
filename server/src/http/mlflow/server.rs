//! What the server says of itself to MLflow's clients. Like MLflow's own, without a token: a client asks before it has one.

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use crate::http::Shared;

/// The release of MLflow whose protocol is spoken. Clients choose by it what they ask.
const MLFLOW_VERSION: &str = "3.17.2";

/// What stands at the root of an MLflow server.
pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/version", get(async || MLFLOW_VERSION)).route("/health", get(async || "OK"))
}

/// What is there beside tracking and registry.
pub(crate) async fn info() -> Json<Value> {
    Json(json!({
        "store_type": "Edgeflow",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "features_enabled": { "gateway": false },
    }))
}
