//! The inference node: the engine behind topics, services and parameters.
//!
//! Frames come in on one task, wait in a [queue](frames) whose policy the user chooses, and are computed one after the
//! other on a thread of their own, so that neither a slow model nor a slow subscriber holds up the executor. Loads run
//! beside that thread; see [`services`].

mod drift;
mod frames;
mod messages;
mod params;
mod services;
mod status;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use edgeflow_ros::{Context, Node, QosProfile, Queue, Subscription, edgeflow_msgs, sensor_msgs};
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engine::ort::OrtBackend;
use crate::engine::{Engine, LoadRequest, SessionOptions};
use crate::{Error, Result};
use frames::FrameQueue;
pub use params::{Parameters, QueuePolicy, USAGE};
use services::Services;
use status::StatusBoard;
pub use worker::Counters;
use worker::Worker;

/// Name of the node before remaps.
pub const NODE_NAME: &str = "inference_node";

/// How long frames that wait may still be computed after the node was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A running inference node.
pub struct InferenceNode {
    node: Node,
    stop: watch::Sender<bool>,
    pump: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    queue: Arc<FrameQueue>,
    worker: std::thread::JoinHandle<Counters>,
}

impl InferenceNode {
    /// Creates the node, loads ONNX Runtime, and begins to take frames. The bundle named by `bundle_path` is loaded
    /// meanwhile; what becomes of it is said on `~/status`. Needs a tokio runtime.
    ///
    /// # Errors
    /// A parameter that does not exist or makes no sense, an unusable onnxruntime library, or a stack that refuses.
    pub fn start(context: &Context) -> Result<Self> {
        let node = Node::create(context, NODE_NAME, "")?;
        let params = Parameters::declare(&node)?;
        let backend = Arc::new(OrtBackend::find(&params.onnxruntime)?);
        let options = SessionOptions { intra_op_threads: params.intra_op_threads };
        let engine = Arc::new(Engine::new(backend, options));
        let drift = drift::DriftWatch::new(params.drift, params.drift_baseline_frames)?;

        // Whoever subscribes late must still see the status; results are for those who listen.
        let latched = QosProfile::default().keep_last(1).transient_local();
        let status = Arc::new(StatusBoard::new(node.clone(), node.create_publisher("~/status", latched)?, Arc::clone(&engine)));
        status.pending();
        let results = node.create_publisher::<edgeflow_msgs::msg::InferenceResult>("~/result", QosProfile::default().keep_last(100))?;
        let reports = node.create_publisher::<edgeflow_msgs::msg::DriftReport>("~/drift", QosProfile::default().keep_last(10))?;
        let queue = Arc::new(FrameQueue::new(params.queue_policy, params.queue_depth));

        let image_qos = QosProfile::default().keep_last(params.queue_depth);
        let image_qos = if params.image_reliable { image_qos.reliable() } else { image_qos.best_effort() };
        let images = node.subscribe::<sensor_msgs::msg::Image>("~/image", image_qos, Queue::All { depth: params.queue_depth })?;
        let services = Arc::new(Services::new(node.clone(), Arc::clone(&engine), Arc::clone(&queue), status));
        let served = services.serve()?;
        let worker = Worker::new(engine, Arc::clone(&queue), results, reports, drift);
        let runtime = tokio::runtime::Handle::current();
        let worker = std::thread::Builder::new()
            .name("inference".into())
            .spawn(move || {
                // Publishing may want the runtime's reactor.
                let _entered = runtime.enter();
                worker.run()
            })
            .map_err(|source| Error::Io { operation: "start the inference thread".into(), source })?;

        let (stop, stopped) = watch::channel(false);
        let pump = tokio::spawn(pump(images, Arc::clone(&queue), stopped));
        let mut tasks = served;
        if !params.bundle_path.is_empty() {
            let request =
                LoadRequest { path: params.bundle_path.into(), name: params.model_name, version: params.model_version, expected: None };
            tasks.push(tokio::spawn(async move {
                // A failure has been logged and published; the node waits for a better bundle.
                let _ = services.load(request).await;
            }));
        }
        Ok(Self { node, stop, pump, tasks, queue, worker })
    }

    /// The node in the graph.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Stops taking frames and requests, computes the frames that wait (for at most ten seconds), and leaves.
    pub async fn stop(self) -> Counters {
        let Self { node, stop, pump, tasks, queue, worker } = self;
        let _ = stop.send(true);
        // The pump hands over what has arrived and ends by itself.
        if tokio::time::timeout(DRAIN_LIMIT, pump).await.is_err() {
            tracing::warn!("frames kept arriving while the node was stopping");
        }
        tasks.iter().for_each(JoinHandle::abort);
        queue.close();
        let mut joined = tokio::task::spawn_blocking(move || worker.join());
        let counters = match tokio::time::timeout(DRAIN_LIMIT, &mut joined).await {
            Ok(counters) => counters,
            Err(_) => {
                let left = queue.discard();
                tracing::warn!(frames = left, "stopping without the frames that still waited");
                joined.await
            }
        };
        drop(node);
        match counters {
            Ok(Ok(counters)) => counters,
            _ => {
                tracing::error!("the inference thread died");
                Counters::default()
            }
        }
    }
}

/// Moves images from the subscription into the frame queue, stamping their arrival.
async fn pump(mut images: Subscription<sensor_msgs::msg::Image>, queue: Arc<FrameQueue>, mut stopped: watch::Receiver<bool>) {
    let mut lost_before = 0;
    loop {
        let image = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            image = images.next() => image,
        };
        let Some(image) = image else { break };
        queue.push(image);
        let lost = images.dropped();
        if lost > lost_before {
            queue.count_dropped(lost - lost_before);
            lost_before = lost;
        }
    }
    while let Some(Some(image)) = images.next().now_or_never() {
        queue.push(image);
    }
}
