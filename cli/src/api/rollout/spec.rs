//! What a rollout shall do, out of arguments, a file, or both.

use clap::Args;
use edgeflow_core::rollout::{OnFailure, ReleaseKind, ReleaseRef, RolloutSpec, Selector, Strategy, WhenTaken};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

use super::super::document;
use crate::{error::CliError, fleet::read_one, output};

/// What, to whom, and how.
#[derive(Args)]
pub(crate) struct What {
    /// The model, or what --kind says.
    name: Option<String>,
    /// Its version, or @ALIAS.
    #[arg(requires = "name")]
    version: Option<String>,
    /// A file that says all of it, or what is not said here: a rollout as in docs/rollouts.md, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// model, map, package or config.
    #[arg(long, value_name = "KIND", requires = "version")]
    kind: Option<String>,
    /// The slot on each robot.
    #[arg(long)]
    slot: Option<String>,
    /// These robots.
    #[arg(long, value_name = "ROBOTS", value_delimiter = ',')]
    to: Vec<String>,
    /// Robots of this group; may be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Robots with this label; several of one key: any of these values, of several keys: all.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Of these a share, always the same robots, 0 to 100.
    #[arg(long)]
    percent: Option<f64>,
    /// Any word: other robots make up the share, and other robots go first; the same word, the same robots.
    #[arg(long, value_name = "WORD")]
    seed: Option<String>,
    /// Never these robots.
    #[arg(long, value_name = "ROBOTS", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Wait when another rollout holds some of these robots, in place of being refused.
    #[arg(long)]
    queue: bool,
    /// Why, for people.
    #[arg(long)]
    description: Option<String>,
}

/// A file whose release may be left to the arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSpec {
    release: Option<ReleaseRef>,
    slot: Option<String>,
    #[serde(default)]
    targets: Selector,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    gates: Vec<edgeflow_core::rollout::Gate>,
    #[serde(default)]
    on_failure: OnFailure,
    #[serde(default)]
    when_taken: WhenTaken,
    #[serde(default)]
    replay: Option<edgeflow_core::rollout::Replay>,
    #[serde(default)]
    description: String,
}

impl What {
    /// The request.
    pub(super) fn body(&self) -> Result<Value, CliError> {
        let spec = self.spec()?;
        serde_json::to_value(spec).map_err(|source| CliError::Answer { path: "/rollouts".to_owned(), source })
    }

    fn spec(&self) -> Result<RolloutSpec, CliError> {
        let wrong = |what: &str, reason: &str| CliError::Input { path: what.to_owned(), reason: reason.to_owned() };
        let file: Option<FileSpec> = self.file.as_deref().map(read_one).transpose()?;
        let named = self.name.is_some();
        let mut release = file.as_ref().and_then(|file| file.release.clone());
        if let Some(name) = &self.name {
            let version = self.version.clone().ok_or_else(|| wrong(name, "give its version, too, or @ALIAS"))?;
            let kind = self.kind.as_deref().unwrap_or("model");
            let kind: ReleaseKind = serde_json::from_value(kind.into()).map_err(|_| wrong(kind, "give model, map, package or config"))?;
            let (version, alias) = match version.strip_prefix('@') {
                Some(alias) => (None, Some(alias.to_owned())),
                None => (Some(version), None),
            };
            release = Some(ReleaseRef { kind, name: Some(name.clone()), version, alias, policy: None });
        }
        let release = release.ok_or_else(|| wrong("rollout", "say which model and version, or name a --file with a release"))?;
        let mut spec = RolloutSpec {
            release,
            slot: "default".to_owned(),
            targets: Selector::default(),
            strategy: Strategy::default(),
            gates: Vec::new(),
            on_failure: OnFailure::default(),
            when_taken: WhenTaken::default(),
            replay: None,
            description: String::new(),
        };
        if let Some(file) = file {
            let FileSpec { release: _, slot, targets, strategy, gates, on_failure, when_taken, replay, description } = file;
            spec = RolloutSpec {
                slot: slot.unwrap_or(spec.slot),
                targets,
                strategy,
                gates,
                on_failure,
                when_taken,
                replay,
                description,
                ..spec
            };
        }
        self.select(&mut spec.targets)?;
        if let Some(seed) = &self.seed {
            spec.strategy.seed.clone_from(seed);
        }
        if let Some(slot) = &self.slot {
            spec.slot.clone_from(slot);
        }
        if self.queue {
            spec.when_taken = WhenTaken::Queue;
        }
        if let Some(description) = &self.description {
            spec.description.clone_from(description);
        }
        // A rollout to everybody is asked for in a file, not by saying nothing.
        if named && self.file.is_none() && spec.targets == Selector::default() {
            return Err(wrong("rollout", "say which robots: --to, --group, --label or --percent 100 for all"));
        }
        Ok(spec)
    }

    fn select(&self, targets: &mut Selector) -> Result<(), CliError> {
        targets.names.extend(self.to.iter().cloned());
        targets.groups.extend(self.groups.iter().cloned());
        for text in &self.labels {
            let (key, value) = super::super::targets::label(text)?;
            targets.labels.entry(key.to_owned()).or_default().insert(value.to_owned());
        }
        targets.exclude.extend(self.exclude.iter().cloned());
        targets.percent = self.percent.or(targets.percent);
        if let Some(seed) = self.seed.as_ref().filter(|_| targets.percent.is_some()) {
            targets.seed.clone_from(seed);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Plan {
    stages: Vec<Stage>,
    left_out: Vec<LeftOut>,
    taken: Vec<Taken>,
}

#[derive(Deserialize)]
struct Stage {
    name: String,
    robots: Vec<Robot>,
    #[serde(default)]
    soak_s: u64,
    #[serde(default)]
    approval: bool,
    #[serde(default)]
    gates: Vec<String>,
}

#[derive(Deserialize)]
struct Robot {
    target: String,
    #[serde(default)]
    serves: String,
    site: Option<String>,
    online: bool,
    #[serde(default)]
    lacks: String,
}

#[derive(Deserialize)]
struct LeftOut {
    target: String,
    reason: String,
}

#[derive(Deserialize)]
struct Taken {
    target: String,
    rollout: Value,
}

/// A plan, robot by robot.
pub(super) fn show_plan(answer: &Value) -> Result<(), CliError> {
    let Plan { stages, left_out, taken } = document(answer.clone(), "/rollouts")?;
    let mut rows = Vec::new();
    for stage in &stages {
        for robot in &stage.robots {
            let filled = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let online = if robot.online { "yes" } else { "no" }.to_owned();
            rows.push([
                stage.name.clone(),
                robot.target.clone(),
                filled(&robot.serves),
                filled(robot.site.as_deref().unwrap_or_default()),
                online,
            ]);
        }
    }
    output::table(["STAGE", "ROBOT", "SERVES", "SITE", "ONLINE"], &rows)?;
    for Stage { name, robots, soak_s, approval, gates } in &stages {
        let approval = if *approval { ", after approval" } else { "" };
        let gates = if gates.is_empty() { "no gates".to_owned() } else { gates.join(", ") };
        output::line(format!("{name}: {}, soak {soak_s} s, {gates}{approval}", output::robots(robots.len())))?;
    }
    for robot in stages.iter().flat_map(|stage| &stage.robots).filter(|robot| !robot.lacks.is_empty()) {
        output::line(format!("would fail: {}: {}", robot.target, robot.lacks))?;
    }
    for LeftOut { target, reason } in left_out {
        output::line(format!("left out: {target}: {reason}"))?;
    }
    for Taken { target, rollout } in taken {
        output::line(format!("taken: {target} by rollout {}", rollout.as_str().map_or_else(|| rollout.to_string(), str::to_owned)))?;
    }
    Ok(())
}
