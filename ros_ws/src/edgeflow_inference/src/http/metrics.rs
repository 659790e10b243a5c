//! `/metrics`: what became of requests and frames, for Prometheus. Counted where it happens and gathered when asked.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::{HttpError, Served, Slots};

type Labels = Vec<(&'static str, String)>;

pub(super) async fn scrape(State(slots): State<Slots>) -> Result<Response, HttpError> {
    let text = render(&slots).map_err(|error| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

fn render(slots: &[Served]) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("edgeflow_inference");
    let requests = Family::<Labels, Counter>::default();
    let frames = Family::<Labels, Counter>::default();
    let run = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    let model = Family::<Labels, Gauge>::default();
    registry.register("requests", "Requests over ROS and HTTP", requests.clone());
    registry.register("frames", "Frames and tensors over topics", frames.clone());
    registry.register("run_seconds", "How long runs of the model lately took, on average", run.clone());
    registry.register("model", "The model that serves now; always 1", model.clone());
    for slot in slots {
        let by = |outcome: &str| vec![("slot", slot.name.clone()), ("outcome", outcome.to_owned())];
        let counters = slot.requests.counters();
        for (outcome, count) in [("served", counters.served), ("failed", counters.failed), ("rejected", counters.rejected)] {
            requests.get_or_create(&by(outcome)).inc_by(count);
        }
        for (outcome, count) in (slot.frames)() {
            frames.get_or_create(&by(outcome)).inc_by(count);
        }
        if let Ok(running) = slot.engine.current() {
            run.get_or_create(&vec![("slot", slot.name.clone())]).set(running.typical_run().as_secs_f64());
            let labels = vec![
                ("slot", slot.name.clone()),
                ("name", running.name.clone()),
                ("version", running.version.clone()),
                ("digest", running.digest.to_string()),
            ];
            model.get_or_create(&labels).set(1);
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
