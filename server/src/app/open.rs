//! Opening and closing the control plane.

use edgeflow_core::{Clock, OrganisationId, capture::Keeping, retention::Policy};
use edgeflow_store_sqlite::Sqlite;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

use crate::app::{
    App, AppError, Metrics, artifacts::Artifacts, authority::Authority, brokers, captures::Captures, hub::Hub, live::Places,
    presence::Presence, presigned,
};

/// Robots whose change can wait to be told before a slow listener re-reads all of them.
const CHANGES: usize = 4096;

/// What a control plane needs to open.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Folder that holds all it remembers; made when missing.
    pub data_dir: PathBuf,
    /// The folder was put back from a backup: raise the server epoch.
    pub restored: bool,
    /// A list of revoked certificates that may know more than the folder: those on it are revoked here, too.
    pub revocations: Option<PathBuf>,
    /// Sign documents with the next key from now on.
    pub rotate_document_key: bool,
    /// Most bytes of one uploaded bundle.
    pub max_model_bytes: u64,
    /// The program that says whether a bundle loads; without one its graph is only read.
    pub model_check: Option<PathBuf>,
    /// Most memory of a program that loads models: the one that checks a bundle, the one that replays frames. 0: as much as there is.
    pub model_memory_bytes: u64,
    /// Names and addresses under which robots reach this machine, beside the loopback ones.
    pub tls_names: Vec<String>,
    /// What is kept of robots' logs, and how long.
    pub retention: Policy,
    /// What is kept of captures.
    pub captures: Keeping,
}

impl AppOptions {
    /// Defaults on a folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            restored: false,
            revocations: None,
            rotate_document_key: false,
            max_model_bytes: 2 << 30,
            model_check: None,
            model_memory_bytes: 4 << 30,
            tls_names: Vec::new(),
            retention: Policy::default(),
            captures: Keeping::default(),
        }
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

impl App {
    /// Opens the control plane on its data folder.
    pub async fn open(options: AppOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, AppError> {
        options.retention.validate()?;
        options.captures.validate()?;
        std::fs::create_dir_all(&options.data_dir).map_err(AppError::artifact("making the data folder"))?;
        let artifacts = Artifacts::open(&options.data_dir)?;
        let captures = Captures::open(&options.data_dir, options.captures)?;
        let sqlite = Sqlite::open(&options.data_dir).await?;
        let stores = sqlite.stores();
        let now_us = clock.now_us();
        stores.server.identity(now_us).await?;
        stores.experiments.ensure_default_experiment(&OrganisationId::first(), now_us / 1000).await?;
        if options.restored {
            let identity = stores.server.raise_epoch(now_us).await?;
            tracing::warn!(server.epoch = identity.server_epoch, "the data folder was restored: server epoch raised");
        }
        let authority = Authority::open(&options.data_dir, &options.tls_names, options.rotate_document_key, now_us)?;
        match &options.revocations {
            Some(file) => {
                let robots = brokers::revoke_listed(&stores, &authority, file, now_us).await?;
                let names = robots.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                tracing::warn!(robots = names, "revoked again what the list of revoked certificates names");
            }
            None if options.restored => tracing::warn!(
                "robots that were revoked after the backup are let in again: revoke them again, or start with --revocations and the newest \
                 list of revoked certificates there is (a broker has it, or whoever fetched /api/v1/revoked.pem)"
            ),
            None => {}
        }
        let revoked = stores.identities.revoked_certificates(now_us).await?;
        authority.list_revoked(&revoked, now_us)?;
        authority.revoke(revoked.iter().map(|certificate| certificate.fingerprint));
        let (enrolled, _) = broadcast::channel(CHANGES);
        let (desired, _) = broadcast::channel(CHANGES);
        let (revoked, _) = broadcast::channel(CHANGES);
        let metrics = Metrics::new();
        Ok(Arc::new(Self {
            stores,
            sqlite,
            artifacts,
            captures,
            joining: tokio::sync::Mutex::default(),
            presigning: presigned::Key::new()?,
            authority: Arc::new(authority),
            hub: Hub::new(),
            presence: Presence::default(),
            overview: Default::default(),
            following: Default::default(),
            fleet: Default::default(),
            judgements: Default::default(),
            replays: Default::default(),
            live: Places::new()?,
            metrics,
            tasks: Default::default(),
            data_dir: options.data_dir,
            desired,
            enrolled,
            revoked,
            mqtt_address: OnceLock::new(),
            zenoh_address: OnceLock::new(),
            started_at_us: now_us,
            clock,
            admin_hash: Default::default(),
            max_model_bytes: options.max_model_bytes,
            model_check: options.model_check,
            model_memory_bytes: options.model_memory_bytes,
            retention: options.retention,
            telling: tokio::sync::RwLock::new(()),
        }))
    }

    /// Commits what is waiting and closes the files.
    pub async fn close(&self) {
        self.sqlite.close().await;
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}
