//! How long the four questions of lineage take over HTTP with 10,000 robots, 1,000 versions and 1,000,000 attested intervals, with what
//! else a year leaves in the same files: log entries, steps of deployments, commands, the audit trail.
//!
//! Part of `cargo xtask bench registry`; `cargo bench --package edgeflow_server --bench lineage` measures it alone. Prints one JSON object
//! per figure: the 95th percentile of each question, and of the slowest of them `lineage_ms`, which has the goal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

mod data;

use edgeflow_server::{
    app::{App, AppOptions, SystemClock},
    http,
};
use reqwest::Client;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use data::{DATASETS, DAY_US, INTERVALS, ROBOTS, START_US, STEP_US};

const TOKEN: &str = "administrators-token";
/// Times each question is asked, each time about something else.
const ASKED: u64 = 300;
/// Asked before, and not counted: connections are made and pages of the files read.
const WARM: u64 = 20;
/// Milliseconds.
const GOAL_MS: f64 = 100.0;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    data::fill(folder.path()).await;
    eprintln!("{} robots with {} intervals each, filled in {:.0} s", ROBOTS, INTERVALS, began.elapsed().as_secs_f64());

    let app = App::open(AppOptions::new(folder.path()), Arc::new(SystemClock)).await.unwrap();
    app.ensure_admin_token(Some(TOKEN)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v1", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let (served, stop) = (app.clone(), shutdown.clone());
    let people = tokio::spawn(async move { http::serve(listener, served, stop).await.unwrap() });
    let control_plane = ControlPlane { client: Client::new(), base };

    let mut worst = 0.0_f64;
    for question in [Question::Origin, Question::Robots, Question::Diff, Question::Timeline] {
        let p95 = control_plane.measure(question).await;
        worst = worst.max(p95);
        figure(question.id(), p95, None);
    }
    // Not one of the four: what the dashboard draws of them.
    figure("lineage_graph_ms", control_plane.measure(Question::Graph).await, None);
    figure("lineage_ms", worst, Some(GOAL_MS));
    drop(control_plane);
    shutdown.cancel();
    people.await.unwrap();
    app.close().await;
}

fn figure(id: &str, value: f64, at_most: Option<f64>) {
    let mut figure = json!({ "id": id, "value": value, "unit": "ms", "ratio_to": null, "ratio": null });
    if let (Some(at_most), Some(figure)) = (at_most, figure.as_object_mut()) {
        figure.insert("at_most".to_owned(), json!(at_most));
    }
    println!("{figure}");
}

#[derive(Clone, Copy)]
enum Question {
    /// Which training run, on which dataset, made what was on this robot at that moment?
    Origin,
    /// Which robots run, or ever ran, what came from this dataset? The first page of them.
    Robots,
    /// What changed between these two robots, or on this robot between these times?
    Diff,
    /// What touched this robot in these thirty days? The newest page.
    Timeline,
    /// The graph around a robot, or a dataset.
    Graph,
}

impl Question {
    fn id(self) -> &'static str {
        match self {
            Question::Origin => "lineage_origin_ms",
            Question::Robots => "lineage_robots_ms",
            Question::Diff => "lineage_diff_ms",
            Question::Timeline => "lineage_timeline_ms",
            Question::Graph => "lineage_graph_ms",
        }
    }
}

struct ControlPlane {
    client: Client,
    base: String,
}

impl ControlPlane {
    /// The 95th percentile, milliseconds.
    async fn measure(&self, question: Question) -> f64 {
        let mut took = Vec::new();
        for number in 0..WARM + ASKED {
            let began = Instant::now();
            self.ask(question, number).await;
            if number >= WARM {
                took.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        took.sort_by(f64::total_cmp);
        eprintln!("{}: median {:.1} ms of {}", question.id(), took[took.len() / 2], took.len());
        took[took.len() * 95 / 100]
    }

    /// Asks about something that no other number asks about, and makes sure that it was answered.
    async fn ask(&self, question: Question, number: u64) {
        // Far apart, so that the next one is not where this one was.
        let robot = |salt: u64| data::robot((number * 7_919 + salt * 3_301) % ROBOTS);
        let at = |salt: u64| START_US + i64::try_from((number * 131 + salt) % (INTERVALS - 10)).unwrap() * STEP_US + STEP_US / 2;
        let dataset = data::dataset((number * 37) % DATASETS);
        match question {
            Question::Origin => {
                let lineage = self.get(&format!("/targets/{}/lineage?at_us={}", robot(0), at(0))).await;
                let digest = lineage["intervals"][0]["digest"].as_str().expect("something was attested").to_owned();
                let provenance = self.get(&format!("/lineage/provenance?digest={digest}")).await;
                assert!(provenance["runs"][0]["datasets"][0]["digest"].is_string(), "{provenance}");
            }
            Question::Robots => {
                let robots = self.get(&format!("/lineage/robots?dataset={dataset}")).await;
                assert_eq!(robots["items"].as_array().unwrap().len(), 100, "{robots}");
            }
            Question::Diff => {
                let diff = if number.is_multiple_of(2) {
                    self.get(&format!("/lineage/diff?before={}&after={}", robot(0), robot(1))).await
                } else {
                    self.get(&format!("/lineage/diff?before={}&before_at_us={}&after_at_us={}", robot(0), at(0), at(50))).await
                };
                assert!(diff["model"]["params"]["rate"]["before"].is_string(), "{diff}");
                assert!(diff["before"]["deployment"]["created_by"].is_string(), "{diff}");
            }
            Question::Timeline => {
                let from_us = at(0);
                let page =
                    self.get(&format!("/lineage/timeline?target={}&from_us={from_us}&to_us={}", robot(0), from_us + 30 * DAY_US)).await;
                let categories: std::collections::BTreeSet<&str> =
                    page["items"].as_array().unwrap().iter().map(|item| item["category"].as_str().unwrap()).collect();
                assert!(categories.contains("attested") && categories.contains("event"), "{categories:?}");
            }
            Question::Graph if number.is_multiple_of(2) => {
                let graph = self.get(&format!("/lineage/graph?target={}&at_us={}", robot(0), at(0))).await;
                assert!(graph["edges"].as_array().unwrap().len() > 5, "{graph}");
            }
            Question::Graph => {
                let graph = self.get(&format!("/lineage/graph?dataset={dataset}")).await;
                assert_eq!(graph["truncated"], true, "{graph}");
            }
        }
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.base)).bearer_auth(TOKEN).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}
