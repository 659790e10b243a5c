//! The use-cases: what can be done to the control plane, whichever door it is asked through.
//!
//! Each takes the [`Principal`](edgeflow_core::Principal) who asks, asks [`App::permit`] before it acts and tells
//! [`App::record`] after. Nothing durable lives here: what is in memory (who is connected, who listens) is rebuilt.

mod artifact_paths;
mod artifacts;
mod audit;
mod auth;
mod authority;
mod brokers;
mod bundle_view;
mod captures;
mod commands;
mod deployments;
mod door;
mod drift;
mod error;
mod events;
mod experiments;
mod fleet;
mod health;
mod hub;
mod identities;
mod lineage;
mod lineage_diff;
mod lineage_graph;
mod live;
mod logged_models;
mod metrics;
mod model_check;
mod model_sources;
mod model_versions;
mod models;
mod multipart;
mod open;
mod openlineage;
mod operators;
mod overview;
mod policies;
mod presence;
mod presigned;
mod reconciliation;
mod retention;
mod robots;
mod rollout_evidence;
mod rollout_gates;
mod rollout_metrics;
mod rollout_replay;
mod rollout_rounds;
mod rollout_seen;
mod rollouts;
mod runs;
mod server;
mod sessions;
mod targets;
mod telemetry;
mod timeline;
mod upload;
mod visits;

pub use artifacts::ArtifactBytes;
pub use authority::{Authority, AuthorityFiles, CONTROL_PLANE, DocumentKey, well_formed_name};
pub use brokers::BrokerCertificate;
pub use deployments::DeploymentRequest;
pub use door::{Door, DoorMetrics, Outcome};
pub use error::AppError;
pub use experiments::ExperimentRequest;
pub use fleet::{FleetExport, FleetPlanView, FleetRolloutView, FleetView};
pub use hub::StreamItem;
pub use identities::{BootstrapToken, IssuedIdentity};
pub use lineage_diff::Moment;
pub use lineage_graph::About;
pub use live::{LiveOpened, LiveOrder, LiveView};
pub use logged_models::LoggedModelRequest;
pub use metrics::Metrics;
pub use model_check::beside_us;
pub use model_sources::SourceRequest;
pub use models::ModelRequest;
pub use open::{AppOptions, SystemClock};
pub use openlineage::LineageEvents;
pub use presigned::Presigned;
pub use reconciliation::Resolution;
pub use rollout_metrics::RolloutMetricsView;
pub use rollouts::{RolloutPlan, RolloutsQuery};
pub use runs::RunRequest;
pub use targets::{EnrolledTarget, TargetRequest};
pub use telemetry::TelemetryRequest;
pub use upload::Upload;

pub(crate) use authority::ClientIdentity;
pub(crate) use live::certificate_name;
pub(crate) use presence::Changes;
pub(crate) use robots::decode_upstream;
pub(crate) use sessions::{Place, Sessions, Signals};
pub(crate) use visits::Visits;

use edgeflow_core::{Clock, RobotId, retention::Policy};
use edgeflow_store::Stores;
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// The control plane behind all its doors. Share it as `Arc<App>`.
pub struct App {
    stores: Stores,
    sqlite: edgeflow_store_sqlite::Sqlite,
    artifacts: artifacts::Artifacts,
    captures: captures::Captures,
    /// Files are put together one at a time: it takes the disk, and whoever asks again waits for the first.
    joining: tokio::sync::Mutex<()>,
    presigning: presigned::Key,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    admin_hash: auth::AdminHash,
    pub(crate) hub: hub::Hub,
    pub(crate) presence: presence::Presence,
    overview: overview::Overview,
    /// Rollouts that are followed. Whoever changes one holds it.
    following: tokio::sync::Mutex<rollout_rounds::Following>,
    fleet: fleet::FleetNow,
    judgements: rollout_gates::Judgements,
    replays: rollout_replay::Replays,
    live: live::Places,
    metrics: Metrics,
    tasks: health::Tasks,
    data_dir: std::path::PathBuf,
    desired: broadcast::Sender<RobotId>,
    enrolled: broadcast::Sender<RobotId>,
    revoked: broadcast::Sender<RobotId>,
    mqtt_address: OnceLock<std::net::SocketAddr>,
    zenoh_address: OnceLock<std::net::SocketAddr>,
    started_at_us: i64,
    max_model_bytes: u64,
    model_check: Option<std::path::PathBuf>,
    model_memory_bytes: u64,
    retention: Policy,
    /// Whoever tells robots to run a version holds it shared, whoever deletes versions alone: no robot is told to run what is
    /// being deleted. The stores promise no transaction across both.
    telling: tokio::sync::RwLock<()>,
}
