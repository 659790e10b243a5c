//! What the demo measured, as JSON that machines read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use super::DemoError;
use super::rollouts::Evidence;

/// The whole report. Its shape is an interface: names and nesting stay.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Seconds from the start (`--started-at-unix-ms`, else the demo's own) to the first inference result seen.
    pub first_inference_s: Option<f64>,
    /// Steps of the story, in order; the last is the one that failed, if one did.
    pub steps: Vec<Step>,
    /// Models of the story, in order of registration.
    pub models: Vec<Model>,
    /// Robots, in order of their names.
    pub robots: Vec<Robot>,
    /// Rollouts of the story, in order.
    #[serde(default)]
    pub rollouts: Vec<Rollout>,
}

/// One rollout, as it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number at the control plane.
    pub id: String,
    /// Registry name.
    pub model: String,
    /// Registry version.
    pub version: String,
    /// `succeeded`, `rolled_back`, ...
    pub state: String,
    /// What was mixed into the hash by which its stages take robots.
    #[serde(default)]
    pub seed: String,
    /// Stage by stage.
    pub stages: Vec<RolloutStage>,
    /// What its gates said last, with the numbers they saw.
    pub evidence: Vec<RolloutEvidence>,
}

/// One stage of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutStage {
    /// Its name.
    pub name: String,
    /// `waiting`, `passed` or `failed`.
    pub state: String,
    /// What it was to take: `count 1`, `percent 50`, `rest`.
    #[serde(default)]
    pub takes: String,
    /// Its robots, by name.
    #[serde(default)]
    pub names: Vec<String>,
    /// Phase of robots to how many of the stage are in it.
    pub robots: BTreeMap<String, usize>,
    /// How long it took; none when it never began.
    pub seconds: Option<f64>,
}

/// What a gate said at the end of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutEvidence {
    /// The stage.
    pub stage: String,
    /// The gate, its verdict, and the numbers.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// One step of the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was to be shown.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// What was measured, or why it did not hold.
    pub detail: String,
}

/// One model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Registry name.
    pub name: String,
    /// Registry version.
    pub version: String,
    /// Bundle digest.
    pub digest: String,
    /// Share of right results over all robots, before any camera drifted; 0 to 1. None before it was measured.
    pub accuracy: Option<f64>,
    /// Results that `accuracy` was measured on.
    pub samples: u64,
}

/// One robot, as it stood at the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Robot {
    /// Name in the control plane.
    pub name: String,
    /// Whether the control plane holds it for online.
    pub online: bool,
    /// Bundle digest that it attested last.
    pub running_digest: Option<String>,
    /// Frames its camera published after its first `active`.
    pub frames_in: u64,
    /// Results an independent subscriber received for them.
    pub results_out: u64,
    /// Longest time over its swaps in which no session could take a frame, milliseconds.
    pub swap_gap_ms_max: Option<f64>,
    /// Its drift, as the control plane shows it.
    pub drift: Drift,
    /// Its log entries on both sides of the uplink.
    pub entries: Entries,
}

/// Drift of one robot.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Drift {
    /// Whether a feature is flagged.
    pub flagged: bool,
    /// Greatest population stability index of the newest window; none when it is not finite or there is no window.
    pub max_psi: Option<f64>,
    /// Windows closed.
    pub windows: u64,
}

/// Log entries of one robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entries {
    /// Appended on the robot.
    pub produced: u64,
    /// Rows the control plane stores.
    pub stored: u64,
    /// Rows beyond the first for the same sequence number.
    pub duplicated: u64,
    /// Sequence numbers produced, not recorded as lost, and not stored.
    pub missing: u64,
    /// Sequence numbers that the robot evicted before they were acknowledged, as the control plane recorded.
    pub lost_recorded: u64,
}

impl Report {
    /// Whether the story was told to its end and every step held.
    pub fn held(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.ok)
    }

    /// Writes the report, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), DemoError> {
        let failed = |source| DemoError::File { action: "write the report", path: path.to_owned(), source };
        let json = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, json + "\n").and_then(|()| std::fs::rename(&partial, path)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::rollouts::Numbers;
    use super::*;

    fn report() -> Report {
        Report {
            first_inference_s: Some(4.25),
            steps: vec![Step { name: "robots come online".into(), ok: true, detail: "3 of 3 after 1.2 s".into() }],
            models: vec![Model {
                name: "label-reader".into(),
                version: "1".into(),
                digest: "sha256:00".into(),
                accuracy: Some(0.75),
                samples: 612,
            }],
            robots: vec![Robot {
                name: "robot-1".into(),
                online: true,
                running_digest: Some("sha256:00".into()),
                frames_in: 2,
                results_out: 2,
                swap_gap_ms_max: Some(0.125),
                drift: Drift { flagged: false, max_psi: Some(0.5), windows: 3 },
                entries: Entries { produced: 9, stored: 9, duplicated: 0, missing: 0, lost_recorded: 0 },
            }],
            rollouts: vec![Rollout {
                id: "1".into(),
                model: "label-reader".into(),
                version: "3".into(),
                state: "rolled_back".into(),
                seed: "word".into(),
                stages: vec![RolloutStage {
                    name: "canary".into(),
                    state: "failed".into(),
                    takes: "count 1".into(),
                    names: vec!["robot-1".into()],
                    robots: BTreeMap::from([("rolled_back".into(), 1)]),
                    seconds: Some(16.5),
                }],
                evidence: vec![RolloutEvidence {
                    stage: "canary".into(),
                    evidence: Evidence {
                        gate: "accuracy".into(),
                        verdict: "fail".into(),
                        reason: "too low".into(),
                        metric: "accuracy".into(),
                        threshold: Some(0.9),
                        p_value: None,
                        updated: BTreeMap::from([("accuracy".into(), Numbers { n: 320, robots: 1, mean: Some(0.375) })]),
                        before: BTreeMap::new(),
                        rest: BTreeMap::new(),
                    },
                }],
            }],
        }
    }

    #[test]
    fn the_shape_is_the_one_that_was_promised() {
        let expected = r#"{"first_inference_s":4.25,"steps":[{"name":"robots come online","ok":true,"detail":"3 of 3 after 1.2 s"}],"models":[{"name":"label-reader","version":"1","digest":"sha256:00","accuracy":0.75,"samples":612}],"robots":[{"name":"robot-1","online":true,"running_digest":"sha256:00","frames_in":2,"results_out":2,"swap_gap_ms_max":0.125,"drift":{"flagged":false,"max_psi":0.5,"windows":3},"entries":{"produced":9,"stored":9,"duplicated":0,"missing":0,"lost_recorded":0}}],"rollouts":[{"id":"1","model":"label-reader","version":"3","state":"rolled_back","seed":"word","stages":[{"name":"canary","state":"failed","takes":"count 1","names":["robot-1"],"robots":{"rolled_back":1},"seconds":16.5}],"evidence":[{"stage":"canary","gate":"accuracy","verdict":"fail","reason":"too low","metric":"accuracy","threshold":0.9,"p_value":null,"updated":{"accuracy":{"n":320,"robots":1,"mean":0.375}},"before":{},"rest":{}}]}]}"#;
        assert_eq!(serde_json::to_string(&report()).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Report>(expected).unwrap(), report());
    }

    #[test]
    fn a_report_holds_only_when_every_step_did() {
        assert!(report().held());
        assert!(!Report::default().held());
        let mut failed = report();
        failed.steps.push(Step { name: "x".into(), ok: false, detail: "y".into() });
        assert!(!failed.held());
    }

    #[test]
    fn a_report_is_written_whole_and_an_impossible_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        report().write(&path).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&std::fs::read_to_string(&path).unwrap()).unwrap(), report());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = report().write(&folder.path().join("no/such/r.json")).unwrap_err().to_string();
        assert!(error.contains("no/such/r.json"), "{error}");
    }
}
