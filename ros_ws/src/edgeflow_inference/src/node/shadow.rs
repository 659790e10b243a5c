//! A shadow model: it sees the frames the active model has answered, on a thread of its own, and what it makes of them is
//! compared and never published as a result. It lags behind by a few frames at most; what it is too slow for is skipped and
//! counted.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgeflow_bundle::Digest;
use edgeflow_ros::Publisher;
use edgeflow_ros::edgeflow_msgs::msg::ShadowResult;

use super::frames::{Input, Opened};
use crate::decode::Thresholds;
use crate::engine::{Inference, Model};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Frames that may wait for the shadow.
const LAG: usize = 2;

/// A frame and what the active model made of it.
pub(super) struct Answered {
    pub(super) input: Arc<Input>,
    /// The graph's input, where it was gathered from this message and others.
    pub(super) window: Option<Tensor>,
    pub(super) model: Arc<Model>,
    pub(super) inference: Inference,
    /// From its arrival to its result.
    pub(super) latency: Duration,
}

/// Where a slot's shadow is, if it has one.
#[derive(Default)]
pub(super) struct ShadowSeat(Mutex<Option<Shadow>>);

/// A shadow model at work; dropped, its thread ends after the frame in hand.
pub(super) struct Shadow {
    frames: SyncSender<(Answered, u64)>,
    skipped: u64,
}

impl ShadowSeat {
    /// Replaces the shadow, or takes it away.
    pub(super) fn set(&self, shadow: Option<Shadow>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shadow;
    }

    /// Hands a frame to the shadow, if there is one and it is not too far behind. Never waits.
    pub(super) fn offer(&self, answered: impl FnOnce() -> Answered) {
        let mut seat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shadow) = seat.as_mut() else { return };
        match shadow.frames.try_send((answered(), shadow.skipped)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => shadow.skipped += 1,
            // It died of a panic, which was logged.
            Err(TrySendError::Disconnected(_)) => *seat = None,
        }
    }
}

impl Shadow {
    /// Starts the thread of a model that was built beside the active one.
    pub(super) fn start(slot: String, model: Arc<Model>, publisher: Arc<Publisher<ShadowResult>>) -> Result<Self> {
        let (frames, waiting) = sync_channel(LAG);
        let runtime = tokio::runtime::Handle::current();
        let work = move || {
            // Publishing may want the runtime's reactor.
            let _entered = runtime.enter();
            Watcher { slot, model, publisher, beside: None, score: Score::default() }.run(&waiting);
        };
        std::thread::Builder::new()
            .name("shadow".into())
            .spawn(work)
            .map_err(|source| Error::Io { operation: "start the shadow's thread".into(), source })?;
        Ok(Self { frames, skipped: 0 })
    }
}

/// How the shadow did beside one active model.
#[derive(Clone, Copy, Default)]
struct Score {
    compared: u64,
    agreed: u64,
    failed: u64,
    /// Frames skipped before the first.
    skipped_before: u64,
}

struct Watcher {
    slot: String,
    model: Arc<Model>,
    publisher: Arc<Publisher<ShadowResult>>,
    /// The active model that was compared with last.
    beside: Option<Digest>,
    score: Score,
}

impl Watcher {
    fn run(mut self, waiting: &Receiver<(Answered, u64)>) {
        while let Ok((answered, skipped)) = waiting.recv() {
            let result = self.compare(&answered, skipped);
            if let Err(error) = self.publisher.publish(&result) {
                tracing::warn!(%error, "a shadow's comparison was not published");
            }
        }
    }

    fn compare(&mut self, answered: &Answered, skipped: u64) -> ShadowResult {
        if self.beside.replace(answered.model.digest) != Some(answered.model.digest) {
            self.score = Score { skipped_before: skipped, ..Score::default() };
        }
        let began = Instant::now();
        let own = self.infer(answered);
        let took = began.elapsed();
        let label = |inference: &Inference| inference.classification().map(|c| c.label.clone()).unwrap_or_default();
        let mut result = ShadowResult {
            header: answered.input.header().clone(),
            slot: self.slot.clone(),
            model_digest: answered.model.digest.to_string(),
            shadow_name: self.model.name.clone(),
            shadow_version: self.model.version.clone(),
            shadow_digest: self.model.digest.to_string(),
            label: label(&answered.inference),
            max_difference: f64::NAN,
            latency_us: microseconds(answered.latency),
            shadow_inference_us: microseconds(took),
            ..ShadowResult::default()
        };
        match own {
            Ok(own) => {
                result.agrees = agree(&answered.inference, &own);
                result.max_difference = max_difference(&answered.inference, &own);
                result.shadow_label = label(&own);
                self.score.compared += 1;
                self.score.agreed += u64::from(result.agrees);
            }
            Err(error) => {
                result.error = error.to_string();
                self.score.failed += 1;
            }
        }
        let Score { compared, agreed, failed, skipped_before } = self.score;
        ShadowResult { compared, agreed, failed, skipped: skipped - skipped_before, ..result }
    }

    fn infer(&self, answered: &Answered) -> Result<Inference> {
        if let Some(window) = &answered.window {
            return self.infer_window(window, &answered.model);
        }
        let mut space = None;
        match answered.input.open(&mut space)? {
            Opened::Frame(frame) => self.model.infer_frame(&frame.check()?),
            Opened::Tensors(tensors) => self.model.infer_tensors(&tensors),
            Opened::Cloud(cloud) => self.model.infer_cloud(&cloud, &Thresholds::default()),
            // They come as windows.
            Opened::Sample => Err(Error::NoInput { given: "message", reason: "it is no window".into() }),
        }
    }

    /// A shadow gathers no messages, since it is skipped when it is slow: it is given the active model's window.
    fn infer_window(&self, window: &Tensor, active: &Model) -> Result<Inference> {
        let given = "window";
        let (own, active) = (self.model.adapter(given)?, active.adapter(given)?);
        if own.spec() != active.spec() {
            let reason = "its `input` is another than that of the active model, whose windows it is given".into();
            return Err(Error::NoInput { given, reason });
        }
        self.model.infer_table(Tensor { name: own.tensor().to_owned(), ..window.clone() }, &Thresholds::default())
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// The same class; without classes: every number within 1e-3 + 1 % of the other.
fn agree(active: &Inference, shadow: &Inference) -> bool {
    if let (Some(a), Some(b)) = (active.classification(), shadow.classification()) {
        return a.label == b.label;
    }
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-3 + 0.01 * a.abs() || a == b || (a.is_nan() && b.is_nan());
    active.outputs.len() == shadow.outputs.len()
        && active.outputs.iter().zip(&shadow.outputs).all(|(a, b)| {
            a.name == b.name
                && a.shape == b.shape
                && match (a.data.to_f64(), b.data.to_f64()) {
                    (Some(x), Some(y)) => x.iter().zip(&y).all(|(x, y)| close(*x, *y)),
                    _ => a.data == b.data,
                }
        })
}

/// Greatest difference of any number; NaN when the outputs cannot be compared.
fn max_difference(active: &Inference, shadow: &Inference) -> f64 {
    if active.outputs.len() != shadow.outputs.len() {
        return f64::NAN;
    }
    let mut greatest = 0.0f64;
    for (a, b) in active.outputs.iter().zip(&shadow.outputs) {
        if a.name != b.name || a.shape != b.shape {
            return f64::NAN;
        }
        if let (Some(x), Some(y)) = (a.data.to_f64(), b.data.to_f64()) {
            greatest = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(greatest, f64::max);
        }
    }
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Classification, Decoded};
    use crate::tensor::{Data, Tensor};

    fn inference(label: Option<&str>, values: &[f32]) -> Inference {
        let class =
            |label: &str| Classification { label: label.to_owned(), class_id: 0, score: 1.0, scores: values.to_vec(), best: vec![0] };
        let decoded = label.map_or(Decoded::Tensors(vec![0]), |label| Decoded::Classification(class(label)));
        let data = Data::F32(values.to_vec());
        Inference { decoded, outputs: vec![Tensor::new("y", vec![values.len() as i64], data).unwrap()] }
    }

    #[test]
    fn classes_agree_by_label_and_tensors_by_closeness() {
        let cases = [
            (inference(Some("a"), &[1.0]), inference(Some("a"), &[0.6]), true, 0.4),
            (inference(Some("a"), &[1.0]), inference(Some("b"), &[1.0]), false, 0.0),
            (inference(None, &[100.0, 0.0]), inference(None, &[100.5, 0.0005]), true, 0.5),
            (inference(None, &[100.0, 0.0]), inference(None, &[100.0, 0.25]), false, 0.25),
            (inference(None, &[f32::NAN]), inference(None, &[f32::NAN]), true, 0.0),
        ];
        for (a, b, agrees, difference) in cases {
            assert_eq!(agree(&a, &b), agrees, "{a:?} {b:?}");
            assert!((max_difference(&a, &b) - difference).abs() < 1e-6, "{a:?} {b:?}");
        }
        let (one, two) = (inference(None, &[1.0]), inference(None, &[1.0, 1.0]));
        assert!(!agree(&one, &two) && max_difference(&one, &two).is_nan());
    }
}
