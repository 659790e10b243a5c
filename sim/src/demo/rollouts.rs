//! Rollouts as any client sees them: asked for, watched, and told with the numbers they were decided by.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::DemoError;
use super::control_plane::{ControlPlane, Page};

/// Most robots of a rollout on one page.
const ROBOTS_PAGE: usize = 1000;

/// A rollout, and all that happened in it.
#[derive(Debug, Clone, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: String,
    /// `queued`, `progressing`, ... `succeeded`, `rolled_back`, `failed`, `aborted`.
    pub phase: String,
    /// Why it holds; empty when it does not.
    #[serde(default)]
    pub holds: String,
    /// Name of the stage it is in.
    pub stage: String,
    /// Phase of robots to how many are in it.
    pub robots: BTreeMap<String, usize>,
    /// Stage by stage; none in short.
    #[serde(default)]
    pub plan: Vec<Stage>,
    /// What happened, oldest first; nothing in short.
    #[serde(default)]
    pub history: Vec<Happened>,
}

/// One stage.
#[derive(Debug, Clone, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// `waiting`, `running`, `passed` or `failed`.
    pub state: String,
    /// Phase of robots to how many of this stage are in it.
    pub robots: BTreeMap<String, usize>,
    /// When it began, microseconds since the Unix epoch.
    pub began_us: Option<i64>,
    /// When it passed or failed.
    pub ended_us: Option<i64>,
    /// What its gates said last.
    pub evidence: Vec<Evidence>,
}

/// What a gate said, with the numbers it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name.
    pub gate: String,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// Why, for people.
    pub reason: String,
    /// The metric that was compared.
    pub metric: String,
    /// Its bound.
    pub threshold: Option<f64>,
    /// p-value of the test; none of an expression.
    pub p_value: Option<f64>,
    /// Numbers of the updated robots, by metric.
    pub updated: BTreeMap<String, Numbers>,
    /// Numbers of the same robots before.
    pub before: BTreeMap<String, Numbers>,
    /// Numbers of robots that were not updated.
    pub rest: BTreeMap<String, Numbers>,
}

/// Numbers of one metric of some robots.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Samples: frames, where the metric is per frame.
    pub n: u64,
    /// Robots they are of.
    pub robots: u64,
    /// Mean; none where there is none.
    pub mean: Option<f64>,
}

/// One thing that happened.
#[derive(Debug, Clone, Deserialize)]
pub struct Happened {
    /// What.
    pub happened: String,
    /// Phase after it.
    pub phase: String,
    /// Stage it is about.
    pub stage: Option<String>,
    /// Why, for people.
    pub cause: String,
}

/// Where one robot of a rollout is.
#[derive(Debug, Clone, Deserialize)]
pub struct Cell {
    /// Its name.
    pub target: String,
    /// Its stage, an index.
    pub stage: usize,
    /// `pending`, `updating`, `updated`, `deferred`, `failed`, ...
    pub phase: String,
    /// Why it waits, failed or was skipped.
    #[serde(default)]
    pub reason: String,
}

impl Rollout {
    /// Nothing more happens by itself.
    pub fn ended(&self) -> bool {
        matches!(self.phase.as_str(), "succeeded" | "rolled_back" | "failed" | "aborted")
    }

    /// How it stands, for people: `half progressing: 3 updating, 5 updated (waits for ...)`.
    pub fn told(&self) -> String {
        let robots: Vec<String> = self.robots.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
        let holds = if self.holds.is_empty() { String::new() } else { format!(" ({})", self.holds) };
        format!("{} {}: {}{holds}", self.stage, self.phase, robots.join(", "))
    }
}

impl ControlPlane {
    /// Asks for a rollout.
    pub(crate) async fn roll_out(&self, spec: &serde_json::Value) -> Result<Rollout, DemoError> {
        self.post("/rollouts", spec).await
    }

    /// How a rollout stands.
    pub(crate) async fn rollout(&self, id: &str) -> Result<Rollout, DemoError> {
        self.get(&format!("/rollouts/{id}")).await
    }

    /// The same in short, as it costs the control plane least; of the newest rollouts only.
    pub(crate) async fn rollout_in_short(&self, id: &str) -> Result<Rollout, DemoError> {
        let newest: Page<Rollout> = self.get("/rollouts?limit=10").await?;
        match newest.items.into_iter().find(|rollout| rollout.id == id) {
            Some(rollout) => Ok(rollout),
            None => self.rollout(id).await,
        }
    }

    /// Every robot of a rollout.
    pub(crate) async fn rollout_robots(&self, id: &str) -> Result<Vec<Cell>, DemoError> {
        self.pages(&format!("/rollouts/{id}/robots?limit={ROBOTS_PAGE}")).await
    }

    /// Every item of a list; its path has a `?` already.
    pub(crate) async fn pages<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, DemoError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: Page<T> = self.get(&format!("{path}{after}")).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={}", super::control_plane::plain(&next)),
                None => return Ok(all),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_read_and_told_in_one_line() {
        let text = r#"{"id":"3","kind":"model","phase":"judging","holds":"accuracy: 120 of 200 samples","stage":"canary","stage_index":0,
            "robots":{"pending":2,"updated":1},"later":1,"history":[{"at_us":1,"happened":"gates_judged","phase":"judging",
            "stage":"canary","robot":null,"actor":{"kind":"controller"},"cause":"too few"}],
            "plan":[{"name":"canary","state":"running","robots":{"updated":1},"soak_s":5,"approval":false,"began_us":1,"ended_us":null,
            "evidence":[{"gate":"accuracy","verdict":"inconclusive","reason":"too few","at_us":1,"metric":"accuracy","threshold":0.9,
            "p_value":null,"updated":{"accuracy":{"n":120,"robots":1,"mean":0.5,"std":0.1,"p50":0.5,"p95":0.5,"min":0.1,"max":1.0}},
            "before":{},"rest":{}}]}]}"#;
        let rollout: Rollout = serde_json::from_str(text).unwrap();
        assert!(!rollout.ended());
        assert_eq!(rollout.told(), "canary judging: 2 pending, 1 updated (accuracy: 120 of 200 samples)");
        assert_eq!(rollout.plan[0].evidence[0].updated["accuracy"].n, 120);
    }
}
