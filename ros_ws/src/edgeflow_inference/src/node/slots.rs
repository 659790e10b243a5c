//! The node's model slots: each has a model, a camera's frames, requests and a status of its own, and they share one ONNX
//! Runtime.

use std::sync::Arc;

use super::decoding::DecodingParameters;
use super::params::BundleParameters;
use super::pipeline::Pipeline;
use super::shadow::ShadowSeat;
use super::snapshot::Recorder;
use super::status::StatusBoard;
use super::tally::Counters;
use super::vision::VisionTopics;
use crate::engine::{Engine, Model, Requests};
use crate::http::Served;
use crate::{Error, Result};

/// The slot of a node that names none. Its topics are the node's own.
pub(super) const DEFAULT_SLOT: &str = "default";

/// Private name of a slot's topic: `~/image`, or `~/SLOT/image` when the slot is not the default one.
pub(super) fn topic(slot: &str, leaf: &str) -> String {
    if slot == DEFAULT_SLOT { format!("~/{leaf}") } else { format!("~/{slot}/{leaf}") }
}

/// Name of a slot's parameter: `bundle_path`, or `SLOT.bundle_path` when the slot is not the default one.
pub(super) fn parameter(slot: &str, leaf: &str) -> String {
    if slot == DEFAULT_SLOT { leaf.to_owned() } else { format!("{slot}.{leaf}") }
}

/// Everything of one slot.
pub(super) struct ModelSlot {
    pub(super) name: String,
    pub(super) engine: Arc<Engine>,
    pub(super) requests: Arc<Requests>,
    pub(super) pipeline: Pipeline,
    pub(super) status: StatusBoard,
    pub(super) shadow: Arc<ShadowSeat>,
    pub(super) vision: Arc<VisionTopics>,
    /// How outputs are read.
    pub(super) decoding: DecodingParameters,
    pub(super) recorder: Arc<Recorder>,
    /// What configure loads.
    pub(super) bundle: BundleParameters,
    /// One load at a time, with its statuses in one piece.
    pub(super) loading: tokio::sync::Mutex<()>,
}

impl ModelSlot {
    /// As HTTP sees it.
    pub(super) fn served(self: &Arc<Self>, node: &str) -> Served {
        let (gate, counts, node) = (Arc::clone(self), Arc::clone(self), node.to_owned());
        Served {
            name: self.name.clone(),
            engine: Arc::clone(&self.engine),
            requests: Arc::clone(&self.requests),
            available: Arc::new(move || if gate.pipeline.is_active() { Ok(()) } else { Err(Error::NotActive { node: node.clone() }) }),
            frames: Arc::new(move || {
                let Counters { results, refused, without_model, dropped, gathered, .. } = counts.pipeline.counters();
                let [refused, gathered] = [("refused", refused), ("gathered", gathered)];
                vec![("result", results), refused, ("without_model", without_model), ("dropped", dropped), gathered]
            }),
        }
    }

    /// Digest of the bundle that serves frames now; empty when none does.
    pub(super) fn running_digest(&self) -> String {
        self.engine.current().map(|m| m.digest.to_string()).unwrap_or_default()
    }

    /// Sees to it that the slot has the topics of a model that now serves its frames, if it is still the one.
    pub(super) fn show(&self, model: &Arc<Model>) {
        if !self.engine.current().is_ok_and(|current| Arc::ptr_eq(&current, model)) {
            return;
        }
        if let Err(error) = self.vision.show(model, &self.decoding.thresholds()) {
            tracing::error!(slot = %self.name, %error, "results cannot be published");
        }
    }

    /// Frees the model, the one before, the shadow and the frames that are kept.
    pub(super) fn unload(&self) {
        self.shadow.set(None);
        self.vision.clear();
        self.recorder.clear();
        if let Some(model) = self.engine.unload() {
            tracing::info!(slot = %self.name, model = %model.name, version = %model.version, "model unloaded");
        }
    }
}

/// The slots, in the order in which the parameter names them; at least one.
#[derive(Clone)]
pub(super) struct Slots(Arc<[Arc<ModelSlot>]>);

impl Slots {
    pub(super) fn new(slots: Vec<Arc<ModelSlot>>) -> Self {
        Self(slots.into())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<ModelSlot>> {
        self.0.iter()
    }

    /// The slot of that name; the first one when it is empty.
    pub(super) fn get(&self, name: &str) -> Result<&Arc<ModelSlot>> {
        self.iter().find(|slot| name.is_empty() || slot.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.iter().map(|slot| slot.name.as_str()).collect();
            Error::UnknownSlot { slot: name.to_owned(), known: known.join(", ") }
        })
    }
}
