//! What MLflow's clients may ask for and this control plane does not have: said in MLflow's shape, by name.

use axum::{
    extract::{OriginalUri, Request},
    http::Method,
};
use serde::de::IgnoredAny;

use crate::http::mlflow::{Code, MlflowError, request::Ask};

/// First words of paths below `/mlflow` that MLflow has and this control plane has not, with what they are.
const UNSERVED: [(&str, &str); 15] = [
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
    let mut words = path.split('/').skip_while(|word| !word.starts_with("mlflow"));
    let first = match words.next() {
        Some("mlflow") => words.next(),
        artifacts => artifacts,
    };
    match UNSERVED.iter().find(|(word, _)| Some(*word) == first) {
        Some((_, what)) => {
            let message = format!("{method} {path}: this control plane does not serve {what}; docs/mlflow.md lists what it serves");
            MlflowError::new(Code::NotImplemented, message)
        }
        None => MlflowError::new(Code::EndpointNotFound, format!("there is no {path}; docs/mlflow.md lists what is served")),
    }
}

/// The route is there, the method is not.
pub(crate) async fn wrong_method(request: Request) -> MlflowError {
    let path = request.extensions().get::<OriginalUri>().map_or_else(|| request.uri().path(), |OriginalUri(uri)| uri.path());
    MlflowError::new(Code::EndpointNotFound, format!("{path} does not take {}; docs/mlflow.md lists what is served", request.method()))
}
