//! Plans, changes and revisions as people read them.

use serde::Deserialize;
use serde_json::Value;

use crate::{api::document, error::CliError, output, when::when};

/// Robots that are listed one by one.
const LISTED: usize = 100;

#[derive(Deserialize)]
struct Plan {
    robots: Vec<Robot>,
    rollouts: Vec<Rollout>,
    under_way: Vec<UnderWay>,
    #[serde(default)]
    lacking: Vec<Lacking>,
    not_enrolled: Vec<String>,
}

#[derive(Deserialize)]
struct Robot {
    target: String,
    labels: Vec<Label>,
    slots: Vec<Slot>,
    policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Label {
    key: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Slot {
    slot: String,
    declaration: String,
    before: Option<String>,
    after: String,
    how: String,
}

#[derive(Deserialize)]
struct Policy {
    declaration: String,
    how: String,
}

#[derive(Deserialize)]
struct Rollout {
    declaration: String,
    release: String,
    rollout: String,
    robots: usize,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    name: String,
    robots: usize,
}

#[derive(Deserialize)]
struct Lacking {
    declaration: String,
    reason: String,
    robots: Vec<String>,
}

#[derive(Deserialize)]
struct UnderWay {
    declaration: String,
    rollout: String,
    robots: usize,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    before: Value,
    after: Value,
}

#[derive(Deserialize)]
struct Revision {
    revision: i64,
    based_on: i64,
    state: String,
    message: String,
    created_at_us: i64,
    created_by: String,
    decided_by: Option<String>,
    #[serde(default)]
    reason: String,
}

/// As the API gives it.
pub(super) fn json(value: &Value) -> Result<(), CliError> {
    output::line(format!("{value:#}"))
}

/// What applying would do.
pub(super) fn plan(answer: &Value) -> Result<(), CliError> {
    let changed = answer.get("changes").cloned().unwrap_or_default();
    match answer.get("revision").and_then(Value::as_i64).unwrap_or_default() {
        0 => output::line("nothing is declared yet")?,
        revision => output::line(format!("revision {revision} stands"))?,
    }
    changes(&changed)?;
    robots(answer)?;
    if answer.get("review").and_then(Value::as_str) == Some("required") && changed.as_array().is_some_and(|changed| !changed.is_empty()) {
        output::line("a second person must approve this before it takes effect")?;
    }
    Ok(())
}

/// What differs, place by place.
pub(super) fn changes(answer: &Value) -> Result<(), CliError> {
    for Change { path, before, after } in document::<Vec<Change>>(answer.clone(), "changes")? {
        output::line(match (before.is_null(), after.is_null()) {
            (true, _) => format!("+ {path}  {after}"),
            (_, true) => format!("- {path}  {before}"),
            _ => format!("~ {path}  {before} -> {after}"),
        })?;
    }
    Ok(())
}

fn robots(answer: &Value) -> Result<(), CliError> {
    let Plan { robots, rollouts, under_way, lacking, not_enrolled } = document(answer.clone(), "plan")?;
    let count = robots.len();
    let mut rows = Vec::new();
    for robot in robots.into_iter().take(LISTED) {
        let none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for Label { key, before, after } in robot.labels {
            rows.push([
                robot.target.clone(),
                format!("label {key}"),
                none(before),
                none(after),
                "at once".to_owned(),
                format!("labels.{}", robot.target),
            ]);
        }
        for Slot { slot, declaration, before, after, how } in robot.slots {
            rows.push([robot.target.clone(), format!("slot {slot}"), none(before), after, how, declaration]);
        }
        if let Some(Policy { declaration, how }) = robot.policy {
            rows.push([robot.target.clone(), "policy".to_owned(), "-".to_owned(), "-".to_owned(), how, declaration]);
        }
    }
    if rows.is_empty() {
        output::line("no robot changes")?;
    } else {
        output::table(["ROBOT", "WHAT", "FROM", "TO", "HOW", "BY"], &rows)?;
        let more = if count > LISTED { format!(" (the first {LISTED} are listed; --output json has all)") } else { String::new() };
        output::line(format!("robots that change: {count}{more}"))?;
    }
    for Rollout { declaration, release, rollout, robots, stages } in rollouts {
        let stages: Vec<String> = stages.into_iter().map(|stage| format!("{} {}", stage.name, stage.robots)).collect();
        output::line(format!("rollout {rollout} brings {release} to {} for {declaration}: {}", output::robots(robots), stages.join(", ")))?;
    }
    for UnderWay { declaration, rollout, robots } in under_way {
        output::line(format!("rollout {rollout} is under way for {declaration}: {} on the way", output::robots(robots)))?;
    }
    for Lacking { declaration, reason, robots } in lacking {
        output::line(format!("{declaration} is not given to {}: {reason}", robots.join(", ")))?;
    }
    if !not_enrolled.is_empty() {
        output::line(format!("named and not enrolled (they become what is declared when they are): {}", not_enrolled.join(", ")))?;
    }
    Ok(())
}

/// One revision.
pub(super) fn revision(answer: &Value) -> Result<(), CliError> {
    head(answer)?;
    changes(&answer.get("changes").cloned().unwrap_or_default())?;
    robots(&answer.get("plan").cloned().unwrap_or_default())
}

fn head(answer: &Value) -> Result<(), CliError> {
    let Revision { revision, based_on, state, message, created_at_us, created_by, decided_by, reason } =
        document(answer.clone(), "revision")?;
    output::line(format!("revision {revision}, {state}, on revision {based_on}, by {created_by} at {}", when(created_at_us)))?;
    if !message.is_empty() {
        output::line(format!("  {message}"))?;
    }
    if let Some(by) = decided_by {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        output::line(format!("  decided by {by}{reason}"))?;
    }
    Ok(())
}

/// What stands, and what waits.
pub(super) fn status(answer: &Value) -> Result<(), CliError> {
    match answer.get("applied").filter(|applied| !applied.is_null()) {
        None => output::line("nothing is declared: `edgeflow export` writes what robots are told")?,
        Some(applied) => head(applied)?,
    }
    for (name, members) in answer.get("groups").and_then(Value::as_object).into_iter().flatten() {
        output::line(format!("group {name}: {}", output::robots(members.as_array().map_or(0, Vec::len))))?;
    }
    let proposals = answer.get("proposals").and_then(Value::as_array).cloned().unwrap_or_default();
    for proposal in &proposals {
        head(proposal)?;
    }
    Ok(())
}
