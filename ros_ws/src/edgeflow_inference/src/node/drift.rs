//! Watches what the model sees and says against its bundle's baseline, or against one learnt from the first frames.

use edgeflow_bundle::Digest;
use edgeflow_drift::{Baseline, Monitor, OUTPUT_PREFIX};
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::std_msgs::msg::Header;

use super::messages;
use super::params::DriftParameters;
use crate::Result;
use crate::engine::{Inference, Model};
use crate::watch::{Measures, Seen};

/// The drift of one stream of frames.
pub(super) struct DriftWatch {
    params: DriftParameters,
    /// What `~/set_baseline` asked for.
    set: Option<Set>,
    watching: Option<Watching>,
}

/// What frames are held against in place of the bundle's baseline.
#[derive(Clone, Debug)]
pub(super) enum Reference {
    /// This.
    Baseline(Baseline),
    /// What the next so many frames show.
    Learn(u64),
}

struct Set {
    /// It holds for this model and no other.
    digest: Digest,
    reference: Reference,
}

struct Watching {
    digest: Digest,
    /// Text of the bundle's baseline; `None` when there is none.
    baseline: Option<String>,
    measures: Measures,
    monitor: Monitor,
    /// Features whose baseline is known by now.
    known: usize,
}

impl DriftWatch {
    /// A watch that begins with the first frame.
    pub(super) fn new(params: DriftParameters) -> Self {
        Self { params, set: None, watching: None }
    }

    /// Begins anew with the next frame: an empty window, nothing flagged, and what was learnt is learnt anew. What
    /// `~/set_baseline` asked for holds.
    pub(super) fn reset(&mut self) {
        self.watching = None;
    }

    /// Holds this model's frames against something else from the next frame on.
    ///
    /// # Errors
    /// A baseline over features that the model's frames and answers do not have, or too few frames; nothing changes then.
    pub(super) fn set(&mut self, model: &Model, reference: Reference) -> Result<()> {
        let set = Some(Set { digest: model.digest, reference });
        let watching = self.begin(model, set.as_ref())?;
        (self.set, self.watching) = (set, Some(watching));
        Ok(())
    }

    /// Takes in a frame that `model` saw, and its answer; gives a report when it closes a window.
    ///
    /// The reference follows the model: another baseline begins a new window. A baseline that is the same to the byte
    /// (or none, which means that frames are held against the camera's own first ones) keeps the window of the inputs going;
    /// what was learnt of another model's answers is learnt anew.
    ///
    /// # Errors
    /// A baseline that cannot be used.
    pub(super) fn observe(
        &mut self,
        model: &Model,
        seen: Seen<'_>,
        answer: Option<&Inference>,
        header: &Header,
    ) -> Result<Option<DriftReport>> {
        if self.set.as_ref().is_some_and(|set| set.digest != model.digest) {
            tracing::info!(model = %model.name, "another model: what ~/set_baseline asked for the one before holds no longer");
            (self.set, self.watching) = (None, None);
        }
        let watching = match self.watching.take() {
            Some(watching) if watching.digest == model.digest => watching,
            Some(watching) if watching.baseline.as_ref() == model.baseline.as_ref().map(|(text, _)| text) => watching.follow(model)?,
            _ => self.begin(model, self.set.as_ref())?,
        };
        let watching = self.watching.insert(watching);
        let values = watching.measures.values(seen, answer)?;
        watching.monitor.configure(self.params.config())?;
        let report = watching.monitor.push(messages::nanoseconds(&header.stamp), &values)?;
        let known = watching.monitor.known();
        if known > std::mem::replace(&mut watching.known, known) {
            tracing::info!(features = known, "drift baseline learnt; from here on frames are held against it");
        }
        Ok(report.map(|r| messages::drift_report(model, header.clone(), &r)))
    }

    fn begin(&self, model: &Model, set: Option<&Set>) -> Result<Watching> {
        let (known, frames) = match set.map(|set| &set.reference) {
            Some(Reference::Baseline(baseline)) => (Some(baseline), self.params.baseline_frames()),
            Some(Reference::Learn(frames)) => (None, *frames),
            None => (model.baseline.as_ref().map(|(_, baseline)| baseline), self.params.baseline_frames()),
        };
        let measures = Measures::of(model, known)?;
        let monitor = Monitor::mixed(measures.features(), known, frames, self.params.config())?;
        if monitor.is_learning() {
            tracing::info!(frames, model = %model.name, "learning the drift baseline of what has none from the next frames");
        }
        let baseline = model.baseline.as_ref().map(|(text, _)| text.clone());
        Ok(Watching { digest: model.digest, baseline, measures, known: monitor.known(), monitor })
    }
}

impl Watching {
    /// Goes on under another model with the same reference.
    fn follow(mut self, model: &Model) -> Result<Self> {
        let known = model.baseline.as_ref().map(|(_, baseline)| baseline);
        let in_bundle = |name: &str| known.is_some_and(|baseline| baseline.features.iter().any(|feature| feature.name == name));
        self.measures = Measures::of(model, known)?;
        // The camera is the same one; another model's answers are others.
        self.monitor.replace_features(self.measures.features(), |name| !name.starts_with(OUTPUT_PREFIX) || in_bundle(name));
        (self.digest, self.known) = (model.digest, self.monitor.known());
        Ok(self)
    }
}
