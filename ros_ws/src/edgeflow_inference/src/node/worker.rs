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
                let mut inputs = Vec::new();
                let inference = match other {
                    Opened::Tensors(tensors) => {
                        inputs = tensors;
                        model.infer_tensors_with(&inputs, &asked)?
                    }
                    Opened::Cloud(cloud) => model.infer_cloud(&cloud, &asked)?,
                    _ => {
                        let Some(tensor) = self.gatherer.gather(&model, &input, &self.tally)? else { return Ok(false) };
                        model.infer_table(window.insert(tensor).clone(), &asked)?
                    }
                };
                self.publish(&model, header, arrived, &inference)?;
                self.vision.publish(&model, header, None, &inference, &asked)?;
                // Of a model for images, tensors are a way around the camera. A scan has no features of its own; the answer has.
                if !model.takes_images() {
                    let inputs = window.as_ref().map_or(&inputs[..], std::slice::from_ref);
                    self.observe(&model, Seen::Tensors(inputs), Some(&inference), header)?;
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
