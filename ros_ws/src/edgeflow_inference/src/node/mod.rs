//! The inference node: the engine behind topics, services, an action, parameters and a lifecycle.
//!
//! Frames come in on one task, wait in a [queue](frames) whose policy the user chooses, and are computed one after the
//! other on a thread of their own, so that neither a slow model nor a slow subscriber holds up the executor: the
//! [pipeline]. Loads run beside that thread; see [`services`].

mod adapted;
mod baseline;
mod decoding;
mod deploy;
mod diagnostics;
mod drift;
mod frames;
mod managed;
mod messages;
mod params;
mod pipeline;
mod services;
mod shadow;
mod slots;
mod snapshot;
mod status;
mod tally;
mod vision;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use edgeflow_ros::lifecycle::{Lifecycle, Transition};
use edgeflow_ros::{Context, Node, QosProfile};
use tokio::task::JoinHandle;

use crate::Result;
use crate::engine::ort::OrtBackend;
use crate::engine::{Engine, Limits, Requests};
use crate::http;
pub use decoding::DecodingParameters;
use diagnostics::Diagnostics;
use managed::{Serving, autostart};
pub use params::{
    BundleParameters, DriftParameters, Parameters, QueueParameters, QueuePolicy, RequestParameters, SessionParameters, SlotParameters,
    USAGE,
};
use pipeline::Pipeline;
use services::Services;
use slots::{ModelSlot, Slots, topic};
use snapshot::{Recorder, Topics};
use status::StatusBoard;
pub use tally::Counters;
pub use vision::VisionQos;
use vision::VisionTopics;
use worker::Outputs;

/// Name of the node before remaps.
pub const NODE_NAME: &str = "inference_node";

/// A running inference node.
pub struct InferenceNode {
    node: Node,
    lifecycle: Lifecycle,
    slots: Slots,
    tasks: Vec<JoinHandle<()>>,
    http_address: Option<SocketAddr>,
}

impl InferenceNode {
    /// Creates the node and loads ONNX Runtime. With the parameter `autostart` it becomes active by itself: what becomes
    /// of the bundle named by `bundle_path` is said on `~/status`. Needs a tokio runtime.
    ///
    /// # Errors
    /// A parameter that does not exist or makes no sense, an unusable onnxruntime library, or a stack that refuses.
    pub fn start(context: &Context) -> Result<Self> {
        let node = Node::create(context, NODE_NAME, "")?;
        let params = Parameters::declare(&node)?;
        let backend = Arc::new(OrtBackend::find(&params.onnxruntime)?);
        let limits = params.requests.limits();
        let slots = params.slots.iter().map(|slot| model_slot(&node, &params, slot, &backend, &limits).map(Arc::new));
        let slots = Slots::new(slots.collect::<Result<_>>()?);
        slots.iter().for_each(|slot| slot.status.pending());
        let services = Arc::new(Services::new(node.clone(), slots.clone(), params.session));

        let mut tasks = services.serve()?;
        tasks.push(tokio::spawn(params.requests.follow(limits)));
        let queues = slots.clone();
        tasks.push(tokio::spawn(params.queue.follow(move |policy, depth| {
            queues.iter().for_each(|slot| slot.pipeline.queue.set(policy, depth));
        })));
        tasks.push(tokio::spawn(deploy::serve(node.create_action_server("~/deploy_model")?, Arc::clone(&services))));
        tasks.push(tokio::spawn(Diagnostics::new(&node, slots.clone())?.run()));
        let http_address = match params.http_address.as_str() {
            "" => None,
            address => {
                let (listener, bound) = http::bind(address)?;
                let served = slots.iter().map(|slot| slot.served(node.fully_qualified_name())).collect();
                tasks.push(tokio::spawn(async move {
                    if let Err(error) = http::serve(listener, http::router(served)).await {
                        tracing::error!(%error, "http is not served any more");
                    }
                }));
                tracing::info!(address = %bound, "serving http without authentication");
                Some(bound)
            }
        };
        let forgiving = Arc::default();
        let serving = Serving { slots: slots.clone(), services, forgiving: Arc::clone(&forgiving) };
        let lifecycle = Lifecycle::serve(&node, serving)?;
        if params.autostart {
            tasks.push(tokio::spawn(autostart(lifecycle.clone(), forgiving)));
        }
        Ok(Self { node, lifecycle, slots, tasks, http_address })
    }

    /// The node in the graph.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Where HTTP is served, if it is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Takes no more frames and requests, computes the frames that wait (for at most ten seconds), and leaves. The counters
    /// are of all slots together.
    pub async fn stop(self) -> Counters {
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.lifecycle.trigger(Transition::Shutdown).await {
            // A transition that runs, or a node that was shut down already, over the lifecycle services.
            tracing::debug!(%error, "no shutdown transition");
            futures::future::join_all(self.slots.iter().map(|slot| slot.pipeline.stop())).await;
        }
        self.slots.iter().fold(Counters::default(), |sum, slot| sum + slot.pipeline.counters())
    }
}

fn model_slot(
    node: &Node,
    params: &Parameters,
    slot: &SlotParameters,
    backend: &Arc<OrtBackend>,
    limits: &Arc<Limits>,
) -> Result<ModelSlot> {
    let engine = Arc::new(Engine::new(Arc::clone(backend) as _, params.session.options()));
    // Whoever subscribes late must still see the status; results are for those who listen.
    let latched = QosProfile::default().keep_last(1).transient_local();
    let status = node.create_publisher(&topic(&slot.name, "status"), latched)?;
    let recorder = Recorder::new(&slot.name, Topics::new(node, &slot.name)?, params.snapshot.clone());
    let outputs = Outputs {
        results: node.create_publisher(&topic(&slot.name, "result"), slot.result_qos)?,
        reports: node.create_publisher(&topic(&slot.name, "drift"), slot.drift_qos)?,
        recorder: Arc::clone(&recorder),
    };
    let shadow = Arc::default();
    let vision = Arc::new(VisionTopics::new(node.clone(), slot.name.clone(), slot.vision_qos.clone()));
    let (beside, shown) = (Arc::clone(&shadow), Arc::clone(&vision));
    Ok(ModelSlot {
        name: slot.name.clone(),
        requests: Arc::new(Requests::new(Arc::clone(&engine), Arc::clone(limits))),
        pipeline: Pipeline::new(node.clone(), Arc::clone(&engine), outputs, beside, shown, params.clone(), slot.clone()),
        status: StatusBoard::new(node.clone(), slot.name.clone(), status, Arc::clone(&engine)),
        shadow,
        vision,
        recorder,
        decoding: slot.decoding.clone(),
        bundle: slot.bundle.clone(),
        loading: tokio::sync::Mutex::default(),
        engine,
    })
}
