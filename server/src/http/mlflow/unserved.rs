//! What MLflow's clients may ask for and this control plane does not have: said in MLflow's shape, by name.

use axum::{
    extract::{OriginalUri, Request},
    http::Method,
};
use serde::de::IgnoredAny;

use crate::http::mlflow::{
    Code, MlflowError,
    request::{Ask, Asker},
};

/// How paths below `/mlflow` begin that MLflow has and this control plane has not, with what they are.
const UNSERVED: [(&str, &str); 25] = [
    ("artifacts/presigned-upload-url", "addresses for single files: send them to mlflow-artifacts, whole or in parts"),
    ("artifacts/presigned-download-url", "addresses for files of runs: ask mlflow-artifacts/presigned for one"),
    ("upload-artifact", "uploads of MLflow's own web page"),
    ("runs/create-promptlab-run", "prompts"),
    ("ui-telemetry", "MLflow's own web page"),
    ("demo", "MLflow's own web page"),
    ("genai", "evaluations"),
    ("scorer", "scorers"),
    ("get-trace-artifact", "tracing"),
    ("gateway-proxy", "the AI gateway"),
    ("traces", "tracing"),
    ("unified-traces", "tracing"),
    ("get-online-trace-details", "tracing"),
    ("issues", "tracing"),
    ("label-schemas", "tracing"),
    ("review-queues", "tracing"),
    ("datasets", "evaluation datasets"),
    ("scorers", "scorers"),
    ("gateway", "the AI gateway"),
    ("prompt-optimization", "prompts"),
    ("workspaces", "workspaces"),
    ("webhooks", "webhooks"),
    ("jobs", "jobs"),
    ("assistant", "the assistant"),
    ("users", "MLflow's own accounts"),
];

/// Any route that is none of ours: behind the same token as everything else.
pub(crate) async fn answer(method: Method, OriginalUri(uri): OriginalUri, asked: Result<Ask<IgnoredAny>, MlflowError>) -> MlflowError {
    if let Err(refusal) = asked
        && refusal.is_unauthenticated()
    {
        return refusal;
    }
    let path = uri.path();
    let below = path.split_once("/mlflow/").map_or("", |(_, below)| below);
    let begins = |with: &str| below.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match UNSERVED.iter().find(|(with, _)| begins(with)) {
        Some((_, what)) => {
            let message = format!("{method} {path}: this control plane does not serve {what}; docs/mlflow.md lists what it serves");
            MlflowError::new(Code::NotImplemented, message)
        }
        None => MlflowError::new(Code::EndpointNotFound, format!("there is no {path}; docs/mlflow.md lists what is served")),
    }
}

/// The interface of MLflow's own web page.
pub(crate) async fn graphql(_: Asker) -> MlflowError {
    MlflowError::new(Code::NotImplemented, "this control plane does not serve /graphql, which is for MLflow's own web page")
}

/// The route is there, the method is not.
pub(crate) async fn wrong_method(request: Request) -> MlflowError {
    let path = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().path(), |OriginalUri(uri)| uri.path());
    MlflowError::new(Code::EndpointNotFound, format!("{path} does not take {}; docs/mlflow.md lists what is served", request.method()))
}
