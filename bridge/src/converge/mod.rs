//! Brings the robot to its desired state, and keeps it there: compare what shall run with what runs, do the next thing,
//! look again. Driven by changes (a new desired state, a node that restarted), never by counting on what was true before.

mod applied;
mod fetches;
mod model;
mod node;
mod progress;
mod tell;

pub(crate) use fetches::Fetches;
pub(crate) use progress::Progress;

use edgeflow_ros::{
    Client,
    edgeflow_msgs::srv::{GetModelInfo, LoadModel},
    lifecycle_msgs::srv::ChangeState,
};
use edgeflow_uplink::{Backoff, LinkState};
use edgeflow_wire::{Activity, DesiredState, Hold};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

use crate::{Downloader, FetchError, Recorder, applier::Applier, hold::Rollback, ledger::Ledger, policy::Board};
use progress::leaves_slots_alone;

/// The one slot an inference node has.
pub(crate) const SLOT: &str = "default";
/// What can change without a word is looked at this often: watched files, the policy that rules.
const LOOK: Duration = Duration::from_secs(5);

/// What serves frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Running {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) digest: String,
}

/// What the node answered when asked what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What it runs, or that it runs nothing.
    Known,
    /// It is there and does not answer.
    Silent,
    /// It is not there: nothing serves.
    Absent,
}

/// Why an attempt ended short of the goal.
pub(crate) enum Short {
    /// Only another desired state changes that.
    Failed(String),
    /// Try again a little later.
    Later(String),
    /// Its bundle is on its way: try again when it is here.
    Coming,
}

impl From<FetchError> for Short {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Refused { reason } => Short::Failed(reason),
            FetchError::Later { reason } => Short::Later(reason),
        }
    }
}

/// The reconciler of one robot.
pub(crate) struct Converger {
    pub(crate) recorder: Recorder,
    pub(crate) downloader: Downloader,
    pub(crate) load: Client<LoadModel::Service>,
    pub(crate) info: Client<GetModelInfo::Service>,
    /// The desired state that is followed.
    pub(crate) desired: watch::Receiver<Option<DesiredState>>,
    /// The newest one, which is not followed while the robot is held.
    pub(crate) accepted: watch::Receiver<Option<DesiredState>>,
    /// The hold that somebody at the robot asked for.
    pub(crate) hold: watch::Receiver<Option<Hold>>,
    pub(crate) activity: watch::Receiver<Activity>,
    pub(crate) board: Arc<Board>,
    /// How often the inference node has left.
    pub(crate) departures: Arc<AtomicU64>,
    /// Slots whose change on the robot somebody gives up.
    pub(crate) given_up: mpsc::Receiver<String>,
    pub(crate) lifecycle: Client<ChangeState::Service>,
    /// The other slots.
    pub(crate) appliers: BTreeMap<String, Applier>,
    pub(crate) ledger: Ledger,
    /// Counts what the inference node said of itself, its coming and its going: each is a reason to look again.
    pub(crate) node: watch::Receiver<u64>,
    pub(crate) link: watch::Receiver<LinkState>,
    /// The newest rollback that somebody made on the robot.
    pub(crate) rollback: watch::Receiver<Option<Rollback>>,
    pub(crate) progress: Progress,
    pub(crate) fetches: Fetches,
}

impl Converger {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        self.ask().await;
        self.tell_state().await;
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut before: Option<DesiredState> = None;
        loop {
            let desired = self.desired.borrow_and_update().clone();
            self.node.mark_unchanged();
            if let (Some(before), Some(desired)) = (&before, &desired)
                && leaves_slots_alone(before, desired)
            {
                self.progress.carry(before.version, desired.version).await;
            }
            before.clone_from(&desired);
            self.fetches.look();
            self.progress.unserved.clear();
            self.look_at_files().await;
            let again = match &desired {
                Some(desired) => self.converge(desired).await,
                None => {
                    self.ask().await;
                    false
                }
            };
            self.fetches.follow(&self.downloader, &self.link);
            self.tell_state().await;
            if !again {
                backoff.reset();
            }
            tokio::select! {
                changed = self.desired.changed() => match changed {
                    Ok(()) => backoff.reset(),
                    Err(_) => return,
                },
                changed = self.node.changed() => if changed.is_err() { return },
                changed = self.accepted.changed() => if changed.is_err() { return },
                changed = self.hold.changed() => if changed.is_err() { return },
                changed = self.activity.changed() => match changed {
                    // Its lifecycle is among it, and a node that is configured anew may have lost its model.
                    Ok(()) => self.progress.answered = None,
                    Err(_) => return,
                },
                Some(slot) = self.given_up.recv() => self.give_up(&slot).await,
                () = self.fetches.ended() => backoff.reset(),
                () = applied::served(&self.appliers, &self.progress.unserved) => backoff.reset(),
                () = tokio::time::sleep(LOOK), if !again => {}
                () = tokio::time::sleep(backoff.delay()), if again => {}
            }
        }
    }

    /// One attempt at everything. True when another is due although nothing changes.
    async fn converge(&mut self, desired: &DesiredState) -> bool {
        let mut again = false;
        for (slot, spec) in &desired.slots {
            let declared = desired.vectors.get(slot).copied().unwrap_or_default();
            let short = if slot == SLOT && spec.kind.is_model() {
                self.converge_slot(desired.version, &declared, spec).await.err()
            } else {
                self.converge_applied(desired.version, &declared, slot, spec).await.err()
            };
            match short {
                None | Some(Short::Coming) => {}
                Some(Short::Later(reason)) => {
                    tracing::info!(slot, reason, "not there yet");
                    again = true;
                }
                Some(Short::Failed(reason)) => self.fail(desired.version, slot, spec, reason).await,
            }
        }
        for (slot, declared) in desired.vectors.iter().filter(|(slot, _)| !desired.slots.contains_key(*slot)) {
            let short = if slot == SLOT {
                self.withdraw_model(desired.version, declared).await
            } else {
                self.withdraw_applied(desired.version, slot, declared).await
            };
            match short {
                Ok(()) | Err(Short::Coming) => {}
                Err(Short::Later(reason)) => {
                    tracing::info!(slot, reason, "not there yet");
                    again = true;
                }
                Err(Short::Failed(reason)) => self.cannot_withdraw(desired.version, slot, reason).await,
            }
        }
        again
    }
}
