//! Captures: the newest messages of some topics are kept in memory, and when there is a reason they and what comes after become
//! an MCAP file, which waits in the [`spool`] until the control plane has it. Until then nothing of them leaves the robot.

mod file;
mod ring;
mod spool;
mod upload;

use edgeflow_ros::Node;
use edgeflow_wire::{Capture, CaptureBody, CaptureInfo, CaptureState, Class, EntryBody, name_matches};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, sleep_until},
};

use crate::{
    Recorder,
    escalate::Alarm,
    follow::{Follower, Heard},
    policy::stopped,
};
use file::Written;
use ring::{Channel, Kept, Ring};
pub(crate) use spool::{Left, Spool, Waiting};
pub(crate) use upload::Uploader;

/// The graph is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Captures that are written at the same time: each may hold as much of memory as the ring does, twice.
const MAX_ACTIVE: usize = 2;
/// Topics that are captured at most.
const MAX_TOPICS: usize = 100;
/// Messages of all topics that may wait behind those that wait in their subscriptions.
const WAITING: usize = 64;
/// Messages that may wait for the disk.
const TO_WRITE: usize = 1_024;
const FAR: Duration = Duration::from_secs(86_400);
const MB: usize = 1024 * 1024;

/// What the policy says of captures, and its version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ruling {
    pub(crate) version: u64,
    pub(crate) capture: Option<Capture>,
}

/// Asks for a capture.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) reason: String,
    /// As the policy says, when not said.
    pub(crate) after_s: Option<f64>,
    /// Gets what was captured, once it is on the disk, or why nothing was.
    pub(crate) answer: oneshot::Sender<Result<CaptureInfo, String>>,
}

/// What goes on, as shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CaptureView {
    /// Whether the policy captures anything.
    pub(crate) wanted: bool,
    pub(crate) topics: usize,
    /// Bytes of messages in memory.
    pub(crate) kept_bytes: usize,
    /// Files that are written now.
    pub(crate) active: usize,
    pub(crate) made: u64,
    /// Messages that came faster than they were taken.
    pub(crate) dropped: u64,
    /// What is wrong with a topic; empty otherwise.
    pub(crate) problem: String,
}

/// What the robot's parameters allow.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaptureLimits {
    /// Topics that may be captured.
    pub(crate) topics: Vec<String>,
    pub(crate) memory_mb: u32,
}

impl CaptureLimits {
    /// What is wrong with a policy's captures on this robot: where, and why.
    pub(crate) fn refuse(&self, capture: &Capture) -> Option<(&'static str, String)> {
        if self.topics.is_empty() {
            return Some(("capture", "this robot's parameter capture_topics allows nothing to be captured".to_owned()));
        }
        (capture.max_mb > self.memory_mb).then(|| {
            ("capture.max_mb", format!("{} is more than this robot's parameter capture_memory_mb, {}", capture.max_mb, self.memory_mb))
        })
    }
}

/// One that is written.
struct Active {
    id: String,
    sender: mpsc::Sender<Kept>,
    until: Instant,
    /// What may still be added.
    left_bytes: usize,
}

/// What is known of one before it is written, and who wants to know.
struct Begun {
    info: CaptureInfo,
    answer: Option<oneshot::Sender<Result<CaptureInfo, String>>>,
}

/// Keeps messages and makes files of them.
pub(crate) struct Capturer {
    pub(crate) node: Node,
    pub(crate) recorder: Recorder,
    pub(crate) spool: Arc<Spool>,
    pub(crate) left: Left,
    pub(crate) limits: CaptureLimits,
    pub(crate) view: watch::Sender<CaptureView>,
}

/// Where messages come from.
struct Source {
    /// Ends with this.
    _follower: JoinSet<()>,
    dropped: Arc<AtomicU64>,
    channel: Option<Arc<Channel>>,
    problem: String,
}

struct Running {
    capturer: Capturer,
    ruling: Ruling,
    ring: Ring,
    sources: BTreeMap<Arc<str>, Source>,
    sender: mpsc::Sender<(Arc<str>, Heard)>,
    active: Vec<Active>,
    begun: BTreeMap<String, Begun>,
    writing: JoinSet<(String, std::io::Result<Written>)>,
    started: Instant,
    rests_until: Option<Instant>,
    made: u64,
}

impl Capturer {
    /// Runs until told to stop; what is being captured is finished then.
    pub(crate) async fn run(
        mut self,
        mut ruling: watch::Receiver<Ruling>,
        mut requests: mpsc::Receiver<Request>,
        mut alarms: broadcast::Receiver<Alarm>,
        mut stop: watch::Receiver<bool>,
    ) {
        for id in std::mem::take(&mut self.left).cut {
            let info = CaptureInfo { id, ..CaptureInfo::default() };
            tell(&self.recorder, info, CaptureState::Failed, "the bridge stopped while it was written").await;
        }
        let (sender, mut heard) = mpsc::channel(WAITING);
        let mut running = Running {
            capturer: self,
            ruling: Ruling::default(),
            ring: Ring::new(0, 0),
            sources: BTreeMap::new(),
            sender,
            active: Vec::new(),
            begun: BTreeMap::new(),
            writing: JoinSet::new(),
            started: Instant::now(),
            rests_until: None,
            made: 0,
        };
        let first = ruling.borrow_and_update().clone();
        running.rule(first);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = running.active.iter().map(|active| active.until).min();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Ok(()) = ruling.changed() => {
                    let newest = ruling.borrow_and_update().clone();
                    running.rule(newest);
                }
                () = sleep_until(due.unwrap_or_else(|| Instant::now() + FAR)) => {
                    let now = Instant::now();
                    running.active.retain(|active| active.until > now);
                }
                Some(Ok((id, written))) = running.writing.join_next() => running.end(id, written).await,
                Ok(alarm) = alarms.recv() => running.alarmed(&alarm).await,
                Some(request) = requests.recv() => {
                    let Request { reason, after_s, answer } = request;
                    if let Err((why, Some(answer))) = running.begin(reason, after_s, Some(answer)) {
                        // Who asked may have gone.
                        answer.send(Err(why)).ok();
                    }
                }
                Some((topic, heard)) = heard.recv() => running.take(&topic, heard),
                _ = looks.tick() => running.look(),
            }
        }
        running.active.clear();
        while let Some(Ok((id, written))) = running.writing.join_next().await {
            running.end(id, written).await;
        }
    }
}

impl Running {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Another policy rules. Where it captures something else, what is being captured ends here.
    fn rule(&mut self, ruling: Ruling) {
        if self.ruling.capture != ruling.capture {
            self.active.clear();
            self.sources.clear();
            self.rests_until = None;
            self.ring = ruling.capture.as_ref().map_or_else(
                || Ring::new(0, 0),
                |capture| Ring::new(usize::try_from(capture.max_mb).unwrap_or_default() * MB, (capture.before_s * 1e6) as u64),
            );
        }
        self.ruling = ruling;
        self.look();
    }

    /// Looks which topics there are.
    fn look(&mut self) {
        let now_us = self.now_us();
        self.ring.trim(now_us);
        let wanted = self.wanted();
        self.sources.retain(|topic, _| wanted.contains(topic.as_ref()));
        for topic in wanted {
            if self.sources.contains_key(topic.as_str()) || self.sources.len() >= MAX_TOPICS {
                continue;
            }
            let dropped = Arc::new(AtomicU64::new(0));
            let node = self.capturer.node.clone();
            let follower = Follower { node, topic: topic.clone(), type_name: None, dropped: Arc::clone(&dropped) };
            let tag: Arc<str> = topic.into();
            let mut task = JoinSet::new();
            task.spawn(follower.run(Arc::clone(&tag), self.sender.clone()));
            self.sources.insert(tag, Source { _follower: task, dropped, channel: None, problem: String::new() });
        }
        self.show();
    }

    /// Topics that are published, that the policy captures and the robot allows, or that were.
    fn wanted(&self) -> BTreeSet<String> {
        let Some(capture) = &self.ruling.capture else { return BTreeSet::new() };
        let node = &self.capturer.node;
        let allowed = |topic: &str| self.capturer.limits.topics.iter().any(|pattern| name_matches(pattern, node.namespace(), topic));
        let Ok(topics) = node.get_topic_names_and_types() else { return self.sources.keys().map(ToString::to_string).collect() };
        let known = |topic: &String| self.sources.contains_key(topic.as_str());
        let is_wanted = |topic: &String| {
            let taken = capture.takes(node.namespace(), topic) && allowed(topic);
            taken && (known(topic) || node.count_publishers(topic).is_ok_and(|count| count > 0))
        };
        topics.into_keys().filter(is_wanted).collect()
    }

    fn show(&self) {
        let problem = self.sources.iter().find(|(_, source)| !source.problem.is_empty());
        let view = CaptureView {
            wanted: self.ruling.capture.is_some(),
            topics: self.sources.len(),
            kept_bytes: self.ring.bytes(),
            active: self.begun.len(),
            made: self.made,
            dropped: self.sources.values().map(|source| source.dropped.load(Relaxed)).sum(),
            problem: problem.map(|(topic, source)| format!("{topic}: {}", source.problem)).unwrap_or_default(),
        };
        self.capturer.view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
    }

    fn take(&mut self, topic: &Arc<str>, heard: Heard) {
        let at_us = self.now_us();
        let Some(source) = self.sources.get_mut(topic) else { return };
        let body = match heard {
            Heard::Type(ty) => {
                source.channel = Some(Arc::new(Channel { topic: topic.to_string(), ty }));
                source.problem.clear();
                return;
            }
            Heard::Problem(problem) => {
                tracing::warn!(topic = topic.as_ref(), problem, "not captured");
                source.problem = problem;
                return;
            }
            Heard::Body(body) => body,
        };
        let Some(channel) = source.channel.clone() else { return };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = Kept { channel, at_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), at_us, body: body.into() };
        let (begun, bytes) = (&mut self.begun, kept.bytes());
        self.active.retain_mut(|active| {
            let mut missed = || {
                if let Some(begun) = begun.get_mut(&active.id) {
                    begun.info.missed += 1;
                }
            };
            if bytes > active.left_bytes {
                missed();
                return false;
            }
            active.left_bytes -= bytes;
            match active.sender.try_send(kept.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    missed();
                    true
                }
                // It could not be written, and says so itself.
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
        self.ring.push(kept);
    }

    async fn alarmed(&mut self, alarm: &Alarm) {
        let Some(capture) = &self.ruling.capture else { return };
        let Some(reason) = capture.on.iter().find_map(|reason| alarm.is(reason)) else { return };
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.rests_until = Some(now + Duration::from_secs_f64(capture.min_interval_s));
        if let Err((why, _)) = self.begin(reason.clone(), None, None) {
            let info = CaptureInfo { id: new_id(self.capturer.recorder.clock().now().t_us), reason, ..CaptureInfo::default() };
            tell(&self.capturer.recorder, info, CaptureState::Failed, &why).await;
        }
    }

    /// Begins a capture, or gives the answer's way back with the reason why not.
    #[allow(clippy::type_complexity)]
    fn begin(
        &mut self,
        reason: String,
        after_s: Option<f64>,
        answer: Option<oneshot::Sender<Result<CaptureInfo, String>>>,
    ) -> Result<(), (String, Option<oneshot::Sender<Result<CaptureInfo, String>>>)> {
        let Some(capture) = &self.ruling.capture else { return Err(("the robot's policy captures nothing".to_owned(), answer)) };
        if self.begun.len() >= MAX_ACTIVE {
            return Err((format!("{MAX_ACTIVE} captures are written already"), answer));
        }
        if self.capturer.recorder.sheds(Class::Detail) {
            return Err(("the robot's computer is short of memory, disk or time".to_owned(), answer));
        }
        let now = self.capturer.recorder.clock().now();
        let id = new_id(now.t_us);
        let policy = self.ruling.version;
        tracing::info!(id, reason, "capture");
        let info = CaptureInfo { id: id.clone(), reason, policy, triggered_us: now.t_us, ..CaptureInfo::default() };
        let until = Instant::now() + Duration::from_secs_f64(after_s.unwrap_or(capture.after_s));
        let left_bytes = usize::try_from(capture.max_mb).unwrap_or_default() * MB;
        let now_us = self.now_us();
        self.ring.trim(now_us);
        let (sender, receiver) = mpsc::channel(TO_WRITE);
        let (before, path, written) = (self.ring.snapshot(), self.capturer.spool.part(&id), id.clone());
        self.writing.spawn_blocking(move || (written, file::write(&path, before, receiver)));
        self.active.push(Active { id: id.clone(), sender, until, left_bytes });
        self.begun.insert(id, Begun { info, answer });
        self.show();
        Ok(())
    }

    /// A file is whole, or could not be.
    async fn end(&mut self, id: String, written: std::io::Result<Written>) {
        self.active.retain(|active| active.id != id);
        let Some(Begun { mut info, answer }) = self.begun.remove(&id) else { return };
        let spool = Arc::clone(&self.capturer.spool);
        let us = |at_ns: u64| i64::try_from(at_ns / 1_000).unwrap_or(i64::MAX);
        let kept = match written {
            Ok(written) => {
                (info.start_us, info.end_us) = (us(written.first_ns), us(written.last_ns));
                info.messages = written.topics.values().sum();
                (info.topics, info.size_bytes, info.sha256) = (written.topics, written.size_bytes, written.sha256);
                let keeping = info.clone();
                tokio::task::spawn_blocking(move || spool.keep(&keeping)).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
            }
            Err(error) => Err(error),
        };
        let recorder = &self.capturer.recorder;
        let outcome = match kept {
            Ok(gone) => {
                let itself = gone.iter().any(|one| one.id == id);
                if !itself {
                    self.made += 1;
                    tell(recorder, info.clone(), CaptureState::Recorded, "").await;
                }
                for one in gone {
                    tell(recorder, one, CaptureState::Dropped, "it had to make room: see the parameter capture_budget_mb").await;
                }
                if itself { Err("it is larger than the parameter capture_budget_mb".to_owned()) } else { Ok(info) }
            }
            Err(error) => {
                spool::remove(&self.capturer.spool.part(&id)).ok();
                let why = format!("it could not be written: {error}");
                tell(recorder, info, CaptureState::Failed, &why).await;
                Err(why)
            }
        };
        if let Some(answer) = answer {
            // Who asked may have gone.
            answer.send(outcome).ok();
        }
        self.show();
    }
}

/// The time, and something that two captures of one moment do not have in common.
fn new_id(t_us: i64) -> String {
    format!("{t_us:016}-{:08x}", rand::random::<u32>())
}

/// Records what became of a capture.
pub(crate) async fn tell(recorder: &Recorder, info: CaptureInfo, state: CaptureState, message: &str) {
    let class = match state {
        CaptureState::Recorded | CaptureState::Uploaded => Class::Event,
        CaptureState::Dropped | CaptureState::Refused | CaptureState::Failed => Class::Critical,
    };
    tracing::info!(id = info.id, ?state, message, "capture");
    recorder.record_now(class, EntryBody::Capture(CaptureBody { info, state, message: message.to_owned() })).await;
}
