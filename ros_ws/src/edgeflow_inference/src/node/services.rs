//! `~/infer`, `~/load_model`, `~/rollback_model`, `~/set_shadow`, `~/get_model_info`, `~/save_snapshot`, and those of
//! [drift](super::baseline). Each request gets an answer: whatever goes
//! wrong is `success: false` and a message.

use std::sync::Arc;
use std::time::Instant;

use edgeflow_ros::edgeflow_msgs::msg::ShadowResult;
use edgeflow_ros::edgeflow_msgs::srv::{GetModelInfo, Infer, LoadModel, ResetDrift, RollbackModel, SaveSnapshot, SetBaseline, SetShadow};
use edgeflow_ros::sensor_msgs::msg::CompressedImage;
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::{Node, Publisher, Service, ServiceRequest};
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::messages;
use super::params::SessionParameters;
use super::shadow::Shadow;
use super::slots::{ModelSlot, Slots, topic};
use crate::engine::{LoadRequest, Loaded, Model, SessionOptions, Stage, Work};
use crate::image::Decompressed;
use crate::{Error, Result};

/// What the services act on.
pub(super) struct Services {
    node: Node,
    pub(super) slots: Slots,
    session: SessionParameters,
}

impl Services {
    pub(super) fn new(node: Node, slots: Slots, session: SessionParameters) -> Self {
        Self { node, slots, session }
    }

    /// Serves all of them. Each request is answered by a task of its own: a load that takes long holds up no question.
    pub(super) fn serve(self: &Arc<Self>) -> Result<Vec<JoinHandle<()>>> {
        Ok(vec![
            self.answer::<Infer::Service, _>("~/infer", |me, request| async move { me.infer(request).await })?,
            self.answer::<LoadModel::Service, _>("~/load_model", |me, request| async move { me.load_model(request).await })?,
            self.answer::<RollbackModel::Service, _>("~/rollback_model", |me, request| async move { me.rollback_model(&request).await })?,
            self.answer::<SetShadow::Service, _>("~/set_shadow", |me, request| async move { me.set_shadow(request).await })?,
            self.answer::<ResetDrift::Service, _>("~/reset_drift", |me, request| async move { me.reset_drift(&request) })?,
            self.answer::<SetBaseline::Service, _>("~/set_baseline", |me, request| async move { me.set_baseline(request).await })?,
            self.answer::<GetModelInfo::Service, _>("~/get_model_info", |me, request| async move { me.get_model_info(&request) })?,
            self.answer::<SaveSnapshot::Service, _>("~/save_snapshot", |me, request| async move { me.save_snapshot(request).await })?,
        ])
    }

    fn answer<S, F>(self: &Arc<Self>, name: &str, ask: impl Fn(Arc<Self>, S::Request) -> F + Send + 'static) -> Result<JoinHandle<()>>
    where
        S: Service,
        S::Request: Default,
        F: Future<Output = S::Response> + Send + 'static,
    {
        let mut requests = self.node.create_service::<S>(name)?;
        let me = Arc::clone(self);
        Ok(tokio::spawn(async move {
            while let Some(mut request) = requests.next().await {
                // Not cloned: it may hold an image.
                let response = ask(Arc::clone(&me), std::mem::take(&mut request.message));
                tokio::spawn(async move { respond(request, response.await) });
            }
        }))
    }

    fn get_model_info(&self, request: &GetModelInfo::Request) -> GetModelInfo::Response {
        match self.slots.get(&request.slot).and_then(|slot| slot.engine.current()) {
            Ok(model) => GetModelInfo::Response { success: true, message: String::new(), model: messages::model_info(&model) },
            Err(error) => GetModelInfo::Response { success: false, message: error.to_string(), ..Default::default() },
        }
    }

    async fn infer(&self, request: Infer::Request) -> Infer::Response {
        self.try_infer(request).await.unwrap_or_else(|error| Infer::Response {
            success: false,
            message: error.to_string(),
            ..Default::default()
        })
    }

    async fn try_infer(&self, request: Infer::Request) -> Result<Infer::Response> {
        let arrived = Instant::now();
        let slot = self.slots.get(&request.slot)?;
        if !slot.pipeline.is_active() {
            return Err(Error::NotActive { node: self.node.fully_qualified_name().to_owned() });
        }
        let Infer::Request { image, compressed_image, inputs, .. } = request;
        let (header, (model, inference)) = if !inputs.is_empty() {
            let tensors = inputs.iter().map(messages::from_message).collect::<Result<Vec<_>>>()?;
            (Header { stamp: self.node.now(), ..Header::default() }, slot.requests.infer_tensors(tensors).await?)
        } else if compressed_image.data.is_empty() {
            let header = image.header.clone();
            (header, slot.requests.infer_with(Work::Light, move |model| model.infer_frame(&messages::frame(&image).check()?)).await?)
        } else if image.data.is_empty() {
            let CompressedImage { header, data, .. } = compressed_image;
            let decompress = move |model: &Model| model.infer_frame(&Decompressed::new(&data)?.frame().check()?);
            (header, slot.requests.infer_with(Work::Heavy, decompress).await?)
        } else {
            return Err(Error::Image { reason: "there are two; give image or compressed_image".to_owned() });
        };
        let mut result = messages::result(&model, header, &inference);
        result.slot.clone_from(&slot.name);
        result.latency_us = u32::try_from(arrived.elapsed().as_micros()).unwrap_or(u32::MAX);
        // Once is enough: they may be large.
        let outputs = match std::mem::take(&mut result.outputs) {
            raw if raw.len() == inference.outputs.len() => raw,
            _ => inference.outputs.iter().map(messages::tensor).collect(),
        };
        Ok(Infer::Response { success: true, message: String::new(), result, outputs })
    }

    async fn load_model(&self, request: LoadModel::Request) -> LoadModel::Response {
        let LoadModel::Request { slot, bundle_path, model_name, model_version, digest } = request;
        let loaded = match parse(bundle_path, model_name, model_version, &digest) {
            Ok(load) => self.load(&slot, load, |_| Ok(())).await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(loaded) => LoadModel::Response {
                success: true,
                message: String::new(),
                digest: loaded.model.digest.to_string(),
                swap_gap_us: loaded.swapped.gap_us(),
            },
            Err(error) => {
                LoadModel::Response { success: false, message: error.to_string(), digest: self.running_digest(&slot), swap_gap_us: 0 }
            }
        }
    }

    /// Digest of the bundle that serves a slot's frames now; empty when none does.
    pub(super) fn running_digest(&self, slot: &str) -> String {
        self.slots.get(slot).map(|slot| slot.running_digest()).unwrap_or_default()
    }

    /// Loads a bundle beside the running one, swaps it in, and says so on `~/status` once no frame is in the old one's
    /// hands any more. `progress` can call it off.
    pub(super) async fn load(
        &self,
        slot: &str,
        request: LoadRequest,
        mut progress: impl FnMut(Stage) -> Result<()> + Send + 'static,
    ) -> Result<Loaded> {
        let slot = Arc::clone(self.slots.get(slot)?);
        let _one_at_a_time = slot.loading.lock().await;
        self.configure(&slot);
        let (about, loads) = (request.clone(), Arc::clone(&slot));
        let loaded = blocking("load the model", move || {
            let loaded = loads.engine.load(&request, &mut |stage| {
                progress(stage)?;
                loads.status.stage(&request, stage);
                Ok(())
            })?;
            loads.pipeline.queue.between_frames();
            Ok(loaded)
        })
        .await;
        match &loaded {
            Ok(loaded) => {
                slot.show(&loaded.model);
                tracing::info!(slot = %slot.name, model = %loaded.model.name, version = %loaded.model.version, digest = %loaded.model.digest, swap_gap_us = loaded.swapped.gap_us(), io_binding = loaded.model.binds(), "model active");
                slot.status.active(&about, loaded);
            }
            Err(error) => {
                tracing::error!(slot = %slot.name, %error, bundle = %about.path.display(), "model not loaded; what ran before keeps running");
                slot.status.failed(&about, error);
            }
        }
        loaded
    }

    /// What the parameters say now is how the next session is built.
    fn configure(&self, slot: &ModelSlot) {
        slot.engine.set_options(SessionOptions { labels: slot.decoding.labels(), ..self.session.options() });
        slot.engine.set_keep_previous(self.session.keep_previous.get());
    }

    async fn rollback_model(&self, request: &RollbackModel::Request) -> RollbackModel::Response {
        let rolled = match self.slots.get(&request.slot) {
            Ok(slot) => self.roll_back(slot).await,
            Err(error) => Err(error),
        };
        match rolled {
            Ok(loaded) => RollbackModel::Response {
                success: true,
                message: String::new(),
                model_name: loaded.model.name.clone(),
                model_version: loaded.model.version.clone(),
                digest: loaded.model.digest.to_string(),
                swap_gap_us: loaded.swapped.gap_us(),
            },
            Err(error) => {
                RollbackModel::Response { message: error.to_string(), digest: self.running_digest(&request.slot), ..Default::default() }
            }
        }
    }

    async fn roll_back(&self, slot: &Arc<ModelSlot>) -> Result<Loaded> {
        let loaded = slot.engine.roll_back()?;
        let waits = Arc::clone(slot);
        blocking("wait for the frame in hand", move || {
            waits.pipeline.queue.between_frames();
            Ok(())
        })
        .await?;
        slot.show(&loaded.model);
        tracing::warn!(slot = %slot.name, model = %loaded.model.name, version = %loaded.model.version, digest = %loaded.model.digest, "rolled back");
        slot.status.rolled_back(&loaded);
        Ok(loaded)
    }

    async fn set_shadow(&self, request: SetShadow::Request) -> SetShadow::Response {
        match self.try_set_shadow(request).await {
            Ok(digest) => SetShadow::Response { success: true, message: String::new(), digest },
            Err(error) => SetShadow::Response { message: error.to_string(), ..Default::default() },
        }
    }

    async fn try_set_shadow(&self, request: SetShadow::Request) -> Result<String> {
        let SetShadow::Request { slot, bundle_path, model_name, model_version, digest } = request;
        let slot = Arc::clone(self.slots.get(&slot)?);
        if bundle_path.is_empty() {
            slot.shadow.set(None);
            return Ok(String::new());
        }
        let load = parse(bundle_path, model_name, model_version, &digest)?;
        let _one_at_a_time = slot.loading.lock().await;
        self.configure(&slot);
        let builds = Arc::clone(&slot);
        let model = blocking("load the shadow", move || builds.engine.build(&load, &mut |_| Ok(()))).await?;
        // The topic is there while somebody may want to hear it.
        let publisher: Publisher<ShadowResult> =
            self.node.create_publisher(&topic(&slot.name, "shadow"), edgeflow_ros::QosProfile::default())?;
        let digest = model.digest.to_string();
        tracing::info!(slot = %slot.name, model = %model.name, version = %model.version, %digest, "shadow model running");
        slot.shadow.set(Some(Shadow::start(slot.name.clone(), model, Arc::new(publisher))?));
        Ok(digest)
    }

    async fn save_snapshot(&self, request: SaveSnapshot::Request) -> SaveSnapshot::Response {
        let saved = match self.slots.get(&request.slot) {
            Ok(slot) => Arc::clone(&slot.recorder).save(&request.path, request.after_frames).await,
            Err(error) => Err(error),
        };
        match saved {
            Ok(saved) => SaveSnapshot::Response {
                success: true,
                message: saved.note,
                path: saved.path.to_string_lossy().into_owned(),
                frames: saved.frames,
            },
            Err(error) => SaveSnapshot::Response { message: error.to_string(), ..Default::default() },
        }
    }
}

/// What all ways to ask for a load have in common.
pub(super) fn parse(bundle_path: String, name: String, version: String, digest: &str) -> Result<LoadRequest> {
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

fn respond<S: Service>(request: ServiceRequest<S>, response: S::Response) {
    if let Err(error) = request.respond(response) {
        tracing::warn!(%error, "a service response was not sent");
    }
}
