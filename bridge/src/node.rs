//! The node: topics and services on one side, log and uplink on the other, and a task for each thing that can happen.

use bytes::Bytes;
use edgeflow_ros::{
    Message, Node, Publisher, QosProfile, Queue, Subscription,
    diagnostic_msgs::msg::DiagnosticArray,
    edgeflow_msgs::{
        msg::{DeploymentStatus, DriftReport, Evaluation, InferenceResult, MissionEvent, UplinkStatus},
        srv::{GetModelInfo, LoadModel},
    },
    lifecycle_msgs::srv::ChangeState,
    sensor_msgs::msg::BatteryState,
};
use edgeflow_uplink::{Bandwidth, Document, Limits, LinkState, Pump, Timing, Uplink};
use edgeflow_wire::{Activity, Class, DesiredState, EntryBody};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    BridgeError, Clock, Config, DesiredStore, Downloader, DriftRecorder, LogHandle, LogThread, Offer, Recorder, Result, Summariser, Trust,
    activity::{self, Lifecycle, follow_battery},
    applier::{Applier, Setups},
    capture::{self, CaptureLimits, CaptureView, Capturer, Spool, Uploader},
    commands::{Commander, Means},
    converge::{Converger, Fetches, Progress},
    diagnostics::Diagnostics,
    escalate::Escalator,
    failures::Failures,
    held::{Followed, LocalHold},
    hold::Rollback,
    ledger::Ledger,
    live,
    local::{self, Channels, Doors, Local},
    policy::{Board, Common, Ruler, Valve},
    record,
    renew::keep_certificate,
    status,
    survive::survive_here,
    way::Way,
};

/// Results a subscription may hold while the bridge is busy.
const DEPTH: usize = 4_096;
/// With the last part of a capture the control plane reads all of it.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(60);
/// The graph wakes whoever waits for it; this only bounds one wait.
const GRAPH_PATIENCE: Duration = Duration::from_secs(600);

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    /// Tasks that bring entries; they end when told to, so that what they hold is recorded.
    recording: Vec<JoinHandle<()>>,
    /// Tasks that can stop anywhere.
    others: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    log: LogThread,
}

impl Bridge {
    /// Starts everything on a node that exists already.
    ///
    /// # Errors
    /// A data folder that cannot be used, a log that another process has open, or what ROS refuses.
    pub fn start(node: &Node, config: &Config, uplink: Box<dyn Uplink>) -> Result<Self> {
        config.check()?;
        let clock = Clock::new()?;
        let (log, thread) = LogHandle::open(&config.data_dir, config.log, clock)?;
        let keys = config.secure.as_ref().map(|secure| watch::Sender::new(secure.identity.documents().clone()));
        let trust = keys.as_ref().map_or(Trust::Anyone, |keys| Trust::Pinned(keys.subscribe()));
        let store = DesiredStore::open(&config.data_dir, &config.robot, trust.clone())?;
        let downloader = Downloader::new(&config.http, config.token.clone(), config.secure.as_ref(), &config.data_dir)?;
        let valve = watch::Sender::new(Valve::default());
        let recorder = Recorder::new(log.clone(), clock).guarded(valve.subscribe());

        let link = watch::Sender::new(LinkState::default());
        let accepted = watch::Sender::new(store.accepted().cloned());
        let local_hold = Arc::new(LocalHold::open(&config.data_dir));
        let following = Followed::new(&config.data_dir);
        let desired = watch::Sender::new(following.at_start(store.accepted(), local_hold.now().as_ref()));
        let doing = watch::Sender::new(Activity::default());
        let departures = Arc::new(AtomicU64::new(0));
        let (giving_up, given_up) = mpsc::channel(16);
        let Setups(setups) = Setups::read(&config.slots_file)?;
        let appliers = setups.iter().map(|(slot, setup)| Ok((slot.clone(), Applier::new(node, setup)?)));
        let appliers: BTreeMap<String, Applier> = appliers.collect::<Result<_>>()?;
        let nodes: BTreeSet<&str> =
            setups.values().filter_map(|setup| setup.node.as_deref()).chain([config.inference_node.as_str()]).collect();
        let lifecycles = nodes.into_iter().map(|name| Lifecycle::new(node, name)).collect::<Result<Vec<_>>>()?;
        let slots: Vec<String> = setups.keys().cloned().chain([crate::converge::SLOT.to_owned()]).collect();
        let board = Arc::new(Board::default());
        let reports = watch::Sender::new(0);
        let rollbacks = watch::Sender::new(None);
        let (documents, incoming) = mpsc::channel(16);
        let name = uplink.name();
        let at = |leaf: &str| format!("{}/{leaf}", config.inference_node);
        let ros = |action| BridgeError::ros(action);

        let converger = Converger {
            recorder: recorder.clone(),
            downloader,
            load: node.create_client::<LoadModel::Service>(&at("load_model")).map_err(ros("call load_model"))?,
            info: node.create_client::<GetModelInfo::Service>(&at("get_model_info")).map_err(ros("call get_model_info"))?,
            desired: desired.subscribe(),
            accepted: accepted.subscribe(),
            hold: local_hold.subscribe(),
            activity: doing.subscribe(),
            board: Arc::clone(&board),
            departures: Arc::clone(&departures),
            given_up,
            lifecycle: node.create_client::<ChangeState::Service>(&at("change_state")).map_err(ros("call change_state"))?,
            appliers,
            ledger: Ledger::open(&config.data_dir),
            node: reports.subscribe(),
            link: link.subscribe(),
            rollback: rollbacks.subscribe(),
            progress: Progress::new(&config.data_dir),
            fetches: Fetches::default(),
        };
        let common = Arc::new(Common::new(recorder.clone(), valve.subscribe()));
        let (escalations, requests) = mpsc::channel(16);
        let escalated = watch::Sender::new(Vec::new());
        let reasons = watch::Sender::new(Vec::new());
        let (more, named) = (escalated.subscribe(), reasons.subscribe());
        let escalator = Escalator::open(&config.data_dir, recorder.clone(), escalated);
        let alarms = recorder.alarms();
        let limits = CaptureLimits { topics: config.capture_topics.clone(), memory_mb: config.capture_memory_mb };
        let (spool, left) = Spool::open(&config.data_dir, config.capture_budget_mb.saturating_mul(1024 * 1024))?;
        let spool = Arc::new(spool);
        let (captures, capture_requests) = mpsc::channel(16);
        let (capturing, capture_view) = (watch::Sender::new(capture::Ruling::default()), watch::Sender::new(CaptureView::default()));
        let (captured, capture_seen) = (capturing.subscribe(), capture_view.subscribe());
        let bandwidth = Bandwidth::kbps(config.bandwidth_kbps);
        let uploader = Uploader {
            way: Way::new(&config.http, config.token.clone(), config.secure.as_ref(), UPLOAD_PATIENCE)?,
            robot: config.robot.clone(),
            spool: Arc::clone(&spool),
            recorder: recorder.clone(),
            bandwidth: bandwidth.clone(),
            link: link.subscribe(),
        };
        let capturer = Capturer {
            node: node.clone(),
            recorder: recorder.clone(),
            spool: Arc::clone(&spool),
            left,
            limits: limits.clone(),
            view: capture_view,
        };
        let (forwarding, forwarded) = mpsc::channel(16);
        let forwarder = live::Means { node: node.clone(), recorder: recorder.clone(), valve: valve.subscribe() };
        let means = Means {
            recorder: recorder.clone(),
            allowed: config.allowed.clone(),
            trust: trust.clone(),
            clock: log.server_clock(),
            valve: valve.clone(),
            escalations,
            captures,
            live: forwarding,
        };
        let commander = Commander::open(node, &config.robot, &config.data_dir, means)?;
        let (commands, asked) = mpsc::channel(64);
        let ruler = Ruler::new(node, &config.data_dir, common, Arc::clone(&board), more, reasons, (limits, capturing));
        let diagnostics = Diagnostics::new(node, link.subscribe(), log.snapshot(), Arc::clone(&board), (capture_seen, spool.waiting()))?;
        let ticker = Ticker {
            board,
            node: node.clone(),
            publisher: node
                .create_publisher::<UplinkStatus>("~/status", QosProfile::default().keep_last(1).reliable().transient_local())
                .map_err(ros("publish the status"))?,
            config: config.clone(),
            uplink: name,
            link: link.subscribe(),
            log: log.snapshot(),
            desired: accepted.subscribe(),
        };
        let reliable = || QosProfile::default().keep_last(100).reliable();
        let results = subscribe::<InferenceResult>(node, &at("result"), reliable())?;
        let drift = subscribe::<DriftReport>(node, &at("drift"), reliable())?;
        let evaluations = subscribe::<Evaluation>(node, "evaluation", reliable())?;
        let missions = subscribe::<MissionEvent>(node, "mission", reliable())?;
        let mission_steps = doing.clone();
        let battery = match config.battery_topic.as_str() {
            "" => None,
            topic => Some(
                node.subscribe::<BatteryState>(topic, QosProfile::default().keep_last(1).best_effort(), Queue::latest())
                    .map_err(ros("subscribe"))?,
            ),
        };
        let statuses = subscribe::<DeploymentStatus>(node, &at("status"), QosProfile::default().keep_last(1).reliable().transient_local())?;
        let status_topic = statuses.topic().to_owned();

        let api = local::router(Arc::new(Local {
            robot: config.robot.clone(),
            recorder: recorder.clone(),
            channels: Channels::open(&config.data_dir),
            link: link.subscribe(),
            log: log.snapshot(),
            desired: accepted.subscribe(),
            hold: Arc::clone(&local_hold),
            giving_up,
            slots,
        }));
        let doors = Doors { socket: config.local_socket(), port: config.local_http_port };

        let stop = watch::Sender::new(false);
        let pump = Pump {
            ends: log.ends(),
            backlog: log,
            state: link.clone(),
            documents,
            timing: Timing::default(),
            limits: Limits::default(),
            bandwidth,
        };
        let diagnosed =
            (subscribe::<DiagnosticArray>(node, "/diagnostics", reliable())?, Failures::new(status_topic.trim_end_matches("/status")));
        let recording = vec![
            tokio::spawn(summarise(results, diagnosed, recorder.clone(), config.summary_period, stop.subscribe())),
            tokio::spawn(watch_drift(drift, recorder.clone(), config.drift_period, stop.subscribe())),
            tokio::spawn(each(evaluations, recorder.clone(), stop.subscribe(), |evaluation| {
                (evaluation.header.stamp.clone(), record::evaluation(evaluation))
            })),
            tokio::spawn(each(missions, recorder.clone(), stop.subscribe(), move |mission| {
                if let Some(runs) = activity::mission(mission) {
                    activity::change(&mission_steps, |now| now.mission = Some(runs));
                }
                (mission.header.stamp.clone(), record::mission(mission))
            })),
            tokio::spawn(ruler.run(desired.subscribe(), stop.subscribe())),
            tokio::spawn(capturer.run(captured, capture_requests, recorder.alarms(), stop.subscribe())),
            tokio::spawn(local::serve(doors, api, recorder.clone(), stop.subscribe())),
        ];
        let renewing = recorder.clone();
        let mut others = vec![
            tokio::spawn(status::record_link(recorder.clone(), name, link.subscribe())),
            tokio::spawn(following.run(accepted.subscribe(), local_hold.subscribe(), desired)),
            tokio::spawn(take_up(store, incoming, accepted, commands, recorder.clone())),
            tokio::spawn(commander.run(asked)),
            tokio::spawn(escalator.run(requests, alarms, named)),
            tokio::spawn(live::run(config.clone(), forwarder, forwarded)),
            tokio::spawn(survive_here(config.data_dir.clone(), config.survival, valve, recorder.clone())),
            tokio::spawn(listen(statuses, reports.clone(), rollbacks)),
            tokio::spawn(watch_node(node.clone(), status_topic, reports, departures, recorder)),
            tokio::spawn(converger.run()),
            tokio::spawn(ticker.run()),
            tokio::spawn(diagnostics.run()),
            tokio::spawn(uploader.run()),
            tokio::spawn(pump.run(uplink)),
        ];
        others.extend(lifecycles.into_iter().map(|lifecycle| tokio::spawn(lifecycle.run(doing.clone()))));
        others.extend(battery.map(|battery| tokio::spawn(follow_battery(battery, doing.clone()))));
        if let (Some(secure), Some(keys)) = (config.secure.clone(), keys) {
            others.push(tokio::spawn(keep_certificate(secure, keys, renewing)));
        }
        Ok(Self { recording, others, stop, log: thread })
    }

    /// Stops: what was received is recorded and on the disk when this returns.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.recording {
            if task.await.is_err_and(|error| error.is_panic()) {
                tracing::error!("a recording task ended badly");
            }
        }
        for task in self.others {
            task.abort();
            if task.await.is_err_and(|error| error.is_panic()) {
                tracing::error!("a task ended badly");
            }
        }
        self.log.closed().await;
    }
}

fn subscribe<T: Message>(node: &Node, topic: &str, qos: QosProfile) -> Result<Subscription<T>> {
    node.subscribe(topic, qos, Queue::All { depth: DEPTH }).map_err(BridgeError::ros("subscribe"))
}

/// Records each message; ends when told to, after what has come is recorded.
async fn each<T: Message>(
    mut messages: Subscription<T>,
    recorder: Recorder,
    mut stop: watch::Receiver<bool>,
    mut entry: impl FnMut(&T) -> (edgeflow_ros::builtin_interfaces::msg::Time, (Class, EntryBody)) + Send,
) {
    let mut dropped = Dropped::default();
    loop {
        let message = tokio::select! {
            biased;
            message = messages.next() => message,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(message) = message else { return };
        let (stamp, (class, body)) = entry(&message);
        recorder.record(class, recorder.clock().at(&stamp), body).await;
        dropped.tell(messages.topic(), messages.dropped(), &recorder).await;
    }
}

/// Sums up results, an entry per period and a last one when told to stop.
async fn summarise(
    mut results: Subscription<InferenceResult>,
    (mut diagnostics, mut failures): (Subscription<DiagnosticArray>, Failures),
    recorder: Recorder,
    period: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut summariser = Summariser::default();
    let mut dropped = Dropped::default();
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut since = Instant::now();
    loop {
        let stopping = tokio::select! {
            biased;
            _ = ticks.tick() => false,
            Some(said) = diagnostics.next() => {
                failures.hear(&said, Instant::now().into_std());
                continue;
            }
            result = results.next() => match result {
                Some(result) => {
                    summariser.add(&result);
                    continue;
                }
                None => true,
            },
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let failed = failures.close(Instant::now().into_std());
        if let Some(summary) = summariser.close(since.elapsed(), failed) {
            recorder.record_now(Class::Summary, EntryBody::InferenceSummary(summary)).await;
        }
        since = Instant::now();
        dropped.tell(results.topic(), results.dropped(), &recorder).await;
        if stopping {
            return;
        }
    }
}

/// Records drift windows, summed up while nothing changes; what is left when told to stop.
async fn watch_drift(mut reports: Subscription<DriftReport>, recorder: Recorder, period: Duration, mut stop: watch::Receiver<bool>) {
    let mut drift = DriftRecorder::new(period);
    let mut dropped = Dropped::default();
    loop {
        let due_at = drift.due_at().map(Instant::from_std);
        let report = tokio::select! {
            biased;
            report = reports.next() => report.ok_or(true),
            () = tokio::time::sleep_until(due_at.unwrap_or_else(Instant::now)), if due_at.is_some() => Err(false),
            _ = stop.wait_for(|stop| *stop) => Err(true),
        };
        let now = Instant::now().into_std();
        let (told, stopping) = match report {
            Ok(report) => (drift.add(&report, now), false),
            Err(stopping) => (drift.close(now).map(|body| (Class::Summary, body)).into_iter().collect(), stopping),
        };
        for (class, body) in told {
            recorder.record(class, recorder.clock().at_us(body.end_us), EntryBody::DriftReport(body)).await;
        }
        dropped.tell(reports.topic(), reports.dropped(), &recorder).await;
        if stopping {
            return;
        }
    }
}

/// Knows how many messages were dropped, and records more as a fault.
#[derive(Default)]
struct Dropped(u64);

impl Dropped {
    async fn tell(&mut self, topic: &str, dropped: u64, recorder: &Recorder) {
        if dropped > self.0 {
            let message = format!("{} messages were dropped because the bridge was behind: is the disk slow?", dropped - self.0);
            self.0 = dropped;
            recorder.fault(topic, message).await;
        }
    }
}

/// Takes up desired states that come down; what is refused is a fault, told once.
async fn take_up(
    mut store: DesiredStore,
    mut incoming: mpsc::Receiver<Document>,
    desired: watch::Sender<Option<DesiredState>>,
    commands: mpsc::Sender<Bytes>,
    recorder: Recorder,
) {
    let mut told = String::new();
    if let Some(damage) = store.damage() {
        recorder.fault("desired_state", damage.to_owned()).await;
    }
    while let Some(document) = incoming.recv().await {
        let envelope = match document {
            Document::Desired(envelope) => envelope,
            Document::Command(envelope) => {
                // One that finds no room is delivered again with the next connection.
                if commands.try_send(envelope).is_err() {
                    tracing::warn!("a command waits until the control plane delivers it again: too many came at once");
                }
                continue;
            }
        };
        // A retained message comes again on every connection: the disk is touched only when it is news.
        let reason = match tokio::task::block_in_place(|| store.offer(&envelope)) {
            Ok(Offer::Accepted(state)) => {
                tracing::info!(server_epoch = state.version.server_epoch, generation = state.version.generation, "desired state");
                desired.send_replace(Some(state));
                continue;
            }
            Ok(Offer::Known) => continue,
            Ok(Offer::Refused { reason }) => reason,
            Err(error) => format!("a desired state could not be kept: {error}"),
        };
        if told != reason {
            recorder.fault("desired_state", reason.clone()).await;
            told = reason;
        }
    }
}

/// Each word of the inference node about itself is a reason to ask it what it runs.
async fn listen(mut statuses: Subscription<DeploymentStatus>, reports: watch::Sender<u64>, rollbacks: watch::Sender<Option<Rollback>>) {
    while let Some(status) = statuses.next().await {
        if let Some(rollback) = Rollback::of(status) {
            rollbacks.send_replace(Some(rollback));
        }
        reports.send_modify(|count| *count += 1);
    }
}

/// Notices when the inference node leaves, which no message says, and when it is back.
async fn watch_node(node: Node, topic: String, reports: watch::Sender<u64>, departures: Arc<AtomicU64>, recorder: Recorder) {
    let mut was_there = false;
    loop {
        let changed = |node: &Node| node.count_publishers(&topic).is_ok_and(|publishers| (publishers > 0) != was_there);
        let changed = node.wait_for_graph(GRAPH_PATIENCE, changed).await;
        if node.context().is_shut_down() {
            return;
        }
        if !changed {
            continue;
        }
        was_there = !was_there;
        if !was_there {
            departures.fetch_add(1, Relaxed);
            recorder.fault("inference_node", format!("nothing publishes {topic} any more: the inference node has stopped")).await;
        }
        reports.send_modify(|count| *count += 1);
    }
}

/// Publishes the status.
struct Ticker {
    board: Arc<Board>,
    node: Node,
    publisher: Publisher<UplinkStatus>,
    config: Config,
    uplink: &'static str,
    link: watch::Receiver<LinkState>,
    log: watch::Receiver<crate::LogSnapshot>,
    desired: watch::Receiver<Option<DesiredState>>,
}

impl Ticker {
    /// Every second, and at once when the link comes or goes.
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = self.link.changed() => if changed.is_err() { return },
            }
            let generation = self.desired.borrow().as_ref().map_or(0, |desired| desired.version.generation);
            let message = {
                let (link, log) = (self.link.borrow(), self.log.borrow());
                status::status(self.node.now(), &self.config.robot, self.uplink, &link, &log, generation, &self.board)
            };
            if let Err(error) = self.publisher.publish(&message) {
                tracing::warn!(%error, "could not publish the status");
                return;
            }
        }
    }
}
