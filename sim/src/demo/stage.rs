//! What the story is told with: the running system, the terminal, and the report that grows.

use edgeflow_ros::Node;
use std::time::Duration;

use super::DemoError;
use super::control_plane::{ControlPlane, Target, Version};
use super::report;
use super::robots::Robot;
use super::tale::Tale;
use super::wait::{Look, until};

/// How long a robot may take to take up a deployment: a download over loopback, a session, a few reports.
const CONVERGE: Duration = Duration::from_secs(30);

/// How long results may take to come after the last frame.
const DRAIN: Duration = Duration::from_secs(15);

/// The running system and what is known of it.
pub(crate) struct Stage<'a> {
    /// The demo's own node, whose graph the robots are in.
    pub(crate) node: Node,
    /// The control plane.
    pub(crate) control_plane: ControlPlane,
    /// The robots, in order of their names.
    pub(crate) robots: Vec<Robot>,
    /// What was told so far.
    pub(crate) tale: &'a mut Tale,
}

impl Stage<'_> {
    /// Names of all robots.
    pub(crate) fn names(&self) -> Vec<String> {
        self.robots.iter().map(|robot| robot.name.clone()).collect()
    }

    /// Deploys a version to all robots and returns the deployment's identity.
    pub(crate) async fn deploy(&self, version: &Version) -> Result<serde_json::Value, DemoError> {
        let deployment = self.control_plane.deploy(version, &self.names()).await?;
        Ok(deployment.id)
    }

    /// Waits until the named robots attest that they run a version.
    pub(crate) async fn converged(&self, version: &Version, names: &[String]) -> Result<(), DemoError> {
        let what = format!("{} to attest {} {}", names.join(", "), version.model, version.version);
        until(
            &what,
            CONVERGE,
            |seen| self.tale.waiting(seen),
            async || {
                let targets = self.control_plane.targets(names).await?;
                if let Some((target, slot)) = targets.iter().find_map(|target| Some((target, failed_slot(target)?))) {
                    let reason = slot.reason.as_deref().unwrap_or("no reason given");
                    return Err(DemoError::NotHeld(format!(
                        "{} could not take up {} {}: {reason}",
                        target.name, version.model, version.version
                    )));
                }
                let (there, rest): (Vec<&Target>, Vec<&Target>) = targets.iter().partition(|target| runs(target, &version.digest));
                Ok(if rest.is_empty() {
                    Look::Done(())
                } else {
                    let rest: Vec<String> = rest.iter().map(|target| format!("{} is {}", target.name, status(target))).collect();
                    Look::NotYet(format!("{} of {} run it; {}", there.len(), targets.len(), rest.join(", ")))
                })
            },
        )
        .await
    }

    /// Waits until a deployment has succeeded on every robot.
    pub(crate) async fn succeeded(&self, id: &serde_json::Value) -> Result<(), DemoError> {
        until(
            "the deployment to succeed",
            CONVERGE,
            |seen| self.tale.waiting(seen),
            async || {
                let deployment = self.control_plane.deployment(id).await?;
                let each: Vec<String> = deployment.targets.iter().map(|target| format!("{} {}", target.target, target.status)).collect();
                match deployment.state.as_str() {
                    "succeeded" => Ok(Look::Done(())),
                    "failed" => {
                        let reasons: Vec<String> = deployment.targets.into_iter().filter_map(|target| target.reason).collect();
                        Err(DemoError::NotHeld(format!("the deployment failed: {}; {}", each.join(", "), reasons.join("; "))))
                    }
                    state => Ok(Look::NotYet(format!("it is {state}: {}", each.join(", ")))),
                }
            },
        )
        .await
    }

    /// Waits until every robot's accuracy with a version rests on enough samples, and returns (right, samples) each.
    pub(crate) async fn measured(&self, version: &Version, samples: u64) -> Result<Vec<(u64, u64)>, DemoError> {
        let what = format!("{samples} samples of {} {} from every robot", version.model, version.version);
        until(
            &what,
            Duration::from_secs(90),
            |seen| self.tale.waiting(seen),
            async || {
                let targets = self.control_plane.targets(&self.names()).await?;
                let each: Vec<(u64, u64)> = targets.iter().map(|target| score(target, &version.digest)).collect();
                if each.iter().all(|(_, counted)| *counted >= samples) {
                    return Ok(Look::Done(each));
                }
                let counts: Vec<String> = each.iter().map(|(_, counted)| counted.to_string()).collect();
                Ok(Look::NotYet(format!("{} of {samples} samples", counts.join(", "))))
            },
        )
        .await
    }

    /// Starts every camera.
    pub(crate) async fn stream(&self) -> Result<(), DemoError> {
        futures::future::try_join_all(self.robots.iter().map(|robot| robot.stream(true, false))).await.map(|_| ())
    }

    /// Pauses every camera, waits until every frame has its result, and notes both counts in the report. Returns
    /// frames and results over all robots; it is an error when they differ on any robot.
    pub(crate) async fn drain(&mut self) -> Result<(u64, u64), DemoError> {
        let frames = futures::future::try_join_all(self.robots.iter().map(|robot| robot.stream(false, false))).await?;
        let drained = until(
            "every frame's result",
            DRAIN,
            |seen| self.tale.waiting(seen),
            async || {
                let results = self.robots.iter().map(|robot| robot.observed().results);
                let behind: Vec<String> = std::iter::zip(&self.robots, std::iter::zip(&frames, results))
                    .filter(|(_, (frames, results))| *results < **frames)
                    .map(|(robot, (frames, results))| format!("{}: {frames} frames in, {results} results out", robot.name))
                    .collect();
                Ok(if behind.is_empty() { Look::Done(()) } else { Look::NotYet(behind.join(", ")) })
            },
        )
        .await;
        let mut sums = (0, 0);
        for ((robot, frames), row) in std::iter::zip(&self.robots, frames).zip(&mut self.tale.report.robots) {
            let seen = robot.observed();
            (row.frames_in, row.results_out, row.swap_gap_ms_max) = (frames, seen.results, seen.swap_gap_ms_max());
            sums = (sums.0 + frames, sums.1 + seen.results);
            if drained.is_ok() && (seen.results != frames || seen.repeated > 0) {
                let message = format!("{}: {frames} frames in, {} results out, {} repeated", robot.name, seen.results, seen.repeated);
                return Err(DemoError::NotHeld(message));
            }
        }
        drained.map(|()| sums)
    }

    /// Notes a model in the report.
    pub(crate) fn note_model(&mut self, version: &Version) {
        self.tale.report.models.push(report::Model {
            name: version.model.clone(),
            version: version.version.clone(),
            digest: version.digest.clone(),
            accuracy: None,
            samples: 0,
        });
    }

    /// Notes how good a model is and returns its accuracy over all robots.
    pub(crate) fn note_accuracy(&mut self, version: &Version, each: &[(u64, u64)]) -> f64 {
        let (correct, samples) = each.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let accuracy = correct as f64 / samples as f64;
        if let Some(model) = self.tale.report.models.iter_mut().find(|model| model.digest == version.digest) {
            (model.accuracy, model.samples) = (Some(accuracy), samples);
        }
        accuracy
    }

    /// Notes what the control plane says of every robot now. What cannot be read stays as it was.
    pub(crate) async fn note_robots(&mut self) {
        for row in &mut self.tale.report.robots {
            match self.control_plane.target(&row.name).await {
                Ok(target) => {
                    row.online = target.online;
                    row.running_digest = target.slots.get("default").and_then(|slot| slot.digest.clone());
                    if let Some(drift) = target.drift {
                        row.drift = report::Drift { flagged: drift.flagged, max_psi: drift.max_psi, windows: drift.windows };
                    }
                }
                Err(error) => tracing::warn!(%error, "the report lacks the state of {}", row.name),
            }
        }
    }

    /// Seconds from the start to the first result of any robot.
    pub(crate) fn note_first_inference(&mut self) {
        let first = self.robots.iter().filter_map(|robot| robot.observed().first_result_at).min();
        self.tale.report.first_inference_s = first.and_then(|first| self.tale.seconds_until(first));
    }
}

/// Whether a robot attests that this bundle serves its frames.
fn runs(target: &Target, digest: &str) -> bool {
    target.slots.get("default").is_some_and(|slot| slot.status == "active" && slot.digest.as_deref() == Some(digest))
}

fn failed_slot(target: &Target) -> Option<&super::control_plane::Slot> {
    target.slots.get("default").filter(|slot| slot.status == "failed")
}

fn status(target: &Target) -> String {
    target.slots.get("default").map_or_else(|| "waiting".to_owned(), |slot| slot.status.clone())
}

/// Right results and samples of one bundle on one robot.
fn score(target: &Target, digest: &str) -> (u64, u64) {
    target.accuracy.as_ref().filter(|accuracy| accuracy.digest == digest).map_or((0, 0), |accuracy| {
        let correct = (accuracy.accuracy.unwrap_or(0.0) * accuracy.samples as f64).round();
        (correct as u64, accuracy.samples)
    })
}
