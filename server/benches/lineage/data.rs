//! A fleet's past, put into the files that a control plane opens.
//!
//! What people register goes through the store, as it does in use; what robots say is a million rows, which are put into the tables by
//! the statements below. They know the tables: a change of those breaks this loudly, not silently.

use edgeflow_bundle::{BASELINE_FILE, Bundle, Digest, GraphReport};
use edgeflow_core::{
    ModelName, OrganisationId,
    dataset::{Dataset, DatasetInput},
    experiment::Pair,
    logged_model::NewLoggedModel,
    model::{Model, NewModelVersion, Origin, Tags, VersionBundle},
    run::{CONTEXT_TAG, LogBatch, Metric, ModelLink, NewMetric, NewRun},
};
use edgeflow_store::Stores;
use edgeflow_store_sqlite::Sqlite;
use futures::{StreamExt, TryStreamExt, stream};
use std::path::{Path, PathBuf};

/// Robots.
pub(crate) const ROBOTS: u64 = 10_000;
/// Attested intervals of each.
pub(crate) const INTERVALS: u64 = 100;
/// Versions, of [`MODELS`] models.
pub(crate) const VERSIONS: u64 = 1_000;
const MODELS: u64 = 50;
/// Datasets that the versions come from.
pub(crate) const DATASETS: u64 = 100;
/// Every so many-th run takes in a model of the one before.
const TUNED: u64 = 4;
/// Log entries of each robot, of classes that make timelines.
const ENTRIES: u64 = 100;
/// When it all began, microseconds since the Unix epoch.
pub(crate) const START_US: i64 = 1_760_000_000_000_000;
/// From one interval to the next: three days and a half, so that it is a year.
pub(crate) const STEP_US: i64 = 7 * DAY_US / 2;
/// A day.
pub(crate) const DAY_US: i64 = 86_400_000_000;

/// Name of a robot.
pub(crate) fn robot(number: u64) -> String {
    format!("robot-{number:05}")
}

/// Digest of a dataset.
pub(crate) fn dataset(number: u64) -> String {
    format!("{:08x}", number * 2_654_435_761 % 4_294_967_296)
}

/// Which version a robot ran in an interval: every one is run by many, and no robot runs one twice in a row.
const VERSION_OF: &str = "((r.value * 31 + k.value * 17) % 1000)";

fn model(version: u64) -> (ModelName, String) {
    (ModelName::new(format!("model-{:02}", version % MODELS)).unwrap(), (version / MODELS + 1).to_string())
}

fn digest(version: u64) -> String {
    Digest::of(format!("version {version}").as_bytes()).to_string()
}

fn run_id(version: u64) -> String {
    format!("{version:032x}")
}

/// Makes the files and fills them.
pub(crate) async fn fill(folder: &Path) {
    let sqlite = Sqlite::open(folder).await.unwrap();
    let stores = sqlite.stores();
    stores.server.identity(1).await.unwrap();
    stores.experiments.ensure_default_experiment(&OrganisationId::first(), 1).await.unwrap();
    register(&stores, folder).await;
    sqlite.close().await;
    tell(folder);
    say(folder);
    act(folder);
}

/// Models with a run, a dataset and a drift reference each.
async fn register(stores: &Stores, folder: &Path) {
    let organisation = OrganisationId::first();
    let demo = Bundle::open(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sim/models/v1")).unwrap();
    let baseline = demo.files.iter().find(|file| file.path == BASELINE_FILE).unwrap();
    let hex = baseline.sha256.hex();
    let place = folder.join("artifacts/sha256").join(&hex[..2]);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join(&hex), demo.baseline.as_ref().unwrap()).unwrap();
    for number in 0..MODELS {
        let name = model(number).0;
        stores.models.create_model(&organisation, &Model::new(name, START_US, "administrator".to_owned())).await.unwrap();
    }
    // Versions of one model one after the other, so that their numbers are what `model` says; models beside each other.
    let per_model = stream::iter(0..MODELS).map(|of| {
        let (demo, organisation) = (&demo, &organisation);
        async move {
            for version in (of..VERSIONS).step_by(MODELS as usize) {
                train(stores, organisation, version).await;
                let registered = stores.models.create_model_version(organisation, &registration(demo, version)).await.unwrap().0;
                assert_eq!(registered.version(), model(version).1);
            }
            Ok::<(), std::convert::Infallible>(())
        }
    });
    per_model.buffer_unordered(16).try_collect::<()>().await.unwrap();
}

async fn train(stores: &Stores, organisation: &OrganisationId, version: u64) {
    let id = run_id(version);
    let start_ms = START_US / 1_000;
    let tags = vec![Pair::new("mlflow.source.git.commit", format!("{version:040x}")), Pair::new("mlflow.source.name", "train.py")];
    let run = NewRun { id: id.clone(), experiment: 0, name: format!("train {version}"), user: "ada".into(), start_ms, tags };
    stores.runs.create_run(organisation, &run).await.unwrap();
    let metric = |place: u64| {
        let metric = Metric { key: format!("metric-{place}"), value: (version + place) as f64 / 7.0, timestamp_ms: start_ms, step: 100 };
        NewMetric { metric, model_id: None, dataset_name: String::new(), dataset_digest: String::new() }
    };
    let param = |place: u64| Pair::new(format!("param-{place}"), (version % (place + 2)).to_string());
    let params = (0..20).map(param).chain([Pair::new("rate", format!("{}", version as f64 / 1e4))]).collect();
    let batch = LogBatch { metrics: (0..20).map(metric).collect(), params, tags: Vec::new() };
    stores.runs.log(organisation, &id, batch).await.unwrap();
    let input = |name: &str, digest: String, context: &str| DatasetInput {
        dataset: Dataset { name: name.into(), digest, source_type: "local".into(), source: "{}".into(), schema: None, profile: None },
        tags: vec![Pair::new(CONTEXT_TAG, context)],
    };
    let datasets = [input("frames", dataset(version % DATASETS), "training"), input("held-out", "5eed".to_owned(), "eval")];
    // A backbone: what the run before of the same model made.
    let tuned = version.is_multiple_of(TUNED) && version >= MODELS;
    let models: Vec<ModelLink> = tuned.then(|| ModelLink { model_id: format!("m-{}", version - MODELS), step: 0 }).into_iter().collect();
    stores.runs.log_inputs(organisation, &id, &datasets, &models).await.unwrap();
    let made = NewLoggedModel {
        id: format!("m-{version}"),
        experiment: 0,
        name: "model".into(),
        model_type: String::new(),
        source_run_id: id,
        params: Vec::new(),
        tags: Vec::new(),
        created_ms: start_ms,
    };
    stores.logged_models.create_logged_model(organisation, &made).await.unwrap();
}

fn registration(demo: &Bundle, version: u64) -> NewModelVersion {
    NewModelVersion {
        model: model(version).0,
        bundle: Some(VersionBundle {
            kind: edgeflow_wire::SlotKind::Model,
            digest: digest(version),
            model_digest: digest(version),
            files: demo.files.clone(),
            schema: demo.schema.clone(),
            labels: demo.labels().to_vec(),
            manifest: Some("v: 1\n".to_owned()),
            report: Some(GraphReport { nodes: version, ..GraphReport::default() }),
        }),
        note: String::new(),
        origin: Origin { run_id: Some(run_id(version)), model_id: Some(format!("m-{version}")), ..Origin::default() },
        description: String::new(),
        tags: Tags::new(),
        created_at_us: START_US,
        created_by: "administrator".into(),
    }
}

/// Opens a file that was migrated, with the digests of versions at hand, for one large transaction.
fn open(folder: &Path, file: &str) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(folder.join(file)).unwrap();
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -200000; BEGIN; \
             CREATE TEMP TABLE v (number INTEGER PRIMARY KEY, model TEXT, version TEXT, digest TEXT); \
             CREATE TEMP TABLE robot (value INTEGER PRIMARY KEY, name TEXT); CREATE TEMP TABLE k (value INTEGER PRIMARY KEY)",
        )
        .unwrap();
    {
        let mut row = connection.prepare("INSERT INTO temp.v VALUES (?1, ?2, ?3, ?4)").unwrap();
        for version in 0..VERSIONS {
            let (model, number) = model(version);
            row.execute((version as i64, model.as_str(), number, digest(version))).unwrap();
        }
        let mut row = connection.prepare("INSERT INTO temp.robot VALUES (?1, ?2)").unwrap();
        for number in 0..ROBOTS {
            row.execute((number as i64, robot(number))).unwrap();
        }
        let mut row = connection.prepare("INSERT INTO temp.k VALUES (?1)").unwrap();
        for number in 0..INTERVALS.max(ENTRIES) {
            row.execute([number as i64]).unwrap();
        }
    }
    connection
}

fn run(connection: &rusqlite::Connection, statements: &[String]) {
    for statement in statements {
        connection.execute(statement, []).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

fn close(connection: rusqlite::Connection) {
    // As a server's own maintenance would: the planner sees what it chooses among as it does in use, without statistics.
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// fleet.db: robots, a deployment for each version and interval, and commands.
fn tell(folder: &Path) {
    let connection = open(folder, "fleet.db");
    let organisation = OrganisationId::first();
    run(
        &connection,
        &[
            format!(
                "INSERT INTO targets (name, organisation, labels, token_hash, created_at_us, server_epoch, generation) \
                 SELECT name, '{organisation}', '{{}}', zeroblob(32), {START_US}, 1, {INTERVALS} FROM temp.robot"
            ),
            // Deployment k * 1000 + version + 1 brought the version to its robots for interval k.
            format!(
                "INSERT INTO deployments (id, organisation, model, version, digest, slot, created_at_us, created_by) \
                 SELECT k.value * 1000 + v.number + 1, '{organisation}', v.model, v.version, v.digest, 'default', \
                   {START_US} + k.value * {STEP_US} - 60000000, 'administrator' FROM temp.k k, temp.v v WHERE k.value < {INTERVALS}"
            ),
            format!(
                "INSERT INTO deployment_targets (deployment, organisation, target, slot, server_epoch, generation, superseded_server_epoch, \
                   superseded_generation) \
                 SELECT k.value * 1000 + {VERSION_OF} + 1, '{organisation}', r.name, 'default', 1, k.value + 1, \
                   iif(k.value < {INTERVALS} - 1, 1, NULL), iif(k.value < {INTERVALS} - 1, k.value + 2, NULL) \
                 FROM temp.k k, temp.robot r WHERE k.value < {INTERVALS} ORDER BY 1, 3"
            ),
            format!(
                "INSERT INTO commands (id, organisation, target, action, issued_us, expires_us, created_by) \
                 SELECT r.name || '-' || k.value, '{organisation}', r.name, '{{\"kind\":\"resume\"}}', {START_US} + k.value * 73 * {DAY_US}, \
                   {START_US} + k.value * 73 * {DAY_US} + 60000000, 'administrator' FROM temp.k k, temp.robot r WHERE k.value < 5"
            ),
        ],
    );
    close(connection);
}

/// telemetry.db: what robots said they ran, by which step, and what else happened.
fn say(folder: &Path) {
    let connection = open(folder, "telemetry.db");
    let organisation = OrganisationId::first();
    let at = format!("{START_US} + k.value * {STEP_US} + r.value");
    run(
        &connection,
        &[
            format!(
                "INSERT INTO robots (id, organisation, target, last_seen_us) SELECT value + 1, '{organisation}', name, {START_US} FROM temp.robot"
            ),
            format!("INSERT INTO epochs (id, robot, epoch, seen_us) SELECT value + 1, value + 1, 'epoch-1', {START_US} FROM temp.robot"),
            // By time, as they arrive: a robot's rows lie far apart.
            format!(
                "INSERT INTO intervals (organisation, robot, slot, model, version, digest, from_us, last_us, to_us) \
                 SELECT '{organisation}', r.value + 1, 'default', v.model, v.version, v.digest, {at}, \
                   iif(k.value < {INTERVALS} - 1, {at} + {STEP_US} - 1000000, NULL), iif(k.value < {INTERVALS} - 1, {at} + {STEP_US}, NULL) \
                 FROM temp.k k, temp.robot r JOIN temp.v v ON v.number = {VERSION_OF} WHERE k.value < {INTERVALS} ORDER BY k.value, r.value"
            ),
            format!(
                "INSERT INTO slots (robot, slot, state, since_us, epoch, class, seq, t_us) \
                 SELECT robot, slot, json_object('status', 'active', 'model', model, 'version', version, 'digest', digest, 'reason', ''), \
                   from_us, robot, 0, 1, from_us + {DAY_US} FROM intervals WHERE to_us IS NULL"
            ),
            format!(
                "INSERT INTO attestations (organisation, robot, slot, server_epoch, generation, digest, status, reason, at_us) \
                 SELECT '{organisation}', r.value + 1, 'default', 1, k.value + 1, v.digest, '\"active\"', '', {at} \
                 FROM temp.k k, temp.robot r JOIN temp.v v ON v.number = {VERSION_OF} WHERE k.value < {INTERVALS} ORDER BY k.value, r.value"
            ),
            format!(
                "INSERT INTO entries (organisation, robot, epoch, class, seq, kind, t_us, boot_us, received_us, body) \
                 SELECT '{organisation}', r.value + 1, r.value + 1, 1, k.value + 1, 'fault', {at} + 3600000000, 1, {at} + 3600000000, \
                   '{{\"source\":\"camera\",\"message\":\"no frames for 3 s: look at the cable\"}}' \
                 FROM temp.k k, temp.robot r WHERE k.value < {ENTRIES} ORDER BY k.value, r.value"
            ),
        ],
    );
    let intervals: i64 = connection.query_row("SELECT COUNT(*) FROM intervals", [], |row| row.get(0)).unwrap();
    assert_eq!(intervals, (ROBOTS * INTERVALS) as i64);
    close(connection);
}

/// registry.db: who enrolled robots and renewed their certificates, and who made what of versions.
fn act(folder: &Path) {
    let connection = open(folder, "registry.db");
    let organisation = OrganisationId::first();
    run(
        &connection,
        &[
            format!(
                "INSERT INTO audit (organisation, at_us, who, action, resource, outcome, detail) \
                 SELECT '{organisation}', {START_US} + k.value * 20 * {DAY_US}, 'robot:' || r.name, \
                   iif(k.value = 0, 'enrol_target', 'issue_certificate'), 'target/' || r.name, 'done', '{{}}' \
                 FROM temp.k k, temp.robot r WHERE k.value < 19 ORDER BY k.value"
            ),
            format!(
                "INSERT INTO audit (organisation, at_us, who, action, resource, outcome, detail) \
                 SELECT '{organisation}', {START_US} + k.value, 'administrator', 'write_model', 'model/' || v.model || '/' || v.version, 'done', \
                   iif(k.value = 0, '{{\"digest\":\"d\"}}', '{{\"stage\":\"Production\"}}') FROM temp.k k, temp.v v WHERE k.value < 3"
            ),
        ],
    );
    close(connection);
}
