//! Replayable snapshots: the newest frames of a slot are kept in memory with what the model made of them, and on request,
//! or when drift is flagged, they become an MCAP file together with some frames yet to come.
//!
//! What is kept are the messages themselves, which the worker has in its hands anyway: nothing is copied and nothing is
//! encoded until somebody asks. Both the number of frames and their bytes are bounded.

mod files;
mod recording;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgeflow_ros::edgeflow_msgs::msg::{DriftReport, InferenceResult};
use edgeflow_ros::{DeclaredParameter, Node};
use tokio::sync::oneshot;

use super::frames::Input;
use super::slots::topic;
use crate::{Error, Result};
use files::Name;

/// How long a snapshot waits for the next frame before it goes without.
const IDLE: Duration = Duration::from_secs(5);
/// Snapshots that may wait for frames at the same time, in one slot.
const CAPTURES: usize = 4;

/// What may change while the node runs.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotParameters {
    pub(super) frames: DeclaredParameter<i64>,
    pub(super) max_bytes: DeclaredParameter<i64>,
    pub(super) dir: DeclaredParameter<String>,
    pub(super) on_drift: DeclaredParameter<bool>,
    pub(super) after_frames: DeclaredParameter<i64>,
    pub(super) keep: DeclaredParameter<i64>,
}

impl SnapshotParameters {
    pub(super) fn declare(node: &Node) -> Result<Self> {
        let whole = |name: &str, default: i64| node.parameter(name, default);
        Ok(Self {
            frames: whole("snapshot_frames", 100)
                .description("Newest frames of each slot that are kept in memory for ~/save_snapshot. 0: none.")
                .range(0..=100_000)
                .declare()?,
            max_bytes: whole("snapshot_max_bytes", 32 << 20)
                .description("Most memory the kept frames of a slot may take, bytes; the oldest give way.")
                .range(0..=1 << 40)
                .declare()?,
            dir: node
                .parameter("snapshot_dir", String::new())
                .description("Folder of snapshots. Empty: edgeflow/snapshots in ROS_HOME, else in ~/.ros.")
                .declare()?,
            on_drift: node
                .parameter("snapshot_on_drift", false)
                .description("Save the frames around a drift report that is flagged after one that was not.")
                .declare()?,
            after_frames: whole("snapshot_after_frames", 30)
                .description("Frames after the flag that go into such a snapshot.")
                .range(0..=100_000)
                .declare()?,
            keep: whole("snapshot_keep", 10)
                .description("Such snapshots of each slot that stay in the folder; the oldest are removed.")
                .range(1..=100_000)
                .declare()?,
        })
    }
}

/// A message and what became of it. Times are nanoseconds since the Unix epoch.
struct Frame {
    input: Arc<Input>,
    arrived_ns: u64,
    result: Option<(u64, InferenceResult)>,
    drift: Option<(u64, DriftReport)>,
    bytes: usize,
}

/// The newest frames of one slot.
pub(super) struct Recorder {
    slot: String,
    topics: Topics,
    params: SnapshotParameters,
    state: Mutex<State>,
}

/// Absolute names of the topics, as they were remapped.
pub(super) struct Topics {
    image: String,
    compressed: String,
    tensors: String,
    points: String,
    imu: String,
    joint_states: String,
    array: String,
    result: String,
    drift: String,
}

#[derive(Default)]
struct State {
    current: Option<Frame>,
    ring: VecDeque<Arc<Frame>>,
    bytes: usize,
    captures: Vec<Capture>,
    next_capture: u64,
    /// Whether the newest drift report was flagged.
    flagged: bool,
}

/// A snapshot that waits for frames yet to come.
struct Capture {
    id: u64,
    frames: Vec<Arc<Frame>>,
    left: u32,
    /// Of the frames that came since it was asked for.
    bytes: usize,
    /// Takes the frames, and how many are missing.
    done: oneshot::Sender<(Vec<Arc<Frame>>, u32)>,
}

/// A snapshot that was written.
pub(super) struct Saved {
    pub(super) path: PathBuf,
    pub(super) frames: u32,
    /// What the caller should know beside that; may be empty.
    pub(super) note: String,
}

impl Topics {
    pub(super) fn new(node: &Node, slot: &str) -> Result<Self> {
        let name = |leaf: &str| node.resolve_topic(&topic(slot, leaf));
        Ok(Self {
            image: name("image")?,
            compressed: name("image/compressed")?,
            tensors: name("tensors")?,
            points: name("points")?,
            imu: name("imu")?,
            joint_states: name("joint_states")?,
            array: name("array")?,
            result: name("result")?,
            drift: name("drift")?,
        })
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl Recorder {
    pub(super) fn new(slot: &str, topics: Topics, params: SnapshotParameters) -> Arc<Self> {
        Arc::new(Self { slot: slot.to_owned(), topics, params, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker takes a frame in hand.
    pub(super) fn begin(&self, input: &Arc<Input>, arrived: Instant) {
        let kept = self.params.frames.get() > 0;
        let frame = || Frame {
            arrived_ns: now_ns().saturating_sub(u64::try_from(arrived.elapsed().as_nanos()).unwrap_or(0)),
            bytes: input.size_bytes(),
            input: Arc::clone(input),
            result: None,
            drift: None,
        };
        let mut state = self.lock();
        state.current = (kept || !state.captures.is_empty()).then(frame);
    }

    /// The frame in hand has a result.
    pub(super) fn result(&self, result: &InferenceResult) {
        if let Some(frame) = &mut self.lock().current {
            frame.bytes += result.outputs.iter().map(|output| output.data.len()).sum::<usize>() + 4 * result.scores.len();
            frame.result = Some((now_ns(), result.clone()));
        }
    }

    /// The frame in hand ended a drift window.
    pub(super) fn drift(&self, report: &DriftReport) {
        let mut state = self.lock();
        if let Some(frame) = &mut state.current {
            frame.drift = Some((now_ns(), report.clone()));
        }
    }

    /// The worker is done with the frame in hand.
    pub(super) fn end(self: &Arc<Self>) {
        let (frames, max_bytes) = (self.params.frames.get() as usize, self.params.max_bytes.get() as usize);
        let mut state = self.lock();
        let Some(frame) = state.current.take() else { return };
        let was_flagged = state.flagged;
        if let Some((_, report)) = &frame.drift {
            state.flagged = report.flagged;
        }
        let flag_rises = state.flagged && !was_flagged;
        let frame = Arc::new(frame);
        state.keep(&frame, frames, max_bytes);
        state.feed(&frame, max_bytes);
        drop(state);
        if flag_rises && self.params.on_drift.get() {
            tokio::spawn(Arc::clone(self).save_flagged());
        }
    }

    /// Forgets what it has.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.ring.clear();
        state.bytes = 0;
        state.flagged = false;
    }

    /// Writes the newest frames and `after` frames yet to come to `path`: a file, a folder, or empty for the parameters' folder.
    ///
    /// # Errors
    /// [`Error::Snapshot`]: nothing to write, a file that is there already or cannot be written, or too many at once.
    pub(super) async fn save(self: Arc<Self>, path: &str, after: u32) -> Result<Saved> {
        let name = Name::asked(&self.params.dir.get(), path, &self.slot);
        self.save_as(name, after).await
    }

    /// What drift was flagged in, and the frames after it; the oldest such files give way.
    async fn save_flagged(self: Arc<Self>) {
        let dir = files::folder(&self.params.dir.get());
        let after = u32::try_from(self.params.after_frames.get()).unwrap_or(0);
        match Arc::clone(&self).save_as(Name::flagged(&dir, &self.slot), after).await {
            Ok(saved) => {
                tracing::warn!(slot = %self.slot, path = %saved.path.display(), frames = saved.frames, "drift was flagged; the frames around it are saved");
                files::prune(&dir, &self.slot, self.params.keep.get() as usize);
            }
            Err(error) => tracing::error!(slot = %self.slot, %error, "drift was flagged, but the frames around it are not saved"),
        }
    }

    async fn save_as(self: Arc<Self>, name: Result<Name>, after: u32) -> Result<Saved> {
        let name = name?;
        let refuse = |reason: &str| Err(Error::Snapshot { path: name.path().to_owned(), reason: reason.to_owned() });
        let Some((frames, missing)) = self.gather(after).await else {
            return refuse("too many snapshots wait for frames; ask again when one is written");
        };
        if frames.is_empty() {
            return refuse("there are no frames: none came, or snapshot_frames is 0");
        }
        let count = frames.len() as u32;
        let path = tokio::task::spawn_blocking(move || {
            name.create(|file, path| recording::write(file, path, &self.topics, &frames))?;
            Ok(name.path().to_owned())
        });
        let died = |panic| Err(Error::Io { operation: "save a snapshot".into(), source: std::io::Error::other(panic) });
        let note = match missing {
            0 => String::new(),
            _ => format!("without {missing} of the {after} frames after it: no more came, or they do not fit snapshot_max_bytes"),
        };
        Ok(Saved { path: path.await.unwrap_or_else(died)?, frames: count, note })
    }

    /// The newest frames, and `after` more that are waited for; how many of these are missing. `None`: too many wait already.
    async fn gather(&self, after: u32) -> Option<(Vec<Arc<Frame>>, u32)> {
        let (id, mut whole) = {
            let mut state = self.lock();
            let frames: Vec<_> = state.ring.iter().cloned().collect();
            if after == 0 {
                return Some((frames, 0));
            }
            if state.captures.len() >= CAPTURES {
                return None;
            }
            let (done, whole) = oneshot::channel();
            state.next_capture += 1;
            let id = state.next_capture;
            state.captures.push(Capture { id, frames, left: after, bytes: 0, done });
            (id, whole)
        };
        let mut left = after;
        loop {
            if let Ok(gathered) = tokio::time::timeout(IDLE, &mut whole).await {
                return Some(gathered.unwrap_or_default());
            }
            let mut state = self.lock();
            // When it is gone it is whole, and the channel has it.
            let Some(place) = state.captures.iter().position(|capture| capture.id == id) else { continue };
            if state.captures[place].left == left {
                let capture = state.captures.swap_remove(place);
                return Some((capture.frames, left));
            }
            left = state.captures[place].left;
        }
    }
}

impl State {
    /// Keeps a frame, and forgets the oldest for it.
    fn keep(&mut self, frame: &Arc<Frame>, frames: usize, max_bytes: usize) {
        self.bytes += frame.bytes;
        self.ring.push_back(Arc::clone(frame));
        while self.ring.len() > frames || self.bytes > max_bytes {
            let Some(oldest) = self.ring.pop_front() else { return };
            self.bytes -= oldest.bytes;
        }
    }

    /// Gives a frame to the snapshots that wait for it.
    fn feed(&mut self, frame: &Arc<Frame>, max_bytes: usize) {
        for capture in &mut self.captures {
            capture.frames.push(Arc::clone(frame));
            capture.left -= 1;
            capture.bytes += frame.bytes;
        }
        for capture in self.captures.extract_if(.., |capture| capture.left == 0 || capture.bytes > max_bytes) {
            // Whoever asked may have gone.
            let _ = capture.done.send((capture.frames, capture.left));
        }
    }
}
