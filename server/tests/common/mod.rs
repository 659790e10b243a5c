//! A real control plane on a free port, with a client, and a robot that is only its log.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not their helpers")]

pub mod clock;
pub mod training;
pub mod world;

use edgeflow_core::Clock;
use edgeflow_server::{
    RobotId,
    app::{App, AppOptions, SystemClock},
    background, http,
};
use edgeflow_wire::{
    Batch, Class, ClassPosition, DeploymentStatusBody, DesiredState, DriftFeatureBody, DriftReportBody, Entry, EntryBody, EvaluationBody,
    Hello, InferenceSummaryBody, LogAck, ObservedState, SlotState, SlotStatus, StateBody, Upstream, WIRE_VERSION,
};
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    multipart::{Form, Part},
};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const TOKEN: &str = "administrators-token";

pub struct Server {
    pub app: Arc<App>,
    pub base: String,
    client: Client,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    pub async fn start(options: AppOptions) -> Self {
        Self::start_at(options, Arc::new(SystemClock)).await
    }

    /// By another clock.
    pub async fn start_at(options: AppOptions, clock: Arc<dyn Clock>) -> Self {
        let app = App::open(options, clock).await.unwrap();
        app.ensure_admin_token(Some(TOKEN)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let publisher = tokio::spawn(background::publish(app.clone(), shutdown.clone()));
        let (served, stop) = (app.clone(), shutdown.clone());
        let people = tokio::spawn(async move { http::serve(listener, served, stop).await.unwrap() });
        Self { app, base, client: Client::new(), shutdown, tasks: vec![publisher, people] }
    }

    /// Ends as the program does.
    pub async fn stop(self) {
        drop(self.client);
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.app.close().await;
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, &format!("/api/v1{path}")).bearer_auth(TOKEN)
    }

    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = answer(self.request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn enrol(&self, name: &str) -> Robot {
        let (status, body) = self.post("/targets", serde_json::json!({ "name": name, "labels": { "site": "berlin" } })).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let token = body["token"].as_str().unwrap().to_owned();
        let id = self.app.authenticate_robot(name, &token).await.unwrap();
        Robot { id, token, epoch: "epoch-1".into(), next: BTreeMap::new() }
    }

    pub async fn register(&self, model: &str, bundle: Form) -> (StatusCode, Value) {
        answer(self.request(Method::POST, &format!("/models/{model}/versions")).multipart(bundle)).await
    }

    pub async fn deploy(&self, version: &str, targets: &[&str]) -> (StatusCode, Value) {
        self.post("/deployments", serde_json::json!({ "model": "label-reader", "version": version, "targets": targets })).await
    }
}

pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The bytes of a file of one of the demo's bundles.
pub fn bundle_file(version: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sim/models").join(version).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A whole bundle of the demo's.
pub fn bundle(version: &str) -> Form {
    ["model.onnx", "edgeflow.yaml", "baseline.json"]
        .into_iter()
        .fold(Form::new(), |form, name| form.part(name, Part::bytes(bundle_file(version, name)).file_name(name)))
}

/// A robot that is only its log.
pub struct Robot {
    pub id: RobotId,
    pub token: String,
    pub epoch: String,
    next: BTreeMap<Class, u64>,
}

impl Robot {
    pub async fn hello(&self, app: &App) -> LogAck {
        let classes = Class::ALL.map(|class| ClassPosition { class, first_seq: 1, next_seq: self.next.get(&class).copied().unwrap_or(1) });
        let epoch = self.epoch.clone();
        let hello = Hello { v: WIRE_VERSION, epoch, software: "test".into(), classes: classes.into(), t_us: 1, boot_us: 1 };
        app.ingest(&self.id, Upstream::Hello(hello)).await.unwrap()
    }

    /// Appends and sends.
    pub async fn say(&mut self, app: &App, class: Class, bodies: Vec<EntryBody>) -> LogAck {
        let batch = self.append(class, bodies);
        app.ingest(&self.id, Upstream::Batch(batch)).await.unwrap()
    }

    /// Appends without sending.
    pub fn append(&mut self, class: Class, bodies: Vec<EntryBody>) -> Batch {
        let next = self.next.entry(class).or_insert(1);
        let entries = bodies.into_iter().map(|body| {
            let seq = *next;
            *next += 1;
            Entry { seq, t_us: 1_700_000_000_000_000 + seq as i64, boot_us: seq as i64, content: body.into() }
        });
        Batch { v: WIRE_VERSION, epoch: self.epoch.clone(), class, loss: None, entries: entries.collect() }
    }

    /// What it is told to be.
    pub async fn desired(&self, app: &App) -> Option<DesiredState> {
        let envelope = app.desired_envelope(&self.id).await.unwrap()?;
        Some(serde_json::from_str(&envelope.payload).unwrap())
    }

    /// Does what it is told, and says so.
    pub async fn converge(&mut self, app: &App) {
        let desired = self.desired(app).await.unwrap();
        let slot = desired.slots["default"].clone();
        let step = |status, running: &str| {
            EntryBody::DeploymentStatus(DeploymentStatusBody {
                for_version: desired.version,
                slot: "default".into(),
                status,
                model: slot.model.clone(),
                model_version: slot.version.clone(),
                digest: slot.digest.clone(),
                running_digest: running.into(),
                ..DeploymentStatusBody::default()
            })
        };
        self.say(app, Class::Critical, vec![step(SlotStatus::Downloading, ""), step(SlotStatus::Active, &slot.digest)]).await;
        let now = SlotState {
            status: SlotStatus::Active,
            model: slot.model.clone(),
            version: slot.version.clone(),
            digest: slot.digest.clone(),
            ..SlotState::default()
        };
        let observed = ObservedState { version: desired.version };
        let state = StateBody { observed, slots: [("default".to_owned(), now)].into(), software: "0.1.0".into(), ..StateBody::default() };
        self.say(app, Class::Event, vec![EntryBody::State(state)]).await;
    }
}

pub fn evaluation(digest: &str, accuracy: f64) -> EntryBody {
    let (model, model_version) = ("label-reader".to_owned(), "1".to_owned());
    EntryBody::Evaluation(EvaluationBody { model, model_version, digest: digest.into(), samples: 100, correct: 96, accuracy })
}

pub fn summary(rate_hz: f64) -> EntryBody {
    EntryBody::InferenceSummary(InferenceSummaryBody {
        period_us: 5_000_000,
        results: 100,
        rate_hz,
        latency_p50_us: 700,
        latency_p95_us: 1_500,
        mean_score: 0.9,
        digest: "sha256:aa".into(),
        failed: None,
    })
}

pub fn drift(window: u64, flagged: bool) -> EntryBody {
    let feature = DriftFeatureBody {
        name: "brightness".into(),
        subject: "input".into(),
        baseline: "bundle".into(),
        n: 100,
        n_effective: 80.0,
        mean: 120.0,
        baseline_mean: 100.0,
        std: 5.0,
        baseline_std: 4.0,
        mean_shift: 5.0,
        std_ratio: 1.25,
        location: -0.4,
        location_threshold: 0.1,
        spread: 0.1,
        spread_threshold: 0.3,
        outside: 0.2,
        outside_threshold: 0.05,
        psi: f64::INFINITY,
        psi_threshold: 0.4,
        ks: 0.3,
        ks_threshold: 0.2,
        chi_square: 90.0,
        chi_square_threshold: f64::NAN,
        kl: 0.5,
        js: 0.1,
        wasserstein: 20.0,
        p_value: 1e-9,
        p_threshold: 1e-4,
        strongest: "location".into(),
        edges: vec![1.0],
        categories: Vec::new(),
        counts: vec![40, 60],
        significant: true,
        flagged,
    };
    EntryBody::DriftReport(DriftReportBody {
        model: "label-reader".into(),
        model_version: "1".into(),
        digest: "sha256:aa".into(),
        baseline: "bundle".into(),
        window,
        windows: 1,
        start_us: 1,
        end_us: 1_000 + window as i64,
        false_alarm_rate: 0.001,
        false_alarms_per_day: 0.1,
        duration_s: 5.0,
        flagged,
        max_psi: f64::INFINITY,
        features: vec![feature],
    })
}

pub fn options(folder: &tempfile::TempDir) -> AppOptions {
    AppOptions::new(folder.path())
}
