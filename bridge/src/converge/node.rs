//! The inference node's services: what it runs, what it shall load, and its way back to how it began.

use edgeflow_ros::{
    constants::lifecycle_msgs::msg::Transition as transition,
    edgeflow_msgs::srv::{GetModelInfo, LoadModel},
    lifecycle_msgs::srv::ChangeState,
};
use edgeflow_wire::SlotSpec;
use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Answer, Converger, Running, SLOT, Short};

/// How long the node may take to say what it runs.
const ASK: Duration = Duration::from_secs(2);
/// How long a node may take to build and warm up a session.
const LOAD: Duration = Duration::from_secs(120);
/// What the node said it runs is believed for so long, unless it or the graph says anything: each change of it is told on its status.
const BELIEVE: Duration = Duration::from_secs(60);
/// A load that goes unanswered this often has brought the node down: the bundle is given up.
const MAX_UNANSWERED: u32 = 3;
/// How long a node may take for one step of its lifecycle; configuring loads a model.
const STEP: Duration = Duration::from_secs(120);
/// How long the services of a node's lifecycle are waited for.
const FIND: Duration = Duration::from_secs(2);

impl Converger {
    /// What the node runs: it is asked unless it has answered since it last said anything.
    pub(super) async fn ask(&mut self) -> Answer {
        let said = *self.node.borrow();
        if self.progress.answered.is_some_and(|(then, at)| then == said && at.elapsed() < BELIEVE) {
            return Answer::Known;
        }
        let answer = self.ask_now().await;
        self.progress.answered = (answer == Answer::Known).then(|| (said, Instant::now()));
        answer
    }

    /// Asks the node what it runs, whatever it said.
    pub(super) async fn ask_now(&mut self) -> Answer {
        if self.info.wait_for_service(ASK).await.is_err() {
            self.progress.running = Running::default();
            return Answer::Absent;
        }
        match self.info.call(&GetModelInfo::Request { slot: SLOT.to_owned() }, ASK).await {
            Ok(answer) => {
                let model = answer.model;
                self.progress.running = if answer.success {
                    Running { model: model.name, version: model.version, digest: model.digest }
                } else {
                    Running::default()
                };
                Answer::Known
            }
            Err(error) => {
                tracing::debug!(%error, "the inference node does not say what it runs");
                Answer::Silent
            }
        }
    }

    pub(super) fn expect(&self, answer: Answer) -> Result<(), Short> {
        match answer {
            Answer::Known => Ok(()),
            Answer::Silent => Err(Short::Later(format!("{} does not answer", self.info.name()))),
            Answer::Absent => Err(Short::Later(format!("no inference node serves {}", self.info.name()))),
        }
    }

    /// Hands the bundle to the node. Returns the longest time no session could take a frame.
    pub(super) async fn load(&mut self, spec: &SlotSpec, folder: &Path) -> Result<u32, Short> {
        let request = LoadModel::Request {
            slot: SLOT.to_owned(),
            bundle_path: folder.to_string_lossy().into_owned(),
            model_name: spec.model.clone(),
            model_version: spec.version.clone(),
            digest: spec.digest.clone(),
        };
        let response = match self.load.call(&request, LOAD).await {
            Ok(response) => response,
            Err(error) => {
                self.progress.unanswered += 1;
                let reason = format!("the inference node did not answer while it loaded {} version {}: {error}", spec.model, spec.version);
                return Err(if self.progress.unanswered >= MAX_UNANSWERED { Short::Failed(reason) } else { Short::Later(reason) });
            }
        };
        self.progress.unanswered = 0;
        if !response.success {
            return Err(Short::Failed(response.message));
        }
        if response.digest != spec.digest {
            return Err(Short::Failed(format!("the node serves {} after it was asked to load {}", response.digest, spec.digest)));
        }
        self.progress.running = Running { model: spec.model.clone(), version: spec.version.clone(), digest: response.digest };
        Ok(response.swap_gap_us)
    }

    /// Takes the node through its lifecycle: it forgets the model and configures itself as from its start.
    pub(super) async fn restart_node(&mut self) -> Result<(), Short> {
        if self.lifecycle.wait_for_service(FIND).await.is_err() {
            return Err(Short::Failed(
                "nothing is declared any more, but the inference node has no lifecycle: restart it to take its model out".to_owned(),
            ));
        }
        for (id, name) in [
            (transition::TRANSITION_DEACTIVATE, "deactivate"),
            (transition::TRANSITION_CLEANUP, "cleanup"),
            (transition::TRANSITION_CONFIGURE, "configure"),
            (transition::TRANSITION_ACTIVATE, "activate"),
        ] {
            let mut request = ChangeState::Request::default();
            request.transition.id = id;
            match self.lifecycle.call(&request, STEP).await {
                Ok(answer) if answer.success => {}
                // One that is inactive already cannot be deactivated; the next steps show whether that matters.
                Ok(_) if id == transition::TRANSITION_DEACTIVATE => {}
                Ok(_) => return Err(Short::Failed(format!("nothing is declared any more, but the inference node refuses to {name}"))),
                Err(error) => return Err(Short::Later(format!("the inference node did not answer to {name}: {error}"))),
            }
        }
        Ok(())
    }
}
