//! Lineage in the words of [OpenLineage](https://openlineage.io), spec 2-0-2: run events of jobs with datasets in and out.
//!
//! Four kinds of jobs make the chain from a dataset to a robot, each taking in what the one before gave:
//! `training/{experiment}` (datasets and logged models to logged models), `registration/{model}` (a logged model to a version),
//! `deployment/{slot}` (a version to robots' slots as they are *told*) and `serving/{robot}/{slot}` (the version that the robot
//! *itself said* it serves, from START to COMPLETE). What happened twice is told under the same run id, so that a consumer that is
//! told again learns nothing new.

use edgeflow_bundle::Digest;
use serde_json::{Map, Value, json};
use std::{fmt, str::FromStr};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    CoreError, OrganisationId,
    dataset::DatasetInput,
    deployment::Deployment,
    lineage::Interval,
    logged_model::LoggedModel,
    model::ModelVersion,
    provenance::{ProvenanceRun, Via},
    run::{Run, RunStatus},
};

/// Namespace of jobs, models and robots when nothing else is said.
pub const NAMESPACE: &str = "edgeflow";
/// Identifies this program to whoever reads the events.
pub const PRODUCER: &str = concat!("urn:edgeflow:server:", env!("CARGO_PKG_VERSION"));
/// The schemas of our own facets: docs/openlineage-facets.json, whose `$id` this is.
pub const FACETS: &str = "urn:edgeflow:openlineage-facets:1-0-0";
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACET: &str = "https://openlineage.io/spec/facets";
/// Most robots that one event of a deployment names; more make more events of the same run.
pub const ROBOTS_AT_ONCE: usize = 500;
const MICROSECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Something that happened to lineage.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A run began, ended or went on, and where it then was.
    Run {
        /// Its id.
        run_id: String,
        /// Where it then was.
        status: RunStatus,
        /// When, microseconds since the Unix epoch.
        at_us: i64,
        /// Whether that was its beginning.
        began: bool,
    },
    /// A version was registered; whether it was deleted since.
    Registered(Box<ModelVersion>, bool),
    /// A deployment was made.
    Deployed(Deployment),
    /// A robot began to say that it ran something, or ceased to.
    Served {
        /// Number of the interval.
        id: i64,
        /// Which robot.
        target: String,
        /// What it said.
        interval: Interval,
        /// Whether it ceased to.
        ended: bool,
    },
}

/// A place in all that happens, which is in several databases, each with an order of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor(pub [i64; 3]);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first}.{second}.{third}")
    }
}

impl FromStr for Cursor {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let bad = || CoreError::BadName { what: "place", name: text.chars().take(64).collect(), rule: "give the cursor of an export" };
        let parts = text.split('.').map(|part| part.parse::<i64>().ok().filter(|part| *part >= 0)).collect::<Option<Vec<_>>>();
        <[i64; 3]>::try_from(parts.ok_or_else(bad)?).map(Self).map_err(|_| bad())
    }
}

/// A run with what its event tells beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The run.
    pub run: Run,
    /// Name of its experiment.
    pub experiment: String,
    /// Its parent, with the name of that one's experiment.
    pub parent: Option<(String, String)>,
    /// Logged models that went in and came out.
    pub models: Vec<LoggedModel>,
}

/// Makes events in a namespace.
#[derive(Debug, Clone)]
pub struct Events {
    namespace: String,
    organisation: OrganisationId,
}

impl Events {
    /// Events of an organisation. Two control planes that tell the same consumer need two namespaces.
    pub fn new(namespace: &str, organisation: &OrganisationId) -> Self {
        Self { namespace: namespace.to_owned(), organisation: organisation.clone() }
    }

    /// A run that began, ended or went on.
    pub fn training(&self, training: &Training, status: RunStatus, at_us: i64, began: bool) -> Value {
        let run = &training.run;
        let shown = ProvenanceRun::of(run.clone(), Via::Made);
        let event_type = match status {
            RunStatus::Running if began => "START",
            RunStatus::Running => "RUNNING",
            RunStatus::Scheduled => "OTHER",
            RunStatus::Finished => "COMPLETE",
            RunStatus::Failed => "FAIL",
            RunStatus::Killed => "ABORT",
        };
        let params: Vec<Value> = shown.params.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let mut facets = Map::new();
        let body = json!({ "runName": shown.name, "user": shown.user, "status": shown.status, "params": params, "metrics": shown.metrics });
        facets.insert("edgeflow_training".to_owned(), own("EdgeflowTrainingRunFacet", body));
        if let Some((parent, experiment)) = &training.parent {
            let job = json!({ "namespace": self.namespace, "name": training_job(experiment) });
            let body = json!({ "run": { "runId": self.run_id_of(parent) }, "job": job });
            facets.insert("parent".to_owned(), standard("1-2-0", "ParentRunFacet", body));
        }
        let mut job = job_type("TRAINING", "BATCH");
        if let Some(facet) = source_code(run, &shown) {
            job.insert("sourceCodeLocation".to_owned(), facet);
        }
        let inputs = run.datasets.iter().map(|input| self.input(input));
        let linked = |links: &[crate::run::ModelLink]| {
            let found = links.iter().filter_map(|link| training.models.iter().find(|model| model.id == link.model_id));
            found.map(|model| self.logged_model(model)).collect::<Vec<_>>()
        };
        let inputs: Vec<Value> = inputs.chain(linked(&run.model_inputs)).collect();
        let mut outputs = linked(&run.model_outputs);
        let made = training.models.iter().filter(|model| model.source_run_id == run.info.id);
        for model in made.map(|model| self.logged_model(model)) {
            if !outputs.contains(&model) {
                outputs.push(model);
            }
        }
        outputs.push(json!({ "namespace": self.namespace, "name": run_dataset(&run.info.id), "facets": {} }));
        let who = Who { id: self.run_id_of(&run.info.id), facets, job: training_job(&training.experiment), job_facets: job };
        self.event(event_type, at_us, who, inputs, outputs)
    }

    /// A version that was registered. `model` is the logged model it is.
    pub fn registered(&self, version: &ModelVersion, deleted: bool, model: Option<&LoggedModel>) -> Value {
        let registered = &version.registered;
        let name = registered.model.to_string();
        let body = json!({
            "createdBy": registered.created_by, "source": registered.origin.source, "deleted": deleted, "note": registered.note,
        });
        let facets = Map::from_iter([("edgeflow_registration".to_owned(), own("EdgeflowRegistrationRunFacet", body))]);
        let from = match (model, &registered.origin.run_id) {
            (Some(model), _) => vec![self.logged_model(model)],
            (None, Some(run)) => vec![json!({ "namespace": self.namespace, "name": run_dataset(run), "facets": {} })],
            (None, None) => Vec::new(),
        };
        let digest = registered.bundle.as_ref().map(|bundle| bundle.digest.as_str());
        let mut output = self.version(&name, &version.version(), digest.unwrap_or_default());
        if let (Some(bundle), Some(facets)) = (&registered.bundle, output.get_mut("facets").and_then(Value::as_object_mut)) {
            let field = |place: &str, tensor: &edgeflow_bundle::ValueInfo| json!({ "name": tensor.name, "type": tensor.to_string(), "description": place });
            let inputs = bundle.schema.inputs.iter().map(|tensor| field("input", tensor));
            let fields: Vec<Value> = inputs.chain(bundle.schema.outputs.iter().map(|tensor| field("output", tensor))).collect();
            facets.insert("schema".to_owned(), standard("1-2-0", "SchemaDatasetFacet", json!({ "fields": fields })));
        }
        let who = Who {
            id: self.uuid(&format!("version {name} {} {}", version.number, registered.created_at_us)),
            facets,
            job: format!("registration/{name}"),
            job_facets: job_type("REGISTRATION", "BATCH"),
        };
        self.event("COMPLETE", registered.created_at_us, who, from, vec![output])
    }

    /// A deployment that was made: what robots are told. Several events of one run when it names many robots.
    pub fn deployed(&self, deployment: &Deployment) -> Vec<Value> {
        let input = self.version(deployment.model.as_str(), &deployment.version, &deployment.digest);
        let of_robots = |asked: &[crate::deployment::Asked]| {
            let slot = |asked: &crate::deployment::Asked| {
                let name = format!("robots/{}/{}/desired", asked.target, deployment.slot);
                json!({ "namespace": self.namespace, "name": name, "facets": { "version": version_facet(&asked.version.generation.to_string()) } })
            };
            let body =
                json!({ "deployment": deployment.id.to_string(), "createdBy": deployment.created_by, "robots": deployment.asked.len() });
            let who = Who {
                id: self.uuid(&format!("deployment {}", deployment.id)),
                facets: Map::from_iter([("edgeflow_deployment".to_owned(), own("EdgeflowDeploymentRunFacet", body))]),
                job: format!("deployment/{}", deployment.slot),
                job_facets: job_type("DEPLOYMENT", "BATCH"),
            };
            self.event("COMPLETE", deployment.created_at_us, who, vec![input.clone()], asked.iter().map(slot).collect())
        };
        deployment.asked.chunks(ROBOTS_AT_ONCE).map(of_robots).collect()
    }

    /// What a robot said it serves: from when, or until when.
    pub fn served(&self, id: i64, target: &str, interval: &Interval, ended: bool) -> Value {
        let body = json!({
            "robot": target, "slot": interval.slot, "digest": interval.digest,
            "attestedFrom": rfc3339(interval.from_us), "lastAttested": rfc3339(interval.last_us),
        });
        let who = Who {
            id: self.uuid(&format!("interval {id}")),
            facets: Map::from_iter([("edgeflow_attestation".to_owned(), own("EdgeflowAttestationRunFacet", body))]),
            job: format!("serving/{target}/{}", interval.slot),
            job_facets: job_type("SERVING", "SERVICE"),
        };
        let input = self.version(&interval.model, &interval.version, &interval.digest);
        let (event_type, at_us) =
            if ended { ("COMPLETE", interval.to_us.unwrap_or(interval.last_us)) } else { ("START", interval.from_us) };
        self.event(event_type, at_us, who, vec![input], Vec::new())
    }

    fn event(&self, event_type: &str, at_us: i64, who: Who, inputs: Vec<Value>, outputs: Vec<Value>) -> Value {
        json!({
            "eventType": event_type,
            "eventTime": rfc3339(at_us),
            "run": { "runId": who.id, "facets": who.facets },
            "job": { "namespace": self.namespace, "name": who.job, "facets": who.job_facets },
            "inputs": inputs,
            "outputs": outputs,
            "producer": PRODUCER,
            "schemaURL": EVENT,
        })
    }

    /// A dataset that went into a run. Its namespace says what kind of source it has.
    fn input(&self, input: &DatasetInput) -> Value {
        let shown = ProvenanceRun::dataset(input);
        let dataset = &input.dataset;
        let mut facets = Map::from_iter([("version".to_owned(), version_facet(&dataset.digest))]);
        if let Some(fields) = dataset.schema.as_deref().and_then(columns) {
            facets.insert("schema".to_owned(), standard("1-2-0", "SchemaDatasetFacet", json!({ "fields": fields })));
        }
        let source = serde_json::from_str::<Value>(&dataset.source).ok();
        let uri = ["uri", "url", "path"].iter().find_map(|key| source.as_ref()?.get(key)?.as_str());
        if let Some(uri) = uri {
            facets.insert(
                "dataSource".to_owned(),
                standard("1-0-1", "DatasourceDatasetFacet", json!({ "name": dataset.source_type, "uri": uri })),
            );
        }
        let body = json!({ "context": shown.context, "trainedOn": shown.trained_on });
        let context = json!({ "edgeflow_context": own("EdgeflowContextInputDatasetFacet", body) });
        let namespace = if dataset.source_type.is_empty() { "dataset" } else { &dataset.source_type };
        json!({ "namespace": namespace, "name": dataset.name, "facets": facets, "inputFacets": context })
    }

    fn logged_model(&self, model: &LoggedModel) -> Value {
        json!({ "namespace": self.namespace, "name": format!("logged-models/{}", model.id), "facets": { "version": version_facet(&model.id) } })
    }

    fn version(&self, model: &str, version: &str, digest: &str) -> Value {
        let mut facets = Map::from_iter([("version".to_owned(), version_facet(version))]);
        if !digest.is_empty() {
            facets.insert("edgeflow_bundle".to_owned(), own("EdgeflowBundleDatasetFacet", json!({ "digest": digest })));
        }
        json!({ "namespace": self.namespace, "name": format!("models/{model}/{version}"), "facets": facets })
    }

    /// A run's id as the UUID that events want: the same digits where it has those.
    fn run_id_of(&self, run: &str) -> String {
        let digits = run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits { dashed(run) } else { self.uuid(&format!("run {run}")) }
    }

    /// The same for the same thing, whenever it is asked: a UUID of version 8 (RFC 9562) out of a SHA-256.
    fn uuid(&self, what: &str) -> String {
        let digest = Digest::of(format!("{}\0{}\0{what}", self.namespace, self.organisation.as_str()).as_bytes());
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, ..] = *digest.as_bytes();
        let bytes = [b0, b1, b2, b3, b4, b5, b6 & 0x0f | 0x80, b7, b8 & 0x3f | 0x80, b9, b10, b11, b12, b13, b14, b15];
        dashed(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

/// Whose event.
struct Who {
    id: String,
    facets: Map<String, Value>,
    job: String,
    job_facets: Map<String, Value>,
}

fn training_job(experiment: &str) -> String {
    format!("training/{experiment}")
}

/// What a run logged, as a whole: models that were registered from its artifacts come from there.
fn run_dataset(run: &str) -> String {
    format!("runs/{run}")
}

/// 32 hex digits as a UUID is written.
fn dashed(hex: &str) -> String {
    let mut text = String::with_capacity(36);
    for (place, digit) in hex.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn rfc3339(t_us: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(t_us) * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(MICROSECONDS).unwrap_or_else(|_| "1970-01-01T00:00:00.000000Z".to_owned())
}

/// A facet of the specification.
fn standard(version: &str, name: &str, body: Value) -> Value {
    facet(format!("{FACET}/{version}/{name}.json#/$defs/{name}"), body)
}

/// A facet of ours.
fn own(name: &str, body: Value) -> Value {
    facet(format!("{FACETS}#/$defs/{name}"), body)
}

fn facet(schema: String, mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("_producer".to_owned(), PRODUCER.into());
        fields.insert("_schemaURL".to_owned(), schema.into());
    }
    body
}

fn version_facet(version: &str) -> Value {
    standard("1-0-1", "DatasetVersionDatasetFacet", json!({ "datasetVersion": version }))
}

fn job_type(kind: &str, processing: &str) -> Map<String, Value> {
    let body = json!({ "processingType": processing, "integration": "EDGEFLOW", "jobType": kind });
    Map::from_iter([("jobType".to_owned(), standard("2-0-4", "JobTypeJobFacet", body))])
}

/// Where the code of a run is, when its client said so.
fn source_code(run: &Run, shown: &ProvenanceRun) -> Option<Value> {
    let tag = |key: &str| run.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str());
    if shown.commit.is_empty() {
        return None;
    }
    let repository = tag("mlflow.source.git.repoURL");
    let mut body = json!({ "type": "git", "url": repository.unwrap_or(&shown.entry_point), "version": shown.commit });
    if let Some(fields) = body.as_object_mut() {
        for (name, value) in [("repoUrl", repository), ("branch", tag("mlflow.source.git.branch"))] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value.into());
            }
        }
        if !shown.entry_point.is_empty() {
            fields.insert("path".to_owned(), shown.entry_point.clone().into());
        }
    }
    Some(standard("1-1-0", "SourceCodeLocationJobFacet", body))
}

/// Columns of a dataset's schema, as MLflow's clients write it: column by column, or tensor by tensor.
fn columns(schema: &str) -> Option<Vec<Value>> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    if let Some(columns) = schema.get("mlflow_colspec").and_then(Value::as_array) {
        let field = |column: &Value| {
            let kind = column.get("type").and_then(Value::as_str).unwrap_or_default();
            column.get("name").and_then(Value::as_str).map(|name| json!({ "name": name, "type": kind }))
        };
        return Some(columns.iter().filter_map(field).collect());
    }
    let tensors = schema.get("mlflow_tensorspec")?.as_object()?;
    let field = |(name, tensor): (&String, &Value)| {
        let kind = tensor.get("type").or_else(|| tensor.get("tensor-spec")).map(Value::to_string);
        kind.map(|kind| json!({ "name": name, "type": kind }))
    };
    Some(tensors.iter().filter_map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        Events::new(NAMESPACE, &OrganisationId::first())
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_refused() {
        let cursor = Cursor([1, 0, i64::MAX]);
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "-1.2.3"] {
            assert!(text.parse::<Cursor>().unwrap_err().to_string().contains("cursor of an export"), "{text}");
        }
    }

    #[test]
    fn ids_are_uuids_and_the_same_for_the_same_thing() {
        let (events, run) = (events(), "0123456789abcdef0123456789abcdef");
        assert_eq!(events.run_id_of(run), "01234567-89ab-cdef-0123-456789abcdef");
        let other = events.run_id_of("imported-run");
        assert_eq!((other.len(), other.as_bytes()[14], other.clone()), (36, b'8', events.run_id_of("imported-run")));
        assert!(matches!(other.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{other}");
        assert_ne!(events.uuid("deployment 1"), events.uuid("interval 1"));
        assert_ne!(events.uuid("deployment 1"), Events::new("other", &OrganisationId::first()).uuid("deployment 1"));
    }

    #[test]
    fn times_are_told_to_the_microsecond() {
        assert_eq!(rfc3339(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn schemas_are_read_as_mlflows_clients_write_them() {
        let spec = r#"{"mlflow_colspec": [{"type": "double", "name": "x", "required": true}, {"type": "long", "name": "y"}]}"#;
        assert_eq!(columns(spec).unwrap(), [json!({ "name": "x", "type": "double" }), json!({ "name": "y", "type": "long" })]);
        assert_eq!((columns("no JSON"), columns("{}")), (None, None));
    }

    #[test]
    fn an_interval_starts_and_completes_one_run_of_the_robots_own_word() {
        let interval = Interval {
            slot: "default".into(),
            model: "reader".into(),
            version: "2".into(),
            digest: "sha256:aa".into(),
            from_us: 1,
            last_us: 2,
            to_us: Some(3),
        };
        let (start, end) = (events().served(7, "robot-1", &interval, false), events().served(7, "robot-1", &interval, true));
        assert_eq!(
            (&start["eventType"], &end["eventType"], &start["run"]["runId"]),
            (&json!("START"), &json!("COMPLETE"), &end["run"]["runId"])
        );
        assert_eq!((&end["eventTime"], &end["job"]["name"]), (&json!("1970-01-01T00:00:00.000003Z"), &json!("serving/robot-1/default")));
        assert_eq!((&end["inputs"][0]["name"], &end["schemaURL"]), (&json!("models/reader/2"), &json!(EVENT)));
        let schema = end["run"]["facets"]["edgeflow_attestation"]["_schemaURL"].as_str().unwrap();
        assert_eq!(schema, "urn:edgeflow:openlineage-facets:1-0-0#/$defs/EdgeflowAttestationRunFacet");
    }
}
