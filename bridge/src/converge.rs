//! Brings the robot to its desired state, and keeps it there: compare what shall run with what runs, do the next thing,
//! look again. Driven by changes (a new desired state, a node that restarted), never by counting on what was true before.

use edgeflow_bundle::Digest;
use edgeflow_ros::{
    Client,
    edgeflow_msgs::srv::{GetModelInfo, LoadModel},
    lifecycle_msgs::srv::ChangeState,
};
use edgeflow_uplink::{Backoff, LinkState};
use edgeflow_wire::{
    Activity, Class, DeploymentStatusBody, DesiredState, EntryBody, Hold, ObservedState, SlotSpec, SlotState, SlotStatus, StateBody,
    Version, VersionVector,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

use crate::{
    Downloader, FetchError, Recorder, SOFTWARE,
    applier::Applier,
    desired::write_durably,
    download::Wanted,
    held::held,
    hold::{Held, Holder, Rollback},
    ledger::Ledger,
    policy::Board,
    slots::AppliedProgress,
};

/// The one slot an inference node has.
pub(crate) const SLOT: &str = "default";
/// How long the node may take to say what it runs.
const ASK: Duration = Duration::from_secs(2);
/// How long a node may take to build and warm up a session.
const LOAD: Duration = Duration::from_secs(120);
/// What can change without a word is looked at this often: watched files, the policy that rules.
const LOOK: Duration = Duration::from_secs(5);
/// What the node said it runs is believed for so long, unless it or the graph says anything: each change of it is told on its status.
const BELIEVE: Duration = Duration::from_secs(60);
/// A load that goes unanswered this often has brought the node down: the bundle is given up.
const MAX_UNANSWERED: u32 = 3;

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
}

/// What the reconciler knows of its slot.
pub(crate) struct Progress {
    pub(crate) running: Running,
    /// What was brought up last and served: it comes back when its successor failed and the node restarts.
    good: Option<SlotSpec>,
    good_path: PathBuf,
    /// What served before that.
    before: Option<SlotSpec>,
    /// A desired state that was rolled back on the robot.
    holder: Holder,
    pub(crate) status: Option<SlotStatus>,
    pub(crate) reason: String,
    /// The desired state whose good end was told.
    pub(crate) settled: Option<(Version, String)>,
    /// Version, slot and digest of what will not be tried again.
    failed: BTreeSet<(Version, String, String)>,
    unanswered: u32,
    told: Option<StateBody>,
    /// Slots that are applied.
    pub(crate) applied: BTreeMap<String, AppliedProgress>,
    /// A digest nobody here brought about, seen once.
    pub(crate) suspect: Option<String>,
    /// How often the node had left when it was last looked at.
    pub(crate) departures: u64,
    /// What the node had said of itself, counted, and when, as it was last asked and answered.
    answered: Option<(u64, Instant)>,
}

impl Progress {
    /// Nothing is known yet but what served in an earlier life, as `data_dir` has it.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let good_path = data_dir.join("last_good.json");
        // Losing this file costs a fall-back, nothing else.
        let good = std::fs::read(&good_path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self {
            running: Running::default(),
            good,
            good_path,
            before: None,
            holder: Holder::open(data_dir),
            status: None,
            reason: String::new(),
            settled: None,
            failed: BTreeSet::new(),
            unanswered: 0,
            told: None,
            applied: BTreeMap::new(),
            suspect: None,
            departures: 0,
            answered: None,
        }
    }

    /// What was brought up last.
    pub(crate) fn good_digest(&self) -> Option<String> {
        self.good.as_ref().map(|good| good.digest.clone())
    }

    /// Nothing comes back any more.
    pub(crate) async fn forget_good(&mut self) {
        (self.good, self.before, self.settled, self.status) = (None, None, None, None);
        self.reason = String::new();
        let path = self.good_path.clone();
        if let Err(error) = tokio::fs::remove_file(path).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not forget what served");
        }
    }
}

/// Whether from `before` to `after` nobody declared anything for slots. Of a control plane that does not say so: whether it was one
/// step, about the telemetry policy; one that changes nothing at all is about the slots, since somebody deploys the same again.
fn leaves_slots_alone(before: &DesiredState, after: &DesiredState) -> bool {
    if !after.vectors.is_empty() && after.slots.keys().all(|slot| after.vectors.contains_key(slot)) {
        return before.version < after.version && before.slots == after.slots && before.vectors == after.vectors;
    }
    let next = Version { generation: before.version.generation + 1, ..before.version };
    after.version == next && before.slots == after.slots && before.policy != after.policy
}

impl Progress {
    /// Another policy is no new word about the slots: what is settled, failed or rolled back stays so.
    async fn carry(&mut self, from: Version, to: Version) {
        if from == to {
            return;
        }
        if let Some((settled, _)) = self.settled.as_mut().filter(|(settled, _)| *settled == from) {
            *settled = to;
        }
        self.failed = std::mem::take(&mut self.failed)
            .into_iter()
            .map(|(version, slot, digest)| (if version == from { to } else { version }, slot, digest))
            .collect();
        for applied in self.applied.values_mut() {
            applied.carry(from, to);
        }
        self.holder.carry(from, to).await;
    }
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
            let again = match &desired {
                Some(desired) => self.converge(desired).await,
                None => {
                    self.ask().await;
                    false
                }
            };
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
                None => {}
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
                Ok(()) => {}
                Err(Short::Later(reason)) => {
                    tracing::info!(slot, reason, "not there yet");
                    again = true;
                }
                Err(Short::Failed(reason)) => self.cannot_withdraw(desired.version, slot, reason).await,
            }
        }
        again
    }

    /// Told once: nothing but another desired state, or a restart of the node, changes that.
    async fn cannot_withdraw(&mut self, version: Version, slot: &str, reason: String) {
        self.progress.failed.insert((version, slot.to_owned(), String::new()));
        if slot == SLOT {
            (self.progress.status, self.progress.reason) = (Some(SlotStatus::Failed), reason.clone());
        } else {
            self.note(slot, SlotStatus::Failed, reason.clone());
        }
        self.recorder.fault(&format!("slot {slot}"), reason).await;
    }

    /// Whether the slot could not be taken back to nothing under this version.
    pub(crate) fn could_not_withdraw(&self, version: Version, slot: &str) -> bool {
        self.progress.failed.contains(&(version, slot.to_owned(), String::new()))
    }

    async fn converge_slot(&mut self, version: Version, declared: &VersionVector, spec: &SlotSpec) -> Result<(), Short> {
        let key = (version, spec.digest.clone());
        let mut answer = self.ask().await;
        if answer == Answer::Known && self.progress.running.digest == spec.digest {
            self.progress.suspect = None;
            self.follows(SLOT, version, declared).await;
            if self.progress.settled.as_ref() != Some(&key) {
                self.settle(version, spec, 0).await;
            }
            return Ok(());
        }
        self.notice_rollback(version, spec).await;
        if self.is_held(answer, version, spec) {
            return self.fall_back(answer, spec).await;
        }
        if self.keeps_local_model(answer, declared, spec).await? {
            return Ok(());
        }
        if self.has_failed(version, SLOT, spec) {
            return self.fall_back(answer, spec).await;
        }
        if self.progress.settled.as_ref() == Some(&key) && !self.progress.running.digest.is_empty() {
            // It ran a moment ago. Whoever has changed that says so, a moment later perhaps.
            self.progress.settled = None;
            return Err(Short::Later("the node runs another bundle than it did".to_owned()));
        }
        let wanted = Wanted::new(spec)?;
        if !self.downloader.has(&wanted.digest) {
            self.step(version, SLOT, spec, SlotStatus::Downloading, String::new(), 0).await;
            let mut newer = self.desired.clone();
            tokio::select! {
                fetched = self.downloader.fetch(&wanted, self.link.clone()) => drop(fetched?),
                _ = newer.changed() => return Err(Short::Later("a newer desired state came".to_owned())),
            }
            answer = self.ask().await;
        }
        self.expect(answer)?;
        self.step(version, SLOT, spec, SlotStatus::Verifying, String::new(), 0).await;
        let folder = self.downloader.verify(&wanted).await?;
        self.step(version, SLOT, spec, SlotStatus::Warming, String::new(), 0).await;
        let mut record = self.ledger.get(SLOT);
        record.intended = spec.digest.clone();
        self.ledger.put(SLOT, record).await;
        let swap_gap_us = self.load(spec, &folder).await?;
        self.follows(SLOT, version, declared).await;
        self.settle(version, spec, swap_gap_us).await;
        Ok(())
    }

    /// A rollback that somebody made on the robot, of the very bundle this desired state asks for, stands until the control
    /// plane, which is told, wants something again.
    async fn notice_rollback(&mut self, version: Version, spec: &SlotSpec) {
        let newest = self.rollback.borrow_and_update().clone();
        let running = self.progress.running.digest.clone();
        let of_this = |rollback: &Rollback| rollback.digest == spec.digest && rollback.running_digest == running;
        let Some(rollback) = newest.filter(of_this).filter(|rollback| !self.progress.holder.knows(rollback)) else { return };
        let before = self.progress.before.take().filter(|before| before.digest == running);
        if let Some(before) = before {
            self.note_good(&before).await;
            self.progress.good = Some(before);
        }
        self.progress.settled = None;
        let held = Held { version, digest: spec.digest.clone(), stamp_ns: rollback.stamp_ns, reason: rollback.reason.clone() };
        self.progress.holder.hold(held).await;
        let mut record = self.ledger.get(SLOT);
        record.intended = self.progress.running.digest.clone();
        self.ledger.put(SLOT, record).await;
        self.step(version, SLOT, spec, SlotStatus::RolledBack, rollback.reason, 0).await;
    }

    /// Whether this bundle was rolled back under this version.
    fn is_held(&mut self, answer: Answer, version: Version, spec: &SlotSpec) -> bool {
        let Some(held) = self.progress.holder.held(version, &spec.digest) else { return false };
        let has_good = self.progress.good.as_ref().is_some_and(|good| good.digest != spec.digest);
        if answer == Answer::Known && self.progress.running.digest.is_empty() && !has_good {
            // What was rolled back to is gone with the node: the bundle that is desired is better than none.
            return false;
        }
        (self.progress.status, self.progress.reason) = (Some(SlotStatus::RolledBack), held.reason.clone());
        true
    }

    fn expect(&self, answer: Answer) -> Result<(), Short> {
        match answer {
            Answer::Known => Ok(()),
            Answer::Silent => Err(Short::Later(format!("{} does not answer", self.info.name()))),
            Answer::Absent => Err(Short::Later(format!("no inference node serves {}", self.info.name()))),
        }
    }

    /// What shall run cannot, and nothing runs, since the node has restarted: what served before does so again.
    async fn fall_back(&mut self, answer: Answer, failed: &SlotSpec) -> Result<(), Short> {
        if answer != Answer::Known || !self.progress.running.digest.is_empty() {
            return Ok(());
        }
        let Some(good) = self.progress.good.clone().filter(|good| good.digest != failed.digest) else { return Ok(()) };
        let Ok(wanted) = Wanted::new(&good) else { return Ok(()) };
        let Ok(folder) = self.downloader.verify(&wanted).await else { return Ok(()) };
        match self.load(&good, &folder).await {
            Ok(_) => tracing::info!(digest = good.digest, "what served before serves again"),
            Err(Short::Failed(reason)) => {
                self.progress.good = None;
                self.recorder.fault("inference_node", format!("what served before cannot be loaded again: {reason}")).await;
            }
            Err(later) => return Err(later),
        }
        self.tell_state().await;
        Ok(())
    }

    /// Hands the bundle to the node. Returns the longest time no session could take a frame.
    async fn load(&mut self, spec: &SlotSpec, folder: &Path) -> Result<u32, Short> {
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

    /// What the node runs: it is asked unless it has answered since it last said anything.
    pub(crate) async fn ask(&mut self) -> Answer {
        let said = *self.node.borrow();
        if self.progress.answered.is_some_and(|(then, at)| then == said && at.elapsed() < BELIEVE) {
            return Answer::Known;
        }
        let answer = self.ask_now().await;
        self.progress.answered = (answer == Answer::Known).then(|| (said, Instant::now()));
        answer
    }

    /// Asks the node what it runs, whatever it said.
    pub(crate) async fn ask_now(&mut self) -> Answer {
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

    async fn settle(&mut self, version: Version, spec: &SlotSpec, swap_gap_us: u32) {
        self.progress.settled = Some((version, spec.digest.clone()));
        self.progress.unanswered = 0;
        self.step(version, SLOT, spec, SlotStatus::Active, String::new(), swap_gap_us).await;
        // The bundle that served before stays in the cache, so that the way back needs no network.
        self.note_good(spec).await;
        if let Some(before) = self.progress.good.replace(spec.clone()).filter(|before| before.digest != spec.digest) {
            self.progress.before = Some(before);
        }
        self.prune().await;
    }

    /// Forgets bundles that are of no use any more.
    pub(crate) async fn prune(&self) {
        let models = [self.progress.good.as_ref(), self.progress.before.as_ref()].into_iter().flatten();
        let applied = self.ledger.all().filter_map(|(_, record)| record.applied.as_ref()).map(|applied| &applied.spec);
        let digests = models.chain(applied).filter_map(|spec| spec.digest.parse().ok());
        self.downloader.prune(&digests.collect::<Vec<Digest>>()).await;
    }

    async fn note_good(&self, spec: &SlotSpec) {
        let kept = match serde_json::to_vec(spec) {
            Ok(json) => {
                let path = self.progress.good_path.clone();
                tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok())
            }
            Err(_) => false,
        };
        if !kept {
            tracing::warn!("could not note what serves: after a restart there is nothing to fall back to");
        }
    }

    pub(crate) fn has_failed(&self, version: Version, slot: &str, spec: &SlotSpec) -> bool {
        self.progress.failed.contains(&(version, slot.to_owned(), spec.digest.clone()))
    }

    async fn fail(&mut self, version: Version, slot: &str, spec: &SlotSpec, reason: String) {
        if self.has_failed(version, slot, spec) {
            return;
        }
        self.progress.failed.retain(|(failed, _, _)| *failed == version);
        self.progress.failed.insert((version, slot.to_owned(), spec.digest.clone()));
        if slot == SLOT {
            self.progress.settled = None;
            self.progress.unanswered = 0;
            self.ask_now().await;
        }
        self.step(version, slot, spec, SlotStatus::Failed, reason, 0).await;
    }

    pub(crate) async fn step(
        &mut self,
        version: Version,
        slot: &str,
        spec: &SlotSpec,
        status: SlotStatus,
        reason: String,
        swap_gap_us: u32,
    ) {
        tracing::info!(slot, ?status, model = spec.model, version = spec.version, digest = spec.digest, reason, "deployment");
        let body = DeploymentStatusBody {
            for_version: version,
            slot: slot.to_owned(),
            kind: spec.kind,
            status,
            model: spec.model.clone(),
            model_version: spec.version.clone(),
            digest: spec.digest.clone(),
            running_digest: if slot == SLOT { self.progress.running.digest.clone() } else { self.applied_digest(slot) },
            reason: reason.clone(),
            swap_gap_us,
        };
        self.recorder.record_now(Class::Critical, EntryBody::DeploymentStatus(body)).await;
        if slot == SLOT {
            (self.progress.status, self.progress.reason) = (Some(status), reason);
        } else if self.appliers.contains_key(slot) {
            self.note(slot, status, reason);
        }
        self.tell_state().await;
    }

    /// Records what the robot is and runs, when that changed.
    async fn tell_state(&mut self) {
        let version_of = |desired: &watch::Receiver<Option<DesiredState>>| desired.borrow().as_ref().map(|desired| desired.version);
        let version = version_of(&self.accepted).unwrap_or_default();
        let record = self.ledger.get(SLOT);
        let running = &self.progress.running;
        // Active is a claim about the present: without a session that serves, it is not made.
        let status = match self.progress.status {
            Some(SlotStatus::Active) if running.digest.is_empty() => SlotStatus::Pending,
            None if !running.digest.is_empty() => SlotStatus::Active,
            status => status.unwrap_or(SlotStatus::Pending),
        };
        let slot = SlotState {
            status,
            model: running.model.clone(),
            version: running.version.clone(),
            digest: running.digest.clone(),
            reason: self.progress.reason.clone(),
            vector: Some(record.vector()),
            local: record.local,
            ..SlotState::default()
        };
        let mut slots = self.applied_states();
        slots.insert(SLOT.to_owned(), slot);
        let changes = self.ledger.all().map(|(_, record)| record.changes).sum();
        let state = StateBody {
            observed: ObservedState { version },
            slots,
            software: SOFTWARE.to_owned(),
            activity: self.activity.borrow().clone(),
            configuration: self.configurations(),
            policy_version: Some(self.board.policy().0),
            vector: Some(VersionVector { robot: changes, control: version_of(&self.desired).unwrap_or_default() }),
            held: held(self.accepted.borrow().as_ref(), self.hold.borrow().as_ref()),
        };
        if self.progress.told.as_ref() != Some(&state) {
            self.progress.told = Some(state.clone());
            self.recorder.record_now(Class::Event, EntryBody::State(state)).await;
        }
    }
}
