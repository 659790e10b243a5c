//! From the camera to the results, while the node is active: subscriptions, for each a task that moves its frames into
//! the queue, and the thread that computes them. Inactive, none of them exists.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edgeflow_ros::edgeflow_msgs::msg::TensorList;
use edgeflow_ros::sensor_msgs::msg::{CompressedImage, Image, Imu, JointState, PointCloud2};
use edgeflow_ros::std_msgs::msg::Float32MultiArray;
use edgeflow_ros::{Message, Node, QosProfile, Queue, Subscription};
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::adapted::{self, Gatherer};
use super::drift::{DriftWatch, Reference};
use super::frames::{FrameQueue, Input};
use super::params::{Parameters, SlotParameters};
use super::shadow::ShadowSeat;
use super::slots::topic;
use super::tally::{Counters, Tally};
use super::vision::VisionTopics;
use super::worker::{Outputs, Worker};
use crate::engine::{Engine, Model};
use crate::{Error, Result};

/// How long frames that wait may still be computed after the node was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Pipeline {
    node: Node,
    engine: Arc<Engine>,
    outputs: Arc<Outputs>,
    pub(super) queue: Arc<FrameQueue>,
    pub(super) tally: Arc<Tally>,
    params: Parameters,
    slot: SlotParameters,
    shadow: Arc<ShadowSeat>,
    vision: Arc<VisionTopics>,
    pub(super) drift: Arc<Mutex<DriftWatch>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: watch::Sender<bool>,
    pumps: Vec<JoinHandle<()>>,
    worker: std::thread::JoinHandle<()>,
}

impl Pipeline {
    pub(super) fn new(
        node: Node,
        engine: Arc<Engine>,
        outputs: Outputs,
        shadow: Arc<ShadowSeat>,
        vision: Arc<VisionTopics>,
        params: Parameters,
        slot: SlotParameters,
    ) -> Self {
        let (policy, depth) = params.queue.get();
        let queue = Arc::new(FrameQueue::new(policy, depth));
        let (outputs, tally, running) = (Arc::new(outputs), Arc::default(), Mutex::default());
        let drift = Arc::new(Mutex::new(DriftWatch::new(params.drift.clone())));
        Self { node, engine, outputs, queue, tally, params, slot, shadow, vision, drift, running }
    }

    /// Whether frames are taken.
    pub(super) fn is_active(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Begins to take frames. Drift windows begin anew: what the camera saw meanwhile is not known.
    ///
    /// # Errors
    /// A stack that refuses, or a thread that cannot be had.
    pub(super) fn start(&self) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.reset_drift();
        let images = self.subscribe::<Image>("image", self.slot.image_qos)?;
        let compressed = self.subscribe::<CompressedImage>("image/compressed", self.slot.compressed_qos)?;
        let tensors = self.subscribe::<TensorList>("tensors", self.slot.tensors_qos)?;
        // Whatever the model takes: the next one may take something else.
        let points = self.subscribe::<PointCloud2>("points", self.slot.points_qos)?;
        let imu = self.subscribe::<Imu>("imu", self.slot.imu_qos)?;
        let joints = self.subscribe::<JointState>("joint_states", self.slot.joint_states_qos)?;
        let arrays = self.subscribe::<Float32MultiArray>("array", self.slot.array_qos)?;
        self.queue.open();
        let worker = Worker {
            slot: self.slot.name.clone(),
            engine: Arc::clone(&self.engine),
            queue: Arc::clone(&self.queue),
            outputs: Arc::clone(&self.outputs),
            drift: Arc::clone(&self.drift),
            shadow: Arc::clone(&self.shadow),
            vision: Arc::clone(&self.vision),
            decoding: self.slot.decoding.clone(),
            tally: Arc::clone(&self.tally),
            gatherer: Gatherer::default(),
            logged: None,
        };
        let runtime = tokio::runtime::Handle::current();
        let worker = std::thread::Builder::new()
            .name("inference".into())
            .spawn(move || {
                // Publishing may want the runtime's reactor.
                let _entered = runtime.enter();
                worker.run();
            })
            .map_err(|source| Error::Io { operation: "start the inference thread".into(), source })?;
        let (stop, stopped) = watch::channel(false);
        let node = self.node.clone();
        let pumps = vec![
            self.pump(images, Input::from, &stopped),
            self.pump(compressed, Input::from, &stopped),
            self.pump(tensors, Input::from, &stopped),
            self.pump(points, Input::from, &stopped),
            self.pump(imu, Input::from, &stopped),
            self.pump(joints, Input::from, &stopped),
            self.pump(arrays, move |array| adapted::stamped(&node, array), &stopped),
        ];
        *running = Some(Running { stop, pumps, worker });
        Ok(())
    }

    fn subscribe<T: Message>(&self, leaf: &str, qos: QosProfile) -> Result<Subscription<T>> {
        let waiting = Queue::All { depth: self.params.queue.get().1 };
        Ok(self.node.subscribe(&topic(&self.slot.name, leaf), qos, waiting)?)
    }

    fn pump<T: Message>(
        &self,
        messages: Subscription<T>,
        input: impl Fn(T) -> Input + Send + 'static,
        stopped: &watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        tokio::spawn(pump(messages, input, Arc::clone(&self.queue), stopped.clone()))
    }

    /// Begins the drift watch anew with the next frame.
    pub(super) fn reset_drift(&self) {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner).reset();
        self.tally.forget_window();
    }

    /// Holds the frames of `model` against something else than its bundle's baseline.
    ///
    /// # Errors
    /// A reference that cannot be used; nothing changes then.
    pub(super) fn set_drift(&self, model: &Model, reference: Reference) -> Result<()> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner).set(model, reference)?;
        self.tally.forget_window();
        Ok(())
    }

    /// Takes no more frames, and computes those that wait, for at most ten seconds.
    pub(super) async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, pumps, worker }) = running else { return };
        let _ = stop.send(true);
        // The pumps hand over what has arrived and end by themselves.
        if tokio::time::timeout(DRAIN_LIMIT, futures::future::join_all(pumps)).await.is_err() {
            tracing::warn!("frames kept arriving while the node was stopping");
        }
        self.queue.close();
        let mut joined = tokio::task::spawn_blocking(move || worker.join());
        let ended = match tokio::time::timeout(DRAIN_LIMIT, &mut joined).await {
            Ok(ended) => ended,
            Err(_) => {
                let left = self.queue.discard();
                tracing::warn!(frames = left, "stopping without the frames that still waited");
                joined.await
            }
        };
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the inference thread died");
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.tally.counters(&self.queue)
    }
}

/// Moves messages from a subscription into the frame queue, stamping their arrival.
async fn pump<T: Message>(
    mut messages: Subscription<T>,
    input: impl Fn(T) -> Input,
    queue: Arc<FrameQueue>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut lost_before = 0;
    loop {
        let message = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            message = messages.next() => message,
        };
        let Some(message) = message else { break };
        queue.push(input(message));
        let lost = messages.dropped();
        if lost > lost_before {
            queue.count_dropped(lost - lost_before);
            lost_before = lost;
        }
    }
    while let Some(Some(message)) = messages.next().now_or_never() {
        queue.push(input(message));
    }
}
