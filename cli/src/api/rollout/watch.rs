//! A rollout as it goes: a line for each change of a stage, and the numbers that its gates saw.

use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    super::{Client, document, encode},
    counts,
};
use crate::{error::CliError, output, when::when};

/// How often the control plane is asked.
const POLL: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct View {
    id: String,
    phase: String,
    #[serde(default)]
    holds: String,
    #[serde(default)]
    actions: Vec<String>,
    plan: Vec<Stage>,
    #[serde(default)]
    history: Vec<Entry>,
}

#[derive(Deserialize)]
struct Stage {
    name: String,
    state: String,
    robots: BTreeMap<String, usize>,
    #[serde(default)]
    evidence: Vec<Evidence>,
}

#[derive(Deserialize)]
struct Evidence {
    gate: String,
    verdict: String,
    reason: String,
    #[serde(default)]
    metric: String,
    threshold: Option<f64>,
    p_value: Option<f64>,
    #[serde(default)]
    updated: BTreeMap<String, Numbers>,
    #[serde(default)]
    before: BTreeMap<String, Numbers>,
    #[serde(default)]
    rest: BTreeMap<String, Numbers>,
}

#[derive(Deserialize)]
struct Numbers {
    n: u64,
    #[serde(default)]
    mean: Option<f64>,
}

#[derive(Deserialize)]
struct Entry {
    at_us: i64,
    happened: String,
    stage: Option<String>,
    robot: Option<String>,
    cause: String,
}

fn ended(phase: &str) -> bool {
    matches!(phase, "succeeded" | "rolled_back" | "failed" | "aborted")
}

/// Follows a rollout to its end.
pub(super) async fn watch(client: &Client, id: &str) -> Result<(), CliError> {
    let path = format!("/rollouts/{}", encode(id));
    let mut shown: HashMap<String, String> = HashMap::new();
    let mut judged: HashMap<String, String> = HashMap::new();
    loop {
        let answer = client.get(&path, &[]).await?;
        let view: View = document(answer.clone(), &path)?;
        if !output::as_json() {
            for stage in &view.plan {
                let line = format!("{} {}{}", stage.name, stage.state, counted(&stage.robots));
                if stage.state != "waiting" && shown.get(&stage.name) != Some(&line) {
                    output::line(&line)?;
                    shown.insert(stage.name.clone(), line);
                }
                let news = |evidence: &&Evidence| {
                    let key = format!("{}/{}", stage.name, evidence.gate);
                    // The same verdict on more of the same is no news.
                    judged.get(&key).is_none_or(|verdict| *verdict != evidence.verdict)
                };
                let new: Vec<&Evidence> = stage.evidence.iter().filter(news).collect();
                evidence(&new)?;
                for evidence in new {
                    judged.insert(format!("{}/{}", stage.name, evidence.gate), evidence.verdict.clone());
                }
            }
            let whole = if view.holds.is_empty() { view.phase.clone() } else { format!("{}: {}", view.phase, view.holds) };
            if shown.get("") != Some(&whole) {
                output::line(format!("rollout {}: {whole}", view.id))?;
                shown.insert(String::new(), whole);
            }
        }
        if ended(&view.phase) {
            if output::as_json() {
                super::super::json(&answer)?;
            }
            // What its robots do after it has ended says nothing of why it did.
            let end = view.history.iter().rfind(|entry| entry.happened == "ended");
            let reason = end.map(|entry| entry.cause.clone()).unwrap_or_default();
            return if view.phase == "succeeded" { Ok(()) } else { Err(CliError::Rollout { id: view.id, phase: view.phase, reason }) };
        }
        tokio::time::sleep(POLL).await;
    }
}

fn counted(robots: &BTreeMap<String, usize>) -> String {
    let counted = counts(robots);
    if counted.is_empty() { String::new() } else { format!(": {counted}") }
}

/// What gates said, and the numbers they saw.
fn evidence(evidence: &[&Evidence]) -> Result<(), CliError> {
    if evidence.is_empty() {
        return Ok(());
    }
    let row = |found: &&Evidence| {
        let arm = |numbers: &BTreeMap<String, Numbers>| {
            let numbers = numbers.get(&found.metric)?;
            Some(format!("{} (n {})", numbers.mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.4}")), numbers.n))
        };
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            found.gate.clone(),
            found.verdict.clone(),
            if found.metric.is_empty() { "-".to_owned() } else { found.metric.clone() },
            none(arm(&found.updated)),
            none(arm(&found.before)),
            none(arm(&found.rest)),
            number(found.threshold),
            number(found.p_value),
            found.reason.clone(),
        ]
    };
    output::table(
        ["GATE", "VERDICT", "METRIC", "UPDATED", "BEFORE", "REST", "THRESHOLD", "P", "WHY"],
        &evidence.iter().map(row).collect::<Vec<_>>(),
    )
}

/// One rollout, whole.
pub(super) fn show(answer: &Value) -> Result<(), CliError> {
    let view: View = document(answer.clone(), "/rollouts")?;
    let holds = if view.holds.is_empty() { String::new() } else { format!(": {}", view.holds) };
    output::line(format!("rollout {}: {}{holds}", view.id, view.phase))?;
    let stages: Vec<_> = view.plan.iter().map(|stage| [stage.name.clone(), stage.state.clone(), counts(&stage.robots)]).collect();
    output::table(["STAGE", "STATE", "ROBOTS"], &stages)?;
    for stage in &view.plan {
        evidence(&stage.evidence.iter().collect::<Vec<_>>())?;
    }
    for Entry { at_us, happened, stage, robot, cause } in &view.history {
        let about: Vec<&str> = [stage.as_deref(), robot.as_deref()].into_iter().flatten().collect();
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
        output::line(format!("{}  {happened}{about}: {cause}", when(*at_us)))?;
    }
    if !view.actions.is_empty() {
        output::line(format!("possible now: {}", view.actions.join(", ")))?;
    }
    Ok(())
}
