//! The SQLite adapter of the Store traits: the embedded default, for one server.
//!
//! Three files, so that robots' logs never wait for people's requests: `registry.db` (models, audit), `fleet.db` (robots,
//! desired state, deployments) and `telemetry.db` (logs and what is derived from them). Each file has one [`writer`] that
//! commits what is waiting together, and a pool of read-only connections; all are in WAL mode with `synchronous=FULL`,
//! so what was answered survives a power cut. No transaction spans two files.

mod artifact;
mod attested;
mod audit;
mod capture;
mod command;
mod connect;
mod decode;
mod deployment;
mod entry;
mod evidence;
mod experiment;
mod fleet;
mod identity;
mod ingest;
mod input;
mod lineage;
mod log;
mod log_write;
mod logged_model;
mod model;
mod model_change;
mod multipart;
mod openlineage;
mod operator;
mod point;
mod project;
mod provenance;
mod retention;
mod rollout;
mod rollout_apply;
mod rollout_hold;
mod rollout_tell;
mod rollup;
mod run;
mod run_read;
mod search;
mod server;
mod target;
mod telemetry;
mod timeline;
mod writer;

use edgeflow_store::{StoreError, Stores};
use std::{path::Path, sync::Arc};

use connect::Database;

/// The three files of one data folder.
pub struct Sqlite {
    registry: Arc<Registry>,
    fleet: Arc<Fleet>,
    telemetry: Arc<Telemetry>,
}

/// `registry.db`, and the lane on which runs log.
struct Registry(Database, log::Lane);
/// `fleet.db`, and how robots are looked up.
struct Fleet(Database, Arc<point::Point>);
/// `telemetry.db`, and how it is looked up what robots attest.
struct Telemetry(Database, Arc<point::Point>);

impl Sqlite {
    /// Opens the files in `dir`, making and migrating them as needed. The folder must exist.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let registry = Database::open(&dir.join("registry.db"), sqlx::migrate!("./migrations/registry")).await?;
        let lane = log::Lane::start(registry.path(), registry.turn.clone())?;
        let fleet = Database::open(&dir.join("fleet.db"), sqlx::migrate!("./migrations/fleet")).await?;
        let robots = point::Point::new(fleet.path());
        let telemetry = Database::open(&dir.join("telemetry.db"), sqlx::migrate!("./migrations/telemetry")).await?;
        let attested = point::Point::new(telemetry.path());
        Ok(Self {
            registry: Arc::new(Registry(registry, lane)),
            fleet: Arc::new(Fleet(fleet, robots)),
            telemetry: Arc::new(Telemetry(telemetry, attested)),
        })
    }

    /// The stores of these files.
    pub fn stores(&self) -> Stores {
        Stores {
            server: self.fleet.clone(),
            targets: self.fleet.clone(),
            fleet: self.fleet.clone(),
            operators: self.fleet.clone(),
            identities: self.fleet.clone(),
            commands: self.fleet.clone(),
            captures: self.fleet.clone(),
            deployments: self.fleet.clone(),
            rollouts: self.fleet.clone(),
            artifacts: self.registry.clone(),
            multiparts: self.registry.clone(),
            models: self.registry.clone(),
            experiments: self.registry.clone(),
            runs: self.registry.clone(),
            logged_models: self.registry.clone(),
            audit: self.registry.clone(),
            entries: self.telemetry.clone(),
            telemetry: self.telemetry.clone(),
            evidence: self.telemetry.clone(),
            lineage: self.telemetry.clone(),
            provenance: self.registry.clone(),
            timeline: vec![self.telemetry.clone(), self.fleet.clone(), self.registry.clone()],
            happenings: vec![self.registry.clone(), self.fleet.clone(), self.telemetry.clone()],
            told: self.registry.clone(),
            retention: self.telemetry.clone(),
        }
    }

    /// Commits what is waiting and closes the files. Writing afterwards is an error.
    pub async fn close(&self) {
        self.registry.1.close().await;
        self.fleet.1.close();
        self.telemetry.1.close();
        for database in [&self.registry.0, &self.fleet.0, &self.telemetry.0] {
            database.close().await;
        }
    }
}
