//! The control plane as any client sees it: its HTTP API, and of the answers only what the story needs.

use reqwest::{Client, Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use super::DemoError;

/// As long as anything here lasts.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// Rows per page when a list is read whole.
pub(super) const PAGE: usize = 500;

/// A client of `/api/v1` with the administrator's token.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    client: Client,
    base: String,
    token: String,
}

/// Who the control plane is.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Its software version.
    pub version: String,
}

/// A robot that was just made known. The token is told this once.
#[derive(Deserialize)]
pub struct Enrolled {
    /// The robot's own token, for doors without TLS.
    pub token: String,
}

/// What gets a robot its certificate, once.
#[derive(Deserialize)]
pub struct Bootstrap {
    /// The token.
    pub token: String,
}

/// A robot.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Whether its bridge is connected.
    pub online: bool,
    /// What it attested last, per slot.
    #[serde(default)]
    pub slots: BTreeMap<String, Slot>,
    /// Drift of its newest window.
    pub drift: Option<Drift>,
    /// Accuracy of what it ran last.
    pub accuracy: Option<Accuracy>,
}

/// One slot as the robot attested it.
#[derive(Debug, Clone, Deserialize)]
pub struct Slot {
    /// Status of its newest deployment.
    #[serde(default)]
    pub status: String,
    /// Bundle digest that serves frames.
    #[serde(default)]
    pub digest: Option<String>,
    /// Why, when it failed.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Drift of one robot.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Drift {
    /// Whether a feature is flagged.
    pub flagged: bool,
    /// Greatest population stability index of the newest window; none when it is not finite.
    pub max_psi: Option<f64>,
    /// Windows closed.
    pub windows: u64,
}

/// One closed drift window of a robot.
#[derive(Debug, Clone, Deserialize)]
pub struct DriftReport {
    /// Bundle digest the baseline belongs to.
    pub digest: String,
    /// Time of the window's first frame, microseconds since the Unix epoch.
    pub start_us: i64,
    /// Whether a feature is flagged.
    pub flagged: bool,
    /// Greatest population stability index of the features.
    #[serde(with = "edgeflow_wire::float")]
    pub max_psi: f64,
    /// Per feature.
    pub features: Vec<DriftFeature>,
}

/// One feature of a drift window.
#[derive(Debug, Clone, Deserialize)]
pub struct DriftFeature {
    /// Its name.
    pub name: String,
    /// Whether it is flagged.
    pub flagged: bool,
}

/// Accuracy against ground truth.
#[derive(Debug, Clone, Deserialize)]
pub struct Accuracy {
    /// Bundle digest it is about.
    pub digest: String,
    /// 0 to 1; none before the first sample.
    pub accuracy: Option<f64>,
    /// Results it was measured on.
    pub samples: u64,
}

/// A registered model version.
#[derive(Debug, Clone, Deserialize)]
pub struct Version {
    /// Registry name.
    pub model: String,
    /// Registry version.
    pub version: String,
    /// Bundle digest.
    pub digest: String,
}

/// A deployment to some robots.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// Identity, a number or a text.
    pub id: serde_json::Value,
    /// `progressing`, `succeeded`, `failed` or `superseded`.
    pub state: String,
    /// Per robot.
    pub targets: Vec<DeploymentTarget>,
}

/// How one robot stands with a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentTarget {
    /// The robot.
    pub target: String,
    /// `pending`, `downloading`, ... `active`, `failed`.
    pub status: String,
    /// Why, when it failed.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How much of a robot's log the control plane holds, by its own count.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// Per epoch and class.
    pub classes: Vec<LogClass>,
    /// Sums.
    pub entries: LogSums,
    /// Batches that were refused.
    #[serde(default)]
    pub refused_batches: u64,
}

/// One class of one epoch.
#[derive(Debug, Clone, Deserialize)]
pub struct LogClass {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// First sequence number that is not held.
    pub next_seq: u64,
    /// Rows.
    pub stored: u64,
    /// Sequence numbers.
    pub distinct: u64,
    /// Sequence numbers recorded as lost.
    pub lost: u64,
}

/// A range of a robot's log that will never come.
#[derive(Debug, Clone, Deserialize)]
pub struct Loss {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// First sequence number.
    pub first_seq: u64,
    /// Last sequence number.
    pub last_seq: u64,
    /// Why.
    pub cause: String,
}

/// Sums over all epochs and classes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct LogSums {
    /// Rows.
    pub stored: u64,
    /// Rows beyond the first of a sequence number.
    pub duplicated: u64,
    /// Gaps that no recorded loss explains.
    pub missing: u64,
    /// Sequence numbers recorded as lost.
    pub lost_recorded: u64,
}

/// One entry of a robot's log, as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// Place in its class, from 1.
    #[serde(with = "edgeflow_wire::u64_string")]
    pub seq: u64,
    /// When the control plane got it, microseconds since the Unix epoch.
    pub received_us: i64,
    /// What it is.
    pub kind: String,
    /// Content.
    pub body: serde_json::Value,
}

#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) next: Option<serde_json::Value>,
}

/// A refusal, as the API and as MLflow's routes write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Failure {
    Native { error: FailureDetail },
    Mlflow(FailureDetail),
}

#[derive(Deserialize)]
struct FailureDetail {
    message: String,
}

impl Failure {
    fn message(self) -> String {
        let (Self::Native { error } | Self::Mlflow(error)) = self;
        error.message
    }
}

impl ControlPlane {
    /// The control plane at `base` (`http://127.0.0.1:5000`).
    pub fn new(base: &str, token: &str) -> Result<Self, DemoError> {
        let client = Client::builder().timeout(Duration::from_secs(20)).build();
        let client = client.map_err(|source| DemoError::Http { method: "GET", path: base.to_owned(), source })?;
        Ok(Self { client, base: base.to_owned(), token: token.to_owned() })
    }

    /// What it counts about itself, in Prometheus' text format.
    pub(crate) async fn metrics(&self) -> Result<String, DemoError> {
        let failed = |source| DemoError::Http { method: "GET", path: "/metrics".to_owned(), source };
        self.request_at(Method::GET, "/metrics").send().await.map_err(failed)?.text().await.map_err(failed)
    }

    /// The stream of changes; it does not end by itself.
    pub(crate) async fn stream(&self) -> Result<reqwest::Response, DemoError> {
        let path = "/stream";
        let failed = |source| DemoError::Http { method: "GET", path: path.to_owned(), source };
        let request = self.request(Method::GET, path).timeout(FOREVER);
        request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)
    }

    /// Who answers there.
    pub async fn server(&self) -> Result<Server, DemoError> {
        self.get("/server").await
    }

    /// Makes a robot known.
    pub async fn enrol(&self, name: &str) -> Result<Enrolled, DemoError> {
        self.enrol_with(name, &serde_json::json!({ "site": "demo" })).await
    }

    /// Makes a robot with these labels known.
    pub(crate) async fn enrol_with(&self, name: &str, labels: &serde_json::Value) -> Result<Enrolled, DemoError> {
        self.post("/targets", &serde_json::json!({ "name": name, "labels": labels })).await
    }

    /// Makes the one-time token for a robot's certificate.
    pub async fn bootstrap(&self, name: &str) -> Result<Bootstrap, DemoError> {
        self.post(&format!("/targets/{name}/bootstrap"), &serde_json::json!({})).await
    }

    /// One robot.
    pub async fn target(&self, name: &str) -> Result<Target, DemoError> {
        self.get(&format!("/targets/{name}")).await
    }

    /// Every named robot, in that order.
    pub async fn targets(&self, names: &[String]) -> Result<Vec<Target>, DemoError> {
        futures::future::try_join_all(names.iter().map(|name| self.target(name))).await
    }

    /// A registered version.
    pub async fn version(&self, model: &str, version: &str) -> Result<Version, DemoError> {
        self.get(&format!("/models/{model}/versions/{version}")).await
    }

    /// Asks for a version on some robots.
    pub async fn deploy(&self, version: &Version, targets: &[String]) -> Result<Deployment, DemoError> {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            version: &'a str,
            targets: &'a [String],
        }
        self.post("/deployments", &Body { model: &version.model, version: &version.version, targets }).await
    }

    /// How a deployment stands.
    pub async fn deployment(&self, id: &serde_json::Value) -> Result<Deployment, DemoError> {
        self.get(&format!("/deployments/{}", plain(id))).await
    }

    /// What the control plane says of a robot's log.
    pub async fn log(&self, target: &str) -> Result<Log, DemoError> {
        self.get(&format!("/targets/{target}/log")).await
    }

    /// The newest loss records of a robot, at most 1000.
    pub async fn losses(&self, target: &str) -> Result<Vec<Loss>, DemoError> {
        let page: Page<Loss> = self.get(&format!("/targets/{target}/losses?limit=1000")).await?;
        Ok(page.items)
    }

    /// The newest drift windows of a robot.
    pub async fn drift_reports(&self, target: &str) -> Result<Vec<DriftReport>, DemoError> {
        #[derive(Deserialize)]
        struct Reports {
            reports: Vec<DriftReport>,
        }
        let reports: Reports = self.get(&format!("/targets/{target}/drift")).await?;
        Ok(reports.reports)
    }

    /// Every stored entry of one class (or, with `kind`, of one kind), oldest first.
    pub async fn entries(&self, target: &str, filter: (&str, &str)) -> Result<Vec<Entry>, DemoError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let mut path = format!("/targets/{target}/entries?{}={}&order=asc&limit={PAGE}", filter.0, filter.1);
            if let Some(after) = &after {
                path.push_str(&format!("&after={}", plain(after)));
            }
            let page: Page<Entry> = self.get(&path).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DemoError> {
        self.send("GET", path, self.request(Method::GET, path)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, DemoError> {
        self.send("POST", path, self.request(Method::POST, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_at(method, &format!("/api/v1{path}"))
    }

    /// A request to a path from the root.
    pub(super) fn request_at(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        request: RequestBuilder,
    ) -> Result<T, DemoError> {
        let failed = |source| DemoError::Http { method, path: path.to_owned(), source };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.map_err(failed)?;
            let message = serde_json::from_str::<Failure>(&text).map_or(text, Failure::message);
            return Err(DemoError::Refused { method, path: path.to_owned(), status: status.as_u16(), message });
        }
        response.json().await.map_err(failed)
    }
}

/// A JSON number or string as it stands in an address.
pub(super) fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_robot_is_read_from_the_view_with_and_without_what_it_has_not_reported_yet() {
        let fresh = r#"{"name":"robot-1","online":false,"slots":{},"drift":null,"accuracy":null,"later":1}"#;
        let target: Target = serde_json::from_str(fresh).unwrap();
        assert!(!target.online && target.slots.is_empty() && target.drift.is_none());
        let running = r#"{"name":"robot-1","online":true,
            "slots":{"default":{"status":"active","model":"m","version":"1","digest":"sha256:1","reason":"","since_us":1}},
            "drift":{"flagged":true,"max_psi":null,"windows":7,"at_us":1},
            "accuracy":{"model":"m","version":"1","digest":"sha256:1","accuracy":0.5,"samples":4,"at_us":1}}"#;
        let target: Target = serde_json::from_str(running).unwrap();
        assert_eq!(target.slots["default"].digest.as_deref(), Some("sha256:1"));
        assert_eq!(target.drift.map(|drift| (drift.flagged, drift.max_psi, drift.windows)), Some((true, None, 7)));
        assert_eq!(target.accuracy.unwrap().samples, 4);
    }

    #[test]
    fn identities_stand_in_addresses_without_quotes() {
        assert_eq!(plain(&serde_json::json!("d-1")), "d-1");
        assert_eq!(plain(&serde_json::json!(7)), "7");
    }

    #[tokio::test]
    async fn a_control_plane_that_is_not_there_is_named_with_the_request() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = ControlPlane::new(&base, "t").unwrap().target("robot-1").await.unwrap_err().to_string();
        assert!(error.contains("GET /targets/robot-1"), "{error}");
    }
}
