//! `~/infer`, `~/load_model`, `~/get_model_info`. Each request gets an answer: whatever goes wrong is `success: false`
//! and a message.

use std::sync::Arc;
use std::time::Instant;

use edgeflow_ros::edgeflow_msgs::srv::{GetModelInfo, Infer, LoadModel};
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::{Node, ServiceRequest};
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::messages;
use super::pipeline::Pipeline;
use super::status::{SLOT, StatusBoard, check_slot};
use crate::engine::{Engine, LoadRequest, Loaded, Stage};
use crate::{Error, Result};

/// What the services act on.
pub(super) struct Services {
    node: Node,
    engine: Arc<Engine>,
    pipeline: Arc<Pipeline>,
    status: Arc<StatusBoard>,
    /// One load at a time, with its statuses in one piece.
    loading: tokio::sync::Mutex<()>,
}

impl Services {
    pub(super) fn new(node: Node, engine: Arc<Engine>, pipeline: Arc<Pipeline>, status: Arc<StatusBoard>) -> Self {
        Self { node, engine, pipeline, status, loading: tokio::sync::Mutex::default() }
    }

    /// Serves all three, each on a task of its own: a load that takes long holds up no question.
    pub(super) fn serve(self: &Arc<Self>) -> Result<Vec<JoinHandle<()>>> {
        let mut infer = self.node.create_service::<Infer::Service>("~/infer")?;
        let mut load = self.node.create_service::<LoadModel::Service>("~/load_model")?;
        let mut info = self.node.create_service::<GetModelInfo::Service>("~/get_model_info")?;
        let (me, you, them) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        Ok(vec![
            tokio::spawn(async move {
                while let Some(request) = info.next().await {
                    let response = me.get_model_info(&request.message);
                    respond(request, response);
                }
            }),
            tokio::spawn(async move {
                while let Some(request) = infer.next().await {
                    let response = you.infer(request.message.clone()).await;
                    respond(request, response);
                }
            }),
            tokio::spawn(async move {
                while let Some(request) = load.next().await {
                    let response = them.load_model(&request.message).await;
                    respond(request, response);
                }
            }),
        ])
    }

    fn get_model_info(&self, request: &GetModelInfo::Request) -> GetModelInfo::Response {
        match check_slot(&request.slot).and_then(|()| self.engine.current()) {
            Ok(model) => GetModelInfo::Response { success: true, message: String::new(), model: messages::model_info(&model) },
            Err(error) => GetModelInfo::Response { success: false, message: error.to_string(), ..Default::default() },
        }
    }

    async fn infer(self: &Arc<Self>, request: Infer::Request) -> Infer::Response {
        let arrived = Instant::now();
        let me = Arc::clone(self);
        blocking("infer", move || me.infer_now(&request, arrived)).await.unwrap_or_else(|error| Infer::Response {
            success: false,
            message: error.to_string(),
            ..Default::default()
        })
    }

    fn infer_now(&self, request: &Infer::Request, arrived: Instant) -> Result<Infer::Response> {
        if !self.pipeline.is_active() {
            return Err(Error::NotActive { node: self.node.fully_qualified_name().to_owned() });
        }
        let model = self.engine.current()?;
        let (header, inference) = if request.inputs.is_empty() {
            let frame = messages::frame(&request.image).check()?;
            (request.image.header.clone(), model.infer_frame(&frame)?)
        } else {
            let tensors = request.inputs.iter().map(messages::from_message).collect::<Result<Vec<_>>>()?;
            (Header { stamp: self.node.now(), ..Header::default() }, model.infer_tensors(&tensors)?)
        };
        let mut result = messages::result(&model, header, &inference);
        result.slot = SLOT.to_owned();
        result.latency_us = u32::try_from(arrived.elapsed().as_micros()).unwrap_or(u32::MAX);
        // Once is enough: they may be large.
        let outputs = match std::mem::take(&mut result.outputs) {
            raw if !raw.is_empty() => raw,
            _ => inference.outputs.iter().map(messages::tensor).collect(),
        };
        Ok(Infer::Response { success: true, message: String::new(), result, outputs })
    }

    async fn load_model(self: &Arc<Self>, request: &LoadModel::Request) -> LoadModel::Response {
        let LoadModel::Request { slot, bundle_path, model_name, model_version, digest } = request.clone();
        let loaded = match parse(&slot, bundle_path, model_name, model_version, &digest) {
            Ok(load) => self.load(load, |_| Ok(())).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(loaded) => LoadModel::Response {
                success: true,
                message: String::new(),
                digest: loaded.model.digest.to_string(),
                swap_gap_us: loaded.swapped.gap_us(),
            },
            Err(error) => LoadModel::Response { success: false, message: error.to_string(), digest: self.running_digest(), swap_gap_us: 0 },
        }
    }

    /// Digest of the bundle that serves frames now; empty when none does.
    pub(super) fn running_digest(&self) -> String {
        self.engine.current().map(|m| m.digest.to_string()).unwrap_or_default()
    }

    /// Says on `~/status` that the slot is empty.
    pub(super) fn unloaded(&self) {
        self.status.pending();
    }

    /// Loads a bundle beside the running one, swaps it in, and says so on `~/status` once no frame is in the old one's
    /// hands any more. `progress` can call it off.
    pub(super) async fn load(
        self: &Arc<Self>,
        request: LoadRequest,
        mut progress: impl FnMut(Stage) -> Result<()> + Send + 'static,
    ) -> Result<Loaded> {
        let _one_at_a_time = self.loading.lock().await;
        let me = Arc::clone(self);
        let about = request.clone();
        let loaded = blocking("load the model", move || {
            let loaded = me.engine.load(&request, &mut |stage| {
                progress(stage)?;
                me.status.stage(&request, stage);
                Ok(())
            })?;
            me.pipeline.queue.between_frames();
            Ok(loaded)
        })
        .await;
        match &loaded {
            Ok(loaded) => {
                tracing::info!(model = %loaded.model.name, version = %loaded.model.version, digest = %loaded.model.digest, swap_gap_us = loaded.swapped.gap_us(), "model active");
                self.status.active(&about, loaded);
            }
            Err(error) => {
                tracing::error!(%error, bundle = %about.path.display(), "model not loaded; what ran before keeps running");
                self.status.failed(&about, error);
            }
        }
        loaded
    }
}

/// What both ways to ask for a load have in common.
pub(super) fn parse(slot: &str, bundle_path: String, name: String, version: String, digest: &str) -> Result<LoadRequest> {
    check_slot(slot)?;
    let expected = match digest {
        "" => None,
        text => Some(text.parse().map_err(|source| Error::DigestMalformed { source })?),
    };
    Ok(LoadRequest { path: bundle_path.into(), name, version, expected })
}

/// Runs what takes long off the executor. A panic becomes an error, so that the caller is answered.
async fn blocking<T: Send + 'static>(operation: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::Io { operation: operation.to_owned(), source: std::io::Error::other(panic) }))
}

fn respond<S: edgeflow_ros::Service>(request: ServiceRequest<S>, response: S::Response) {
    if let Err(error) = request.respond(response) {
        tracing::warn!(%error, "a service response was not sent");
    }
}
