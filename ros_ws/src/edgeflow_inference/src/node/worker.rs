//! The thread that computes frames, one after the other, and publishes what they gave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgeflow_ros::Publisher;
use edgeflow_ros::edgeflow_msgs::msg::{DriftReport, InferenceResult};
use edgeflow_ros::std_msgs::msg::Header;

use super::adapted::Gatherer;
use super::decoding::DecodingParameters;
use super::drift::DriftWatch;
use super::frames::{FrameQueue, Input, Opened, Queued};
use super::messages;
use super::shadow::{Answered, ShadowSeat};
use super::snapshot::Recorder;
use super::tally::{Counters, Tally};
use super::vision::VisionTopics;
use crate::engine::{Engine, Inference, Model};
use crate::watch::Seen;
use crate::{Error, Result};

/// How often at most a fault that repeats with every frame is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Where results and reports go, and where they are kept.
pub(super) struct Outputs {
    pub(super) results: Publisher<InferenceResult>,
    pub(super) reports: Publisher<DriftReport>,
    /// For snapshots.
    pub(super) recorder: Arc<Recorder>,
}

pub(super) struct Worker {
    pub(super) slot: String,
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<FrameQueue>,
    pub(super) outputs: Arc<Outputs>,
    pub(super) drift: Arc<Mutex<DriftWatch>>,
    pub(super) shadow: Arc<ShadowSeat>,
    pub(super) vision: Arc<VisionTopics>,
    pub(super) decoding: DecodingParameters,
    pub(super) tally: Arc<Tally>,
    pub(super) gatherer: Gatherer,
    /// When a frame without a result was logged last.
    pub(super) logged: Option<Instant>,
}

impl Worker {
    /// Computes frames until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(queued) = self.queue.pop() {
            let Queued { input, arrived } = queued;
            let input = Arc::new(input);
            self.outputs.recorder.begin(&input, arrived);
            let computed = self.one(input, arrived);
            self.outputs.recorder.end();
            match computed {
                Ok(true) => self.tally.result(arrived.elapsed()),
                // It waits in a window for others.
                Ok(false) => {}
                Err(error) => {
                    self.tally.without_result(&error);
                    self.log(&error);
                }
            }
        }
    }

    /// One frame: the model is taken once, so that result, drift and shadow are about the same one. Whether it gave a result.
    fn one(&mut self, input: Arc<Input>, arrived: Instant) -> Result<bool> {
        let model = self.engine.current()?;
        let asked = self.decoding.thresholds();
        let header = input.header();
        let (mut space, mut window) = (None, None);
        let inference = match input.open(&mut space)? {
            Opened::Frame(frame) => {
                let frame = frame.check()?;
                let inference = model.infer_frame_with(&frame, &asked);
                if let Ok(inference) = &inference {
                    self.publish(&model, header, arrived, inference)?;
                    self.vision.publish(&model, header, Some(&frame), inference, &asked)?;
                }
                // After the result, which somebody waits for. A frame the model failed on was still seen by the camera.
                self.observe(&model, Seen::Image(&frame), inference.as_ref().ok(), header)?;
                inference?
            }
            other => {
                let (inputs, numbers);
                let (inference, seen) = match other {
                    Opened::Tensors(tensors) => {
                        inputs = tensors;
                        // Of a model with messages of its own, tensors are a way around its sensor.
                        let seen = if model.has_feed() { None } else { Some(Seen::Tensors(&inputs)) };
                        (model.infer_tensors_with(&inputs, &asked)?, seen)
                    }
                    Opened::Cloud(cloud) => {
                        let adapted = model.adapter("point_cloud")?.cloud(&cloud)?;
                        numbers = adapted.numbers;
                        (model.infer_table(adapted.tensor, &asked)?, Some(Seen::Numbers(&numbers)))
                    }
                    _ => {
                        let Some(adapted) = self.gatherer.gather(&model, &input, &self.tally)? else { return Ok(false) };
                        numbers = adapted.numbers;
                        (model.infer_table(window.insert(adapted.tensor).clone(), &asked)?, Some(Seen::Numbers(&numbers)))
                    }
                };
                self.publish(&model, header, arrived, &inference)?;
                self.vision.publish(&model, header, None, &inference, &asked)?;
                if let Some(seen) = seen {
                    self.observe(&model, seen, Some(&inference), header)?;
                }
                inference
            }
        };
        self.shadow.offer(|| Answered { input, window, model, inference, latency: arrived.elapsed() });
        Ok(true)
    }

    fn observe(&mut self, model: &Model, seen: Seen<'_>, answer: Option<&Inference>, header: &Header) -> Result<()> {
        let observed = self.drift.lock().unwrap_or_else(PoisonError::into_inner).observe(model, seen, answer, header);
        match observed {
            Ok(Some(report)) => {
                tracing::debug!(window = report.window, flagged = report.flagged, max_psi = report.max_psi, "drift window closed");
                self.tally.window(&report);
                self.outputs.recorder.drift(&report);
                self.outputs.reports.publish(&report)?;
            }
            Ok(None) => {}
            Err(error) => self.log(&error),
        }
        Ok(())
    }

    fn publish(&self, model: &Model, header: &Header, arrived: Instant, inference: &Inference) -> Result<()> {
        let mut result = messages::result(model, header.clone(), inference);
        result.slot.clone_from(&self.slot);
        result.latency_us = u32::try_from(arrived.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.outputs.recorder.result(&result);
        Ok(self.outputs.results.publish(&result)?)
    }

    fn log(&mut self, error: &Error) {
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.logged = Some(Instant::now());
            let Counters { refused, without_model, .. } = self.tally.counters(&self.queue);
            tracing::warn!(%error, refused, without_model, "frame without a result");
        }
    }
}
