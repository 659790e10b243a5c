//! The HTTP door: translation between requests and use-cases, one file per resource.
//!
//! Every route under `/api` but `/enroll`, `/revoked.pem` and `/fleet/schema.json` wants `Authorization: Bearer`; `/healthz`, `/metrics` and the dashboard's files do not.

mod artifacts;
mod audit;
mod auth;
mod brokers;
mod captures;
mod commands;
mod dashboard;
mod deployments;
mod drain;
mod drift;
mod error;
mod events;
mod experiments;
mod extract;
mod fleet;
mod headers;
mod identities;
mod lineage;
mod live;
mod mlflow;
mod model_versions;
mod models;
mod openapi;
mod openlineage;
mod operators;
mod policies;
mod reconciliation;
mod retention;
mod rollouts;
mod runs;
mod secure;
mod server;
mod stream;
mod targets;
mod telemetry;
mod uplink;
mod watch;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post, put},
};
use std::{future::Future, ops::Deref, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, AppError},
    http::error::HttpError,
};

pub use openapi::document;

/// Most bytes of a JSON request.
const MAX_JSON_BYTES: usize = 1 << 20;

/// What handlers share. It is copied for every request, several times.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Parts>);

pub(crate) struct Parts {
    app: Arc<App>,
    shutdown: CancellationToken,
    uplink: Arc<uplink::Uplink>,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// All routes. Call it inside of a runtime: what happens to robots is followed by a task.
pub fn router(app: Arc<App>, shutdown: CancellationToken) -> Router {
    let uplink = uplink::Uplink::start(&app, shutdown.clone());
    let shared = Shared(Arc::new(Parts { app, shutdown, uplink }));
    let api = Router::new()
        .route("/server", get(server::get))
        .route("/server/health", get(server::health))
        .route("/targets", get(targets::list).post(targets::enrol))
        .route("/targets/summary", get(targets::summary))
        .route("/targets/{target}", get(targets::get).delete(targets::revoke))
        .route("/targets/{target}/labels", put(targets::set_labels))
        .route("/targets/{target}/bootstrap", post(identities::bootstrap))
        .route("/targets/{target}/certificates", get(identities::list).post(identities::renew))
        .route("/enroll", post(identities::enroll))
        .route("/operators", get(operators::list).post(operators::create))
        .route("/operators/{operator}", delete(operators::remove))
        .route("/brokers/certificates", post(brokers::certify))
        .route("/revoked.pem", get(brokers::revoked))
        .route("/targets/{target}/log", get(targets::log))
        .route("/targets/{target}/entries", get(targets::entries))
        .route("/targets/{target}/captures", get(captures::list).post(captures::offer))
        .route("/targets/{target}/captures/{id}", get(captures::get))
        .route("/targets/{target}/captures/{id}/parts/{offset}", put(captures::part))
        .route("/targets/{target}/commands", get(commands::list).post(commands::give))
        .route("/targets/{target}/commands/{id}", get(commands::get))
        .route("/targets/{target}/live", get(live::list).post(live::open))
        .route("/targets/{target}/live/{session}", delete(live::end))
        .route("/targets/{target}/hold", post(reconciliation::hold).delete(reconciliation::release))
        .route("/targets/{target}/conflicts", get(reconciliation::conflicts))
        .route("/targets/{target}/conflicts/{slot}/resolve", post(reconciliation::resolve))
        .route("/targets/{target}/slots/{slot}", delete(reconciliation::undeclare))
        .route("/targets/{target}/policy", get(policies::get).put(policies::put))
        .route("/targets/{target}/telemetry", get(telemetry::get).post(uplink::telemetry))
        .route("/targets/{target}/desired", get(uplink::desired))
        .route("/targets/{target}/telemetry/channels", get(telemetry::channels))
        .route("/targets/{target}/drift", get(drift::of_target))
        .route("/targets/{target}/losses", get(retention::losses))
        .route("/targets/{target}/removals", get(retention::removals))
        .route("/targets/{target}/lineage", get(lineage::of_target))
        .route("/lineage/robots", get(lineage::robots))
        .route("/lineage/provenance", get(lineage::provenance))
        .route("/lineage/versions", get(lineage::versions))
        .route("/lineage/diff", get(lineage::diff))
        .route("/lineage/timeline", get(lineage::timeline))
        .route("/lineage/graph", get(lineage::graph))
        .route("/lineage/openlineage", get(openlineage::export))
        .route("/retention", get(retention::get))
        .route("/models", get(models::list).post(models::create))
        .route("/models/{model}", get(models::get).patch(models::update).delete(models::delete))
        .route("/models/{model}/tags/{key}", put(models::set_tag).delete(models::delete_tag))
        .route("/models/{model}/aliases/{alias}", put(models::set_alias).delete(models::delete_alias))
        .route("/models/{model}/versions", post(model_versions::register).layer(DefaultBodyLimit::disable()))
        .route("/models/{model}/versions/{version}", get(model_versions::get).patch(model_versions::update).delete(model_versions::delete))
        .route("/models/{model}/versions/{version}/diff", get(model_versions::diff))
        .route("/models/{model}/versions/{version}/tags/{key}", put(model_versions::set_tag).delete(model_versions::delete_tag))
        .route("/artifacts/{sha256}", get(artifacts::get))
        .route("/experiments", get(experiments::list).post(experiments::create))
        .route("/experiments/{experiment}", get(experiments::get).put(experiments::change).delete(experiments::remove))
        .route("/experiments/{experiment}/runs", get(experiments::runs))
        .route("/experiments/{experiment}/logged-models", get(experiments::logged_models))
        .route("/runs", post(runs::create))
        .route("/runs/{run}", get(runs::get).put(runs::change).delete(runs::remove))
        .route("/runs/{run}/log", post(runs::log))
        .route("/runs/{run}/metrics/{*key}", get(runs::metric))
        .route("/run-metrics", get(runs::compare))
        .route("/logged-models/{model}", get(runs::logged_model))
        .route("/fleet", get(fleet::get))
        .route("/fleet/plan", post(fleet::plan).layer(DefaultBodyLimit::max(fleet::MAX_FLEET_BYTES)))
        .route("/fleet/apply", post(fleet::apply).layer(DefaultBodyLimit::max(fleet::MAX_FLEET_BYTES)))
        .route("/fleet/export", get(fleet::export))
        .route("/fleet/schema.json", get(fleet::schema))
        .route("/fleet/revisions", get(fleet::revisions))
        .route("/fleet/revisions/{revision}", get(fleet::revision))
        .route("/fleet/revisions/{revision}/approve", post(fleet::approve))
        .route("/fleet/revisions/{revision}/reject", post(fleet::reject))
        .route("/fleet/revisions/{revision}/revert", post(fleet::revert))
        .route("/deployments", get(deployments::list).post(deployments::create))
        .route("/deployments/{id}", get(deployments::get))
        .route("/rollouts", get(rollouts::list).post(rollouts::create))
        .route("/rollouts/{id}", get(rollouts::get))
        .route("/rollouts/{id}/robots", get(rollouts::robots))
        .route("/rollouts/{id}/metrics", get(rollouts::metrics))
        .route("/rollouts/{id}/{act}", post(rollouts::act))
        .route("/drift", get(drift::fleet))
        .route("/drift/fleet-verdict", get(drift::fleet_verdict))
        .route("/events", get(events::list))
        .route("/stream", get(stream::get))
        .route("/audit", get(audit::list))
        .route("/openapi.json", get(openapi::get))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    Router::new()
        .nest("/api/v1", api)
        .merge(mlflow::routes())
        .route("/api/{*rest}", any(error::no_such_route))
        .route("/healthz", get(watch::healthz))
        .route("/metrics", get(watch::metrics))
        .fallback(dashboard::get)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .layer(middleware::from_fn_with_state(shared.clone(), around))
        .with_state(shared)
}

/// What happens around every handler. One layer for all of it: with each, a request copies everything that lies below.
async fn around(State(shared): State<Shared>, route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    drain::drain(request, async |request: Request| {
        let counted = watch::Counted::begin(&request, route);
        let api = request.uri().path().starts_with("/api/");
        let mut response = if request.method().is_safe() { next.run(request).await } else { to_its_end(next.run(request)).await };
        headers::secure(&mut response, api);
        counted.end(&shared, &response);
        response
    })
    .await
}

/// Runs on when whoever asked has gone. What is on record by then is also told to robots and watchers, and audited.
async fn to_its_end(answer: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(answer).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => HttpError::from(AppError::artifact("answering a request")(error)).into_response(),
    }
}

/// Serves until `shutdown`, then lets running requests end. In the clear: for loopback listeners only.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: CancellationToken) -> std::io::Result<()> {
    let stop: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(shutdown.clone().cancelled_owned());
    // Made once: a bare router is built anew for every connection, and each of 500 kept 300 KB of routes.
    axum::serve(listener, router(app, shutdown).into_make_service()).with_graceful_shutdown(stop).await
}

/// The same over TLS: robots come with their certificates, people and programs with their tokens. `local` is a door without
/// TLS for people and programs of this machine, where a browser need not know our CA; no robot is let in there.
pub async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    local: Option<TcpListener>,
    app: Arc<App>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let stop = || -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(shutdown.clone().cancelled_owned()) };
    let listener = secure::SecureListener::open(listener, acceptor, app.clone());
    let service = router(app, shutdown.clone()).into_make_service_with_connect_info::<secure::Peer>();
    let (near, far) = (service.clone(), axum::serve(listener, service).with_graceful_shutdown(stop()).into_future());
    match local {
        Some(local) => tokio::try_join!(far, axum::serve(local, near).with_graceful_shutdown(stop()).into_future()).map(drop),
        None => far.await,
    }
}
