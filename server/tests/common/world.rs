//! A control plane whose clock stands, and robots that are only their logs and do what they are told, or do not.

use edgeflow_core::Clock;
use edgeflow_server::app::Door;
use edgeflow_wire::{
    Class, DeploymentStatusBody, DesiredState, EntryBody, ObservedState, PolicyOutcome, PolicyStatusBody, SlotState, SlotStatus, StateBody,
    Upstream, Version,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{Robot, Server, bundle, clock::StoodClock, options};

pub const BEGAN_US: i64 = 1_800_000_000_000_000;

/// What a robot does with what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Brings it about.
    Follows,
    /// Brings version 1 about, and fails at anything else.
    FailsAtNew,
    /// Hears it and says nothing.
    IsSilent,
}

pub struct Simulated {
    pub robot: Robot,
    pub does: Does,
    pub online: bool,
    /// What is wrong with its clock, microseconds.
    pub off_us: i64,
    /// What it has answered.
    pub answered: Version,
    /// What runs: model, version, digest.
    pub runs: Option<(String, String, String)>,
}

/// A control plane and its robots.
pub struct World {
    pub server: Server,
    pub clock: Arc<StoodClock>,
    pub folder: tempfile::TempDir,
    pub robots: BTreeMap<String, Simulated>,
}

impl World {
    /// Robots `robot-1` to `robot-n` that run version 1; two versions are registered.
    pub async fn of(count: usize) -> Self {
        Self::with_clocks(&vec![0; count]).await
    }

    /// The same with clocks that are so much wrong, microseconds.
    pub async fn with_clocks(off_us: &[i64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = StoodClock::at(BEGAN_US);
        let server = Server::start_at(options(&folder), clock.clone()).await;
        for version in ["v1", "v2"] {
            assert_eq!(server.register("label-reader", bundle(version)).await.0, StatusCode::CREATED);
        }
        let mut robots = BTreeMap::new();
        for (n, off_us) in (1..).zip(off_us) {
            let name = format!("robot-{n}");
            let robot = server.enrol(&name).await;
            robots.insert(
                name,
                Simulated { robot, does: Does::Follows, online: false, off_us: *off_us, answered: Version::default(), runs: None },
            );
        }
        let mut world = Self { server, clock, folder, robots };
        let names: Vec<String> = world.robots.keys().cloned().collect();
        for name in &names {
            world.online(name, true).await;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(world.server.deploy("1", &names).await.0, StatusCode::CREATED);
        world.answer().await;
        // Robots that are not here by now are offline.
        world.wait_s(31);
        world
    }

    pub fn wait_s(&self, seconds: i64) {
        self.clock.wait_s(seconds);
    }

    pub async fn online(&mut self, name: &str, online: bool) {
        let simulated = self.robots.get_mut(name).unwrap();
        simulated.online = online;
        if online {
            self.server.app.robot_connected(&simulated.robot.id, Door::Http).await;
        } else {
            self.server.app.robot_disconnected(&simulated.robot.id, Door::Http).await;
        }
    }

    pub fn does(&mut self, name: &str, does: Does) {
        self.robots.get_mut(name).unwrap().does = does;
    }

    /// Robots that are here do what they are told.
    pub async fn answer(&mut self) {
        for simulated in self.robots.values_mut().filter(|simulated| simulated.online && simulated.does != Does::IsSilent) {
            let Some(desired) = simulated.robot.desired(&self.server.app).await else { continue };
            if desired.version > simulated.answered {
                simulated.answered = desired.version;
                simulated.follow(&self.server, desired, self.clock.now_us()).await;
            }
        }
    }

    /// A second passes.
    pub async fn second(&mut self) {
        self.server.app.step_rollouts().await.unwrap();
        self.answer().await;
        self.wait_s(1);
    }

    pub async fn until(&mut self, id: &str, phase: &str) -> Value {
        for _ in 0..400 {
            let view = self.rollout(id).await;
            if view["phase"] == phase {
                return view;
            }
            self.second().await;
        }
        panic!("never {phase}: {}", self.rollout(id).await);
    }

    pub async fn rollout(&self, id: &str) -> Value {
        self.server.get(&format!("/rollouts/{id}")).await
    }

    pub async fn make(&self, spec: Value) -> String {
        let (status, body) = self.server.post("/rollouts", spec).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        assert_eq!(body["phase"], "queued");
        body["id"].as_str().unwrap().to_owned()
    }

    pub async fn act(&self, id: &str, act: &str) -> (StatusCode, Value) {
        self.server.post(&format!("/rollouts/{id}/{act}"), json!({ "reason": "because" })).await
    }

    /// Robot to its phase in a rollout.
    pub async fn phases(&self, id: &str) -> BTreeMap<String, String> {
        let cells = self.server.get(&format!("/rollouts/{id}/robots")).await;
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        cells["items"].as_array().unwrap().iter().map(|cell| (word(&cell["target"]), word(&cell["phase"]))).collect()
    }

    /// Robot to the version it is told to run.
    pub async fn told(&self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        for (name, simulated) in &self.robots {
            let slot = simulated.robot.desired(&self.server.app).await.unwrap().slots.get("default").cloned();
            told.insert(name.clone(), slot.map(|slot| slot.version).unwrap_or_default());
        }
        told
    }

    /// The control plane dies as a process does, and another comes up on what it left on disk.
    pub async fn killed(self) -> Self {
        let Self { server, clock, folder, robots } = self;
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let next = Server::start_at(options(&copy), clock.clone()).await;
        server.stop().await;
        drop(folder);
        let mut world = Self { server: next, clock, folder: copy, robots };
        let here: Vec<String> = world.robots.iter().filter(|(_, one)| one.online).map(|(name, _)| name.clone()).collect();
        for name in here {
            world.online(&name, true).await;
        }
        world
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, target) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else if entry.path().extension().is_none_or(|ending| ending != "db-shm") {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Simulated {
    /// Says something at that moment, stamped by its clock.
    pub async fn say(&mut self, server: &Server, class: Class, now_us: i64, body: EntryBody) {
        let mut batch = self.robot.append(class, vec![body]);
        batch.entries.iter_mut().for_each(|entry| entry.t_us = now_us + self.off_us);
        server.app.ingest(&self.robot.id, Upstream::Batch(batch)).await.unwrap();
    }

    async fn follow(&mut self, server: &Server, desired: DesiredState, now_us: i64) {
        let wanted = desired.slots.get("default").map(|slot| (slot.model.clone(), slot.version.clone(), slot.digest.clone()));
        let fails = self.does == Does::FailsAtNew && wanted.as_ref().is_some_and(|(_, version, _)| version != "1");
        if !fails {
            self.runs = wanted.clone();
        }
        let (status, reason) = if fails { (SlotStatus::Failed, "it does not fit") } else { (SlotStatus::Active, "") };
        let (model, version, digest) = self.runs.clone().unwrap_or_default();
        if let Some((asked_model, asked_version, asked_digest)) = wanted {
            let step = DeploymentStatusBody {
                for_version: desired.version,
                slot: "default".into(),
                status,
                model: asked_model,
                model_version: asked_version,
                digest: asked_digest,
                running_digest: digest.clone(),
                reason: reason.into(),
                ..DeploymentStatusBody::default()
            };
            self.say(server, Class::Critical, now_us, EntryBody::DeploymentStatus(step)).await;
        }
        let slot = SlotState { status, model, version, digest, reason: reason.into(), ..SlotState::default() };
        let slots = if self.runs.is_some() { [("default".to_owned(), slot)].into() } else { BTreeMap::new() };
        let state =
            StateBody { observed: ObservedState { version: desired.version }, slots, software: "0.1.0".into(), ..StateBody::default() };
        if let Some(policy) = &desired.policy {
            let status = PolicyStatusBody {
                version: policy.version,
                outcome: PolicyOutcome::Applied,
                reason: String::new(),
                ruling: policy.version,
            };
            self.say(server, Class::Critical, now_us, EntryBody::PolicyStatus(status)).await;
        }
        self.say(server, Class::Event, now_us, EntryBody::State(state)).await;
    }
}

pub fn of_version(version: &str) -> Value {
    json!({ "release": { "kind": "model", "name": "label-reader", "version": version }, "strategy": { "max_unavailable": "100%", "deadline_s": 20 } })
}

pub fn with(mut spec: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(values) => values.iter().for_each(|(inner, value)| spec[key][inner] = value.clone()),
            other => spec[key] = other.clone(),
        }
    }
    spec
}

pub fn all(phase: &str, robots: &[&str]) -> BTreeMap<String, String> {
    robots.iter().map(|name| ((*name).to_owned(), phase.to_owned())).collect()
}

pub fn happened(view: &Value) -> Vec<String> {
    view["history"].as_array().unwrap().iter().map(|entry| entry["happened"].as_str().unwrap().to_owned()).collect()
}
