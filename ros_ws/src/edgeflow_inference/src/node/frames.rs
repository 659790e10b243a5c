//! The queue between the camera and the model: its policy decides which frames wait, and everything it drops is counted.
//!
//! It also knows when the worker is between two frames, so that "this model serves every frame from here on" can be said
//! when it is true and not a moment before.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use edgeflow_ros::edgeflow_msgs::msg::TensorList;
use edgeflow_ros::sensor_msgs::msg::{CompressedImage, Image, Imu, JointState, PointCloud2};
use edgeflow_ros::std_msgs::msg::{Float32MultiArray, Header};

use super::params::QueuePolicy;
use super::{adapted, messages};
use crate::Result;
use crate::adapt::Cloud;
use crate::image::{Decompressed, Frame};
use crate::tensor::Tensor;

/// What the model is fed.
pub(super) enum Input {
    Image(Image),
    Compressed(CompressedImage),
    Tensors(TensorList),
    Points(PointCloud2),
    Imu(Imu),
    Joints(JointState),
    /// With the header it was given when it came.
    Array(Header, Float32MultiArray),
}

impl Input {
    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Image(image) => &image.header,
            Self::Compressed(image) => &image.header,
            Self::Tensors(list) => &list.header,
            Self::Points(cloud) => &cloud.header,
            Self::Imu(imu) => &imu.header,
            Self::Joints(joints) => &joints.header,
            Self::Array(header, _) => header,
        }
    }

    /// What is in it. `space` is for the pixels of what came compressed.
    pub(super) fn open<'a>(&'a self, space: &'a mut Option<Decompressed>) -> Result<Opened<'a>> {
        Ok(match self {
            Self::Image(image) => Opened::Frame(messages::frame(image)),
            Self::Compressed(image) => Opened::Frame(space.insert(Decompressed::new(&image.data)?).frame()),
            Self::Tensors(list) => Opened::Tensors(list.tensors.iter().map(messages::from_message).collect::<Result<_>>()?),
            Self::Points(cloud) => Opened::Cloud(adapted::cloud(cloud)),
            Self::Imu(_) | Self::Joints(_) | Self::Array(..) => Opened::Sample,
        })
    }

    /// Roughly the memory it takes.
    pub(super) fn size_bytes(&self) -> usize {
        let content = match self {
            Self::Image(image) => image.data.len(),
            Self::Compressed(image) => image.data.len(),
            Self::Tensors(list) => {
                list.tensors.iter().map(|tensor| tensor.data.len() + tensor.strings.iter().map(String::len).sum::<usize>()).sum()
            }
            Self::Points(cloud) => cloud.data.len(),
            Self::Imu(imu) => 8 * 3 * imu.orientation_covariance.len(),
            Self::Joints(joints) => 8 * 3 * joints.position.len() + joints.name.iter().map(String::len).sum::<usize>(),
            Self::Array(_, array) => 4 * array.data.len(),
        };
        size_of::<Self>() + content
    }
}

/// What a model takes.
pub(super) enum Opened<'a> {
    Frame(Frame<'a>),
    Tensors(Vec<Tensor>),
    Cloud(Cloud<'a>),
    /// One of the messages that make a window.
    Sample,
}

impl From<Image> for Input {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<CompressedImage> for Input {
    fn from(image: CompressedImage) -> Self {
        Self::Compressed(image)
    }
}

impl From<TensorList> for Input {
    fn from(list: TensorList) -> Self {
        Self::Tensors(list)
    }
}

impl From<PointCloud2> for Input {
    fn from(cloud: PointCloud2) -> Self {
        Self::Points(cloud)
    }
}

impl From<Imu> for Input {
    fn from(imu: Imu) -> Self {
        Self::Imu(imu)
    }
}

impl From<JointState> for Input {
    fn from(joints: JointState) -> Self {
        Self::Joints(joints)
    }
}

/// A frame and when it came.
pub(super) struct Queued {
    pub(super) input: Input,
    pub(super) arrived: Instant,
}

/// Frames on their way to the one worker.
pub(super) struct FrameQueue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    policy: QueuePolicy,
    depth: usize,
    frames: VecDeque<Queued>,
    dropped: u64,
    /// The worker holds a frame.
    busy: bool,
    /// Frames the worker has finished.
    finished: u64,
    closed: bool,
}

impl FrameQueue {
    pub(super) fn new(policy: QueuePolicy, depth: usize) -> Self {
        let (frames, dropped, busy, finished, closed) = (VecDeque::new(), 0, false, 0, false);
        let state = State { policy, depth, frames, dropped, busy, finished, closed };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Another policy and depth from here on. What no longer fits of the frames that wait is dropped: the newest, or under
    /// [`QueuePolicy::Latest`] all but it.
    pub(super) fn set(&self, policy: QueuePolicy, depth: usize) {
        let mut state = self.lock();
        (state.policy, state.depth) = (policy, depth);
        let before = state.frames.len();
        match policy {
            QueuePolicy::All => state.frames.truncate(depth),
            QueuePolicy::Latest => drop(state.frames.drain(..before.saturating_sub(1))),
        }
        state.dropped += (before - state.frames.len()) as u64;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame in, by the policy.
    pub(super) fn push(&self, input: Input) {
        let arrived = Instant::now();
        let mut state = self.lock();
        if state.closed {
            state.dropped += 1;
            return;
        }
        let room = if state.policy == QueuePolicy::Latest { 1 } else { state.depth };
        if state.frames.len() >= room {
            state.dropped += 1;
            match state.policy {
                QueuePolicy::All => {
                    warn_dropped(state.dropped);
                    return;
                }
                QueuePolicy::Latest => {
                    state.frames.pop_front();
                }
            }
        }
        state.frames.push_back(Queued { input, arrived });
        self.changed.notify_all();
    }

    /// Frames that were lost before they came here.
    pub(super) fn count_dropped(&self, frames: u64) {
        let mut state = self.lock();
        state.dropped += frames;
        warn_dropped(state.dropped);
    }

    /// The next frame, for the worker: waits for one. Asking says that the one before is finished. `None` when the
    /// queue is closed and empty.
    pub(super) fn pop(&self) -> Option<Queued> {
        let mut state = self.lock();
        if std::mem::take(&mut state.busy) {
            state.finished += 1;
            self.changed.notify_all();
        }
        let mut state = self.changed.wait_while(state, |s| s.frames.is_empty() && !s.closed).unwrap_or_else(PoisonError::into_inner);
        let frame = state.frames.pop_front();
        state.busy = frame.is_some();
        frame
    }

    /// Waits until the frame the worker holds now, if any, is finished.
    pub(super) fn between_frames(&self) {
        let state = self.lock();
        let finished = state.finished;
        drop(self.changed.wait_while(state, |s| s.busy && s.finished == finished));
    }

    /// Frames dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Frames come in again.
    pub(super) fn open(&self) {
        self.lock().closed = false;
    }

    /// No more frames come in; those that wait are still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Throws away what waits, counts it as dropped, and says how much it was.
    pub(super) fn discard(&self) -> usize {
        let mut state = self.lock();
        let left = state.frames.len();
        state.frames.clear();
        state.dropped += left as u64;
        self.changed.notify_all();
        left
    }
}

/// Says at the first dropped frame and then ever more rarely how many there are.
fn warn_dropped(dropped: u64) {
    if dropped.is_power_of_two() {
        tracing::warn!(dropped, "frames are dropped: the model is slower than the camera; raise queue_depth or set queue_policy to latest");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn image(width: u32) -> Input {
        Image { width, ..Image::default() }.into()
    }

    fn width(queued: &Queued) -> u32 {
        let Input::Image(image) = &queued.input else { unreachable!("only images are pushed here") };
        image.width
    }

    fn widths(queue: &FrameQueue) -> Vec<u32> {
        queue.close();
        std::iter::from_fn(|| queue.pop()).map(|f| width(&f)).collect()
    }

    #[test]
    fn all_keeps_the_oldest_in_order_and_counts_the_rest() {
        let queue = FrameQueue::new(QueuePolicy::All, 3);
        (1..=5).for_each(|w| queue.push(image(w)));
        assert_eq!(queue.dropped(), 2);
        assert_eq!(widths(&queue), [1, 2, 3]);
    }

    #[test]
    fn latest_keeps_the_newest_and_counts_the_rest() {
        let queue = FrameQueue::new(QueuePolicy::Latest, 1000);
        (1..=5).for_each(|w| queue.push(image(w)));
        assert_eq!(queue.dropped(), 4);
        assert_eq!(widths(&queue), [5]);
    }

    #[test]
    fn another_policy_or_depth_drops_what_no_longer_fits() {
        let filled = || {
            let queue = FrameQueue::new(QueuePolicy::All, 5);
            (1..=5).for_each(|w| queue.push(image(w)));
            queue
        };
        let queue = filled();
        queue.set(QueuePolicy::All, 2);
        queue.push(image(6));
        assert_eq!((queue.dropped(), widths(&queue)), (4, vec![1, 2]));
        let queue = filled();
        queue.set(QueuePolicy::Latest, 5);
        queue.push(image(6));
        assert_eq!((queue.dropped(), widths(&queue)), (5, vec![6]));
        let queue = filled();
        queue.set(QueuePolicy::All, 6);
        queue.push(image(6));
        assert_eq!((queue.dropped(), widths(&queue)), (0, vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_what_it_has() {
        let queue = FrameQueue::new(QueuePolicy::All, 3);
        queue.push(image(1));
        queue.close();
        queue.push(image(2));
        assert_eq!((queue.pop().map(|f| width(&f)), queue.pop().is_none(), queue.dropped()), (Some(1), true, 1));
        let queue = FrameQueue::new(QueuePolicy::All, 3);
        queue.push(image(1));
        assert_eq!((queue.discard(), queue.dropped()), (1, 1));
    }

    #[test]
    fn between_frames_waits_for_the_frame_in_hand_only() {
        let queue = Arc::new(FrameQueue::new(QueuePolicy::All, 10));
        queue.between_frames(); // idle: returns at once
        queue.push(image(1));
        queue.push(image(2));
        assert!(queue.pop().is_some());
        let passed = Arc::new(AtomicBool::new(false));
        let waiter = std::thread::spawn({
            let (queue, passed) = (Arc::clone(&queue), Arc::clone(&passed));
            move || {
                queue.between_frames();
                passed.store(true, Ordering::SeqCst);
            }
        });
        std::thread::yield_now();
        assert!(!passed.load(Ordering::SeqCst), "the first frame is still in hand");
        // Finishing the first and taking the second is enough, although the worker is busy again.
        assert!(queue.pop().is_some());
        // The waiter may have come after this pop; then it waits for the second frame instead.
        assert!(queue.lock().busy);
        queue.close();
        assert!(queue.pop().is_none());
        waiter.join().unwrap();
        assert!(passed.load(Ordering::SeqCst));
    }
}
