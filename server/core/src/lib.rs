//! Domain rules of the control plane. Pure.
//!
//! Nothing here reads a clock, a socket or a database: rules take what they judge as values and answer with values, so
//! that every one of them is tested without a runtime and every adapter applies the same one. Resources keep one name
//! through every layer: what is `deployment.rs` here is `deployment.rs` in store, app and http.

pub mod artifact;
pub mod audit;
pub mod capture;
pub mod clock;
pub mod clock_error;
pub mod command;
pub mod dataset;
pub mod deployment;
pub mod desired;
pub mod drift;
pub mod drift_fleet;
pub mod entry;
mod error;
pub mod event;
pub mod experiment;
pub mod fleet;
pub mod health;
pub mod identity;
pub mod ingestion;
pub mod limits;
pub mod lineage;
pub mod lineage_diff;
pub mod lineage_graph;
pub mod logged_model;
pub mod model;
pub mod model_diff;
pub mod model_search;
pub mod model_source;
pub mod multipart;
mod name;
pub mod observation;
pub mod openlineage;
pub mod operator;
pub mod overview;
pub mod page;
pub mod policy;
pub mod principal;
pub mod provenance;
pub mod reconciliation;
pub mod retention;
pub mod rollout;
pub mod rollup;
pub mod run;
pub mod run_view;
pub mod search;
pub mod server;
pub mod target;
pub mod telemetry;
pub mod timeline;
pub mod words;

pub use clock::Clock;
pub use error::CoreError;
pub use name::{ModelName, OperatorName, OrganisationId, SlotName, TargetName};
pub use page::Page;
pub use principal::Principal;
pub use target::RobotId;
