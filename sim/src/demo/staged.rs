//! The part of the story in which versions go out stage by stage: a good one to the end, a bad one to its first robot and back.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::DemoError;
use super::control_plane::Version;
use super::report;
use super::rollouts::{Evidence, Numbers, Rollout};
use super::stage::Stage;
use super::story::{OFFLINE, away, converged_again, register};
use super::terminal::table;
use super::wait::{Look, until};

/// Index of the robot that gets a version first.
pub(crate) const CANARY: usize = 0;

/// How long the canary serves before it is judged: three drift windows, and more frames than a gate wants.
const SOAK_S: u64 = 16;

/// How long a rollout may take.
const ROLLOUT: Duration = Duration::from_secs(150);

/// What the canary must show. Later stages have robots that may be away, and no gates.
fn gates() -> Value {
    json!([
        { "name": "accuracy", "expression": "updated.accuracy.mean >= 0.9 && updated.accuracy.mean >= before.accuracy.mean - 0.02" },
        { "name": "answers", "expression": "updated.output_drift_ratio.mean < 1.0" },
        { "name": "inputs", "expression": "updated.input_drift_ratio.mean < 1.0" },
    ])
}

fn spec(version: &Version, canary: &str, description: &str) -> Value {
    json!({
        "release": { "kind": "model", "name": version.model, "version": version.version },
        "strategy": {
            "stages": [
                { "name": "canary", "names": [canary], "soak_s": SOAK_S, "gates": gates() },
                { "name": "half", "percent": 50.0, "gates": [] },
                { "name": "all", "rest": true, "gates": [] },
            ],
            "deadline_s": 60,
        },
        "description": description,
    })
}

/// v2 goes out once more, to one robot, to half, to all, while one of them is away.
pub(crate) async fn good(stage: &mut Stage<'_>, version: &Version) -> Result<((), String), DemoError> {
    away(stage, OFFLINE).await?;
    let rollout = roll_out(stage, version, "the network takes the tree's place for good").await?;
    if rollout.phase != "succeeded" || rollout.plan.iter().any(|stage| stage.state != "passed") {
        return Err(DemoError::NotHeld(told(&rollout)));
    }
    let (canary, offline) = (&stage.robots[CANARY].name, &stage.robots[OFFLINE].name);
    let cells = stage.control_plane.rollout_robots(&rollout.id).await?;
    let where_is = |name: &str| cells.iter().find(|cell| cell.target == name).map_or("", |cell| cell.phase.as_str());
    if where_is(offline) != "deferred" || where_is(canary) != "updated" {
        return Err(DemoError::NotHeld(format!("{canary} is {}, {offline} is {}", where_is(canary), where_is(offline))));
    }
    stage.converged(version, &here(stage)).await?;
    let stages: Vec<String> =
        rollout.plan.iter().map(|stage| format!("{} {}", stage.name, seconds(stage.began_us, stage.ended_us))).collect();
    let right = numbers(&rollout, "accuracy").map_or_else(String::new, |numbers| percent(&numbers));
    Ok(((), format!("{}; {canary} read {right} as canary; {offline} is away, told, and not waited for", stages.join(", "))))
}

/// v3 is wrong where its frames are as they were: its canary's gates say so, and it goes back by itself.
pub(crate) async fn bad(stage: &mut Stage<'_>, models_dir: &Path, before: &Version) -> Result<(Version, String), DemoError> {
    let version = register(stage, models_dir, "v3", "The network trained again, on images that somebody had mirrored").await?;
    let rollout = roll_out(stage, &version, "trained again").await?;
    let verdicts: BTreeMap<&str, &str> =
        evidence(&rollout).map(|(_, evidence)| (evidence.gate.as_str(), evidence.verdict.as_str())).collect();
    if rollout.phase != "rolled_back" || verdicts != BTreeMap::from([("accuracy", "fail"), ("answers", "fail"), ("inputs", "pass")]) {
        return Err(DemoError::NotHeld(format!("{}; {verdicts:?}", told(&rollout))));
    }
    let names = here(stage);
    stage.converged(before, &names).await?;
    let reached: Vec<&str> = ran(stage, &version).collect();
    let canary = &stage.robots[CANARY].name;
    if reached != [canary.as_str()] {
        return Err(DemoError::NotHeld(format!("v3 answered frames on {reached:?}, not on {canary} alone")));
    }
    let accuracy = numbers(&rollout, "accuracy");
    let right = accuracy.map_or_else(String::new, |numbers| percent(&numbers));
    let detail =
        format!("{canary} read {right} and answered as no label is distributed, of frames like before; {} run v2", names.join(" and "));
    if let Some(Numbers { n, mean: Some(mean), .. }) = accuracy {
        stage.note_accuracy(&version, &[((mean * n as f64).round() as u64, n)]);
    }
    Ok((version, detail))
}

/// What the bad version's gates saw, under its step.
pub(crate) fn show_evidence(stage: &Stage<'_>) {
    let Some(rollout) = stage.tale.report.rollouts.last() else { return };
    let rows: Vec<Vec<String>> = rollout.evidence.iter().map(|seen| evidence_row(&seen.evidence)).collect();
    let terminal = &stage.tale.terminal;
    let lines = table(&["gate", "says", "the canary with v3", "with v2 before", "the others", "bound"], &rows);
    lines.iter().for_each(|line| terminal.aside(line));
}

/// The robot that was away through both has the good version, and never had the bad one.
pub(crate) async fn both_ends(stage: &mut Stage<'_>, good: &Version, bad: &Version) -> Result<((), String), DemoError> {
    let converged = converged_again(stage, good).await?;
    let name = &stage.robots[OFFLINE].name;
    if ran(stage, bad).any(|robot| robot == name) {
        return Err(DemoError::NotHeld(format!("{name} ran v3 on its way")));
    }
    let rollout = stage.tale.report.rollouts.first().map(|rollout| rollout.id.clone()).unwrap_or_default();
    // It counts as updated, though the rollout had ended long before.
    until(
        "the rollout to count it as updated",
        Duration::from_secs(30),
        |seen| stage.tale.waiting(seen),
        async || {
            let cells = stage.control_plane.rollout_robots(&rollout).await?;
            let phase = cells.into_iter().find(|cell| cell.target == *name).map(|cell| cell.phase).unwrap_or_default();
            Ok(if phase == "updated" { Look::Done(()) } else { Look::NotYet(format!("it is {phase}")) })
        },
    )
    .await?;
    Ok(((), format!("{name} was away through both: {converged}, and it never ran v3")))
}

/// Asks for a rollout, waits until it ended, notes it in the report.
async fn roll_out(stage: &mut Stage<'_>, version: &Version, description: &str) -> Result<Rollout, DemoError> {
    let asked = stage.control_plane.roll_out(&spec(version, &stage.robots[CANARY].name, description)).await?;
    let ended = until(
        &format!("the rollout of {} {} to end", version.model, version.version),
        ROLLOUT,
        |seen| stage.tale.waiting(seen),
        async || {
            let rollout = stage.control_plane.rollout(&asked.id).await?;
            Ok(if rollout.ended() { Look::Done(rollout) } else { Look::NotYet(rollout.told()) })
        },
    )
    .await;
    let rollout = match ended {
        Ok(rollout) => rollout,
        Err(error) => {
            let rollout = stage.control_plane.rollout(&asked.id).await?;
            stage.tale.report.rollouts.push(row(version, &rollout));
            return Err(error);
        }
    };
    stage.tale.report.rollouts.push(row(version, &rollout));
    Ok(rollout)
}

fn row(version: &Version, rollout: &Rollout) -> report::Rollout {
    let stages = rollout.plan.iter().map(|stage| report::RolloutStage {
        name: stage.name.clone(),
        state: stage.state.clone(),
        robots: stage.robots.clone(),
        seconds: stage.began_us.zip(stage.ended_us).map(|(began, ended)| (ended - began) as f64 * 1e-6),
    });
    let evidence =
        evidence(rollout).map(|(stage, evidence)| report::RolloutEvidence { stage: stage.to_owned(), evidence: evidence.clone() });
    report::Rollout {
        id: rollout.id.clone(),
        model: version.model.clone(),
        version: version.version.clone(),
        state: rollout.phase.clone(),
        stages: stages.collect(),
        evidence: evidence.collect(),
    }
}

/// What every gate said last, with the name of its stage.
fn evidence(rollout: &Rollout) -> impl Iterator<Item = (&str, &Evidence)> {
    rollout.plan.iter().flat_map(|stage| stage.evidence.iter().map(|evidence| (stage.name.as_str(), evidence)))
}

/// Numbers of the updated robots that a gate saw.
fn numbers(rollout: &Rollout, metric: &str) -> Option<Numbers> {
    evidence(rollout).find_map(|(_, evidence)| evidence.updated.get(metric)).copied()
}

/// Robots that are not away.
fn here(stage: &Stage<'_>) -> Vec<String> {
    stage.names().into_iter().enumerate().filter(|(index, _)| *index != OFFLINE).map(|(_, name)| name).collect()
}

/// Robots on which frames were answered by this bundle, as seen from outside.
fn ran<'a>(stage: &'a Stage<'_>, version: &'a Version) -> impl Iterator<Item = &'a str> {
    let of = |robot: &super::robots::Robot| robot.observed().results_by_digest.contains_key(&version.digest);
    stage.robots.iter().filter(move |robot| of(robot)).map(|robot| robot.name.as_str())
}

fn told(rollout: &Rollout) -> String {
    let last = rollout.history.last().map(|last| last.cause.as_str()).unwrap_or_default();
    format!("rollout {} is {}: {last}", rollout.id, rollout.told())
}

fn seconds(began_us: Option<i64>, ended_us: Option<i64>) -> String {
    began_us.zip(ended_us).map_or_else(|| "never ended".to_owned(), |(began, ended)| format!("{:.1} s", (ended - began) as f64 * 1e-6))
}

fn percent(numbers: &Numbers) -> String {
    numbers.mean.map_or_else(|| "nothing".to_owned(), |mean| format!("{:.1} % of {} labels right", 100.0 * mean, numbers.n))
}

fn evidence_row(evidence: &Evidence) -> Vec<String> {
    let number = |numbers: &BTreeMap<String, Numbers>| {
        let numbers = numbers.get(&evidence.metric);
        let shown = numbers.and_then(|numbers| Some(format!("{} ({} frames)", figure(&evidence.metric, numbers.mean?), numbers.n)));
        shown.unwrap_or_else(|| "-".to_owned())
    };
    let bound = evidence.threshold.map_or_else(|| "-".to_owned(), |bound| figure(&evidence.metric, bound));
    let says = if evidence.verdict == "fail" { "FAIL" } else { &evidence.verdict };
    vec![evidence.gate.clone(), says.to_owned(), number(&evidence.updated), number(&evidence.before), number(&evidence.rest), bound]
}

/// A share in per cent, anything else as it is.
fn figure(metric: &str, value: f64) -> String {
    if metric == "accuracy" { format!("{:.1} %", 100.0 * value) } else { format!("{value:.2}") }
}
