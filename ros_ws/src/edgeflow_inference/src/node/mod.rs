//! The inference node: the engine behind topics, services, an action, parameters and a lifecycle.
//!
//! Frames come in on one task, wait in a [queue](frames) whose policy the user chooses, and are computed one after the
//! other on a thread of their own, so that neither a slow model nor a slow subscriber holds up the executor: the
//! [pipeline]. Loads run beside that thread; see [`services`].

mod deploy;
mod diagnostics;
mod drift;
mod frames;
mod managed;
mod messages;
mod params;
mod pipeline;
mod services;
mod status;
mod tally;
mod worker;

use std::sync::Arc;

use edgeflow_ros::lifecycle::{Lifecycle, Transition};
use edgeflow_ros::{Context, Node, QosProfile};
use tokio::task::JoinHandle;

use crate::Result;
use crate::engine::ort::OrtBackend;
use crate::engine::{Engine, LoadRequest, SessionOptions};
use diagnostics::Diagnostics;
use managed::{Serving, autostart};
pub use params::{Parameters, QueuePolicy, USAGE};
use pipeline::Pipeline;
use services::Services;
use status::StatusBoard;
pub use tally::Counters;
use worker::Outputs;

/// Name of the node before remaps.
pub const NODE_NAME: &str = "inference_node";

/// A running inference node.
pub struct InferenceNode {
    node: Node,
    lifecycle: Lifecycle,
    pipeline: Arc<Pipeline>,
    tasks: Vec<JoinHandle<()>>,
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
        let options = SessionOptions { intra_op_threads: params.intra_op_threads, ..SessionOptions::default() };
        let engine = Arc::new(Engine::new(backend, options));

        // Whoever subscribes late must still see the status; results are for those who listen.
        let latched = QosProfile::default().keep_last(1).transient_local();
        let status = Arc::new(StatusBoard::new(node.clone(), node.create_publisher("~/status", latched)?, Arc::clone(&engine)));
        status.pending();
        let outputs = Outputs {
            results: node.create_publisher("~/result", params.result_qos)?,
            reports: node.create_publisher("~/drift", params.drift_qos)?,
        };
        let pipeline = Arc::new(Pipeline::new(node.clone(), Arc::clone(&engine), outputs, params.clone()));
        let services = Arc::new(Services::new(node.clone(), Arc::clone(&engine), Arc::clone(&pipeline), status));

        let mut tasks = services.serve()?;
        tasks.push(tokio::spawn(deploy::serve(node.create_action_server("~/deploy_model")?, Arc::clone(&services))));
        tasks.push(tokio::spawn(Diagnostics::new(&node, Arc::clone(&engine), Arc::clone(&pipeline))?.run()));
        let bundle = (!params.bundle_path.is_empty()).then(|| LoadRequest {
            path: params.bundle_path.into(),
            name: params.model_name,
            version: params.model_version,
            expected: None,
        });
        let forgiving = Arc::default();
        let serving = Serving { engine, pipeline: Arc::clone(&pipeline), services, bundle, forgiving: Arc::clone(&forgiving) };
        let lifecycle = Lifecycle::serve(&node, serving)?;
        if params.autostart {
            tasks.push(tokio::spawn(autostart(lifecycle.clone(), forgiving)));
        }
        Ok(Self { node, lifecycle, pipeline, tasks })
    }

    /// The node in the graph.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Takes no more frames and requests, computes the frames that wait (for at most ten seconds), and leaves.
    pub async fn stop(self) -> Counters {
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.lifecycle.trigger(Transition::Shutdown).await {
            // A transition that runs, or a node that was shut down already, over the lifecycle services.
            tracing::debug!(%error, "no shutdown transition");
            self.pipeline.stop().await;
        }
        self.pipeline.counters()
    }
}
