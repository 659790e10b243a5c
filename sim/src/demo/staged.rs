//! The part of the story in which versions go out stage by stage: a good one to the end, a bad one to its first robot and back.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::DemoError;
use super::control_plane::Version;
use super::report;
use super::rollouts::{Cell, Evidence, Numbers, Rollout};
use super::stage::Stage;
use super::story::{DRIFTING, OFFLINE, away, converged_again, register};
use super::terminal::table;
use super::wait::{Look, until};

/// Index of the robot that gets a version first.
pub(crate) const CANARY: usize = 0;

/// How long robots serve before they are judged: three drift windows, and more frames than a gate wants.
const SOAK_S: u64 = 16;

/// Samples that a gate must have seen.
const SAMPLES: u64 = 200;

/// How long a rollout may take.
const ROLLOUT: Duration = Duration::from_secs(150);

/// What the canary must show.
fn canary_gates() -> Value {
    json!([
        { "name": "accuracy", "expression": "updated.accuracy.mean >= 0.9 && updated.accuracy.mean >= before.accuracy.mean - 0.02" },
        { "name": "answers", "expression": "updated.output_drift_ratio.mean < 1.0" },
        { "name": "inputs", "expression": "updated.input_drift_ratio.mean < 1.0" },
    ])
}

/// What robots of the second stage must show. One of them has a camera that is not what it was, which is no fault of a version: each is
/// held against itself before.
fn half_gates() -> Value {
    json!([
        { "name": "accuracy", "compare": { "metric": "accuracy", "against": "before", "worse": "lower", "margin": 0.02 } },
        { "name": "inputs", "expression": "updated.input_drift_ratio.mean <= 1.25 * before.input_drift_ratio.mean" },
    ])
}

/// What is mixed into the hash by which stages take robots. By their names alone robot-3 would go first, which is away in this part of
/// the story: nothing could be learnt from it. With this word robot-1 goes first, and robot-2, whose camera is not what it was, is of the
/// first half and robot-3 of the last, however many robots there are.
const SEED: &str = "demo-216";

fn spec(version: &Version, description: &str) -> Value {
    json!({
        "release": { "kind": "model", "name": version.model, "version": version.version },
        "strategy": {
            "stages": [
                { "name": "canary", "count": 1, "soak_s": SOAK_S, "gates": canary_gates() },
                { "name": "half", "percent": 50, "soak_s": SOAK_S, "gates": half_gates() },
                // Whoever is left may be away.
                { "name": "all", "rest": true, "gates": [] },
            ],
            "seed": SEED,
            "deadline_s": 60,
        },
        "description": description,
    })
}

/// What a stage of [`spec`] takes: `percent 50`.
fn takes(spec: &Value, index: usize) -> String {
    let stage = &spec["strategy"]["stages"][index];
    let amount = ["count", "percent"].into_iter().find_map(|key| Some(format!("{key} {}", stage.get(key)?)));
    amount.unwrap_or_else(|| "rest".to_owned())
}

/// v2 goes out once more, to one robot, to half, to all, while one of them is away.
pub(crate) async fn good(stage: &mut Stage<'_>, version: &Version) -> Result<((), String), DemoError> {
    away(stage, OFFLINE).await?;
    let rollout = roll_out(stage, version, "the network takes the tree's place for good").await?;
    if rollout.phase != "succeeded" || rollout.plan.iter().any(|stage| stage.state != "passed") {
        return Err(DemoError::NotHeld(told(&rollout)));
    }
    judged(&rollout, &["canary", "half"])?;
    let [canary, drifting, offline] = [CANARY, DRIFTING, OFFLINE].map(|index| stage.robots[index].name.clone());
    let robots = |name: &str| names(stage, name);
    if robots("canary") != [canary.as_str()] || !robots("half").contains(&drifting) || !robots("all").contains(&offline) {
        return Err(DemoError::NotHeld(format!("its stages took {:?}, {:?}, {:?}", robots("canary"), robots("half"), robots("all"))));
    }
    let cells = stage.control_plane.rollout_robots(&rollout.id).await?;
    if let Some(cell) = cells.iter().find(|cell| cell.phase != if cell.target == offline { "deferred" } else { "updated" }) {
        return Err(DemoError::NotHeld(format!("{} is {} {}", cell.target, cell.phase, cell.reason)));
    }
    stage.converged(version, &here(stage)).await?;
    let stages: Vec<String> =
        rollout.plan.iter().map(|stage| format!("{} {}", stage.name, seconds(stage.began_us, stage.ended_us))).collect();
    let read = |name| accuracy(&rollout, name).map_or_else(|| "nothing".to_owned(), |(now, before)| after(now, before));
    let detail = format!(
        "{}; as canary {canary} read {}; in half {} read {}; {offline} is away, told, and not waited for",
        stages.join(", "),
        read("canary"),
        robots("half").join(" and "),
        read("half"),
    );
    Ok(((), detail))
}

/// Robots of a stage of the newest rollout.
fn names<'a>(stage: &'a Stage<'_>, name: &str) -> &'a [String] {
    let stages = stage.tale.report.rollouts.last().map(|rollout| rollout.stages.as_slice()).unwrap_or_default();
    stages.iter().find(|stage| stage.name == name).map(|stage| stage.names.as_slice()).unwrap_or_default()
}

/// Whether the gates of these stages passed on enough samples, each of them.
fn judged(rollout: &Rollout, stages: &[&str]) -> Result<(), DemoError> {
    for name in stages {
        let gates: Vec<&Evidence> = evidence(rollout).filter(|(stage, _)| stage == name).map(|(_, evidence)| evidence).collect();
        let seen = |gate: &Evidence| gate.updated.get(&gate.metric).is_some_and(|numbers| numbers.n >= SAMPLES);
        if gates.is_empty() || gates.iter().any(|gate| gate.verdict != "pass" || !seen(gate)) {
            let said: Vec<String> = gates.iter().map(|gate| format!("{} {}: {}", gate.gate, gate.verdict, gate.reason)).collect();
            return Err(DemoError::NotHeld(format!("stage {name} went on, and its gates said: {}", said.join("; "))));
        }
    }
    Ok(())
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
    let seen = accuracy(&rollout, "canary");
    let right = seen.map_or_else(String::new, |(now, before)| after(now, before));
    let detail =
        format!("{canary} read {right} and answered as no label is distributed, of frames like before; {} run v2", names.join(" and "));
    if let Some((Numbers { n, mean: Some(mean), .. }, _)) = seen {
        stage.note_accuracy(&version, &[((mean * n as f64).round() as u64, n)]);
    }
    Ok((version, detail))
}

/// What the gates of the newest rollout saw, under its step.
pub(crate) fn show_evidence(stage: &Stage<'_>) {
    let Some(rollout) = stage.tale.report.rollouts.last() else { return };
    let rows: Vec<Vec<String>> = rollout.evidence.iter().map(evidence_row).collect();
    let terminal = &stage.tale.terminal;
    let with = format!("with v{}", rollout.version);
    let lines = table(&["stage", "gate", "says", &with, "before", "the others", "bound"], &rows);
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
    let spec = spec(version, description);
    let asked = stage.control_plane.roll_out(&spec).await?;
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
    // One that did not end is in the report, too.
    let (rollout, error) = match ended {
        Ok(rollout) => (rollout, None),
        Err(error) => (stage.control_plane.rollout(&asked.id).await?, Some(error)),
    };
    let cells = stage.control_plane.rollout_robots(&rollout.id).await?;
    stage.tale.report.rollouts.push(row(version, &spec, &rollout, &cells));
    error.map_or(Ok(rollout), Err)
}

fn row(version: &Version, spec: &Value, rollout: &Rollout, cells: &[Cell]) -> report::Rollout {
    let stages = rollout.plan.iter().enumerate().map(|(index, stage)| report::RolloutStage {
        name: stage.name.clone(),
        state: stage.state.clone(),
        takes: takes(spec, index),
        names: cells.iter().filter(|cell| cell.stage == index).map(|cell| cell.target.clone()).collect(),
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
        seed: SEED.to_owned(),
        stages: stages.collect(),
        evidence: evidence.collect(),
    }
}

/// What every gate said last, with the name of its stage.
fn evidence(rollout: &Rollout) -> impl Iterator<Item = (&str, &Evidence)> {
    rollout.plan.iter().flat_map(|stage| stage.evidence.iter().map(|evidence| (stage.name.as_str(), evidence)))
}

/// How accurate the robots of a stage were with the release, and before it, as its gates saw.
fn accuracy(rollout: &Rollout, stage: &str) -> Option<(Numbers, Option<Numbers>)> {
    let mut of_stage = evidence(rollout).filter(|(name, _)| *name == stage).map(|(_, evidence)| evidence);
    of_stage.find_map(|evidence| Some((*evidence.updated.get("accuracy")?, evidence.before.get("accuracy").copied())))
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

/// `98.2 % of 853 labels right (71.0 % before)`.
fn after(now: Numbers, before: Option<Numbers>) -> String {
    let right = now.mean.map_or_else(|| "nothing".to_owned(), |mean| format!("{:.1} % of {} labels right", 100.0 * mean, now.n));
    let before = before.and_then(|before| before.mean).map_or_else(String::new, |mean| format!(" ({:.1} % before)", 100.0 * mean));
    right + &before
}

fn evidence_row(seen: &report::RolloutEvidence) -> Vec<String> {
    let evidence = &seen.evidence;
    let number = |numbers: &BTreeMap<String, Numbers>| {
        let numbers = numbers.get(&evidence.metric);
        let shown = numbers.and_then(|numbers| Some(format!("{} ({} frames)", figure(&evidence.metric, numbers.mean?), numbers.n)));
        shown.unwrap_or_else(|| "-".to_owned())
    };
    let bound = evidence.threshold.map_or_else(|| "-".to_owned(), |bound| figure(&evidence.metric, bound));
    let says = if evidence.verdict == "fail" { "FAIL" } else { &evidence.verdict };
    let [now, before, rest] = [&evidence.updated, &evidence.before, &evidence.rest].map(number);
    vec![seen.stage.clone(), evidence.gate.clone(), says.to_owned(), now, before, rest, bound]
}

/// A share in per cent, anything else as it is.
fn figure(metric: &str, value: f64) -> String {
    if metric == "accuracy" { format!("{:.1} %", 100.0 * value) } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_core::{TargetName, rollout};
    use std::collections::BTreeSet;

    /// By the control plane's own planner.
    #[test]
    fn with_its_seed_every_fleet_goes_in_the_order_of_the_story() {
        let version = Version { model: "label-reader".into(), version: "2".into(), digest: String::new() };
        let spec = spec(&version, "");
        assert_eq!([0, 1, 2].map(|index| takes(&spec, index)), ["count 1", "percent 50", "rest"]);
        let spec: rollout::RolloutSpec = serde_json::from_value(spec).unwrap();
        rollout::check(&spec).unwrap();
        for robots in 3..=32_usize {
            let candidate = |number| rollout::Candidate {
                target: TargetName::new(format!("robot-{number}")).unwrap(),
                labels: BTreeMap::new(),
                groups: BTreeSet::new(),
            };
            let plan = rollout::plan(&spec, &(1..=robots).map(candidate).collect::<Vec<_>>()).unwrap();
            let stage_of = |index: usize| {
                let name = format!("robot-{}", index + 1);
                plan.robots.iter().find(|(robot, _)| robot.as_str() == name).map(|(_, stage)| *stage)
            };
            assert_eq!([CANARY, DRIFTING, OFFLINE].map(stage_of), [Some(0), Some(1), Some(2)], "{robots} robots");
            assert_eq!(plan.stages.iter().map(|stage| stage.robots).collect::<Vec<_>>(), [1, robots.div_ceil(2) - 1, robots / 2]);
        }
    }
}
