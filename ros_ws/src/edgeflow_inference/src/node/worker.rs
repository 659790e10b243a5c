//! The thread that computes frames, one after the other, and publishes what they gave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgeflow_ros::Publisher;
use edgeflow_ros::edgeflow_msgs::msg::{DriftReport, InferenceResult};
use edgeflow_ros::std_msgs::msg::Header;

use super::adapted::{self, Gatherer};
use super::drift::DriftWatch;
use super::frames::{FrameQueue, Input, Queued};
use super::messages;
use super::shadow::{Answered, ShadowSeat};
use super::tally::{Counters, Tally};
use crate::engine::{Engine, Inference, Model};
use crate::image::CheckedFrame;
use crate::{Error, Result};

/// How often at most a fault that repeats with every frame is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Where results and reports go.
pub(super) struct Outputs {
    pub(super) results: Publisher<InferenceResult>,
    pub(super) reports: Publisher<DriftReport>,
}

pub(super) struct Worker {
    pub(super) slot: String,
    pub(super) engine: Arc<Engine>,
    pub(super) queue: Arc<FrameQueue>,
    pub(super) outputs: Arc<Outputs>,
    pub(super) drift: DriftWatch,
    pub(super) shadow: Arc<ShadowSeat>,
    pub(super) tally: Arc<Tally>,
    pub(super) gatherer: Gatherer,
    /// When a frame without a result was logged last.
    pub(super) logged: Option<Instant>,
}

impl Worker {
    /// Computes frames until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(queued) = self.queue.pop() {
            let arrived = queued.arrived;
            match self.one(queued) {
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
    fn one(&mut self, Queued { input, arrived }: Queued) -> Result<bool> {
        let model = self.engine.current()?;
        let mut window = None;
        let inference = match &input {
            Input::Image(image) => {
                let frame = messages::frame(image).check()?;
                let inference = model.infer_frame(&frame);
                if let Ok(inference) = &inference {
                    self.publish(&model, input.header(), arrived, inference)?;
                }
                // After the result, which somebody waits for. A frame the model failed on was still seen by the camera.
                self.observe(&model, &frame, input.header())?;
                inference?
            }
            Input::Tensors(list) => {
                let tensors = list.tensors.iter().map(messages::from_message).collect::<Result<Vec<_>>>()?;
                let inference = model.infer_tensors(&tensors)?;
                self.publish(&model, input.header(), arrived, &inference)?;
                inference
            }
            Input::Points(cloud) => {
                let inference = model.infer_cloud(&adapted::cloud(cloud))?;
                self.publish(&model, input.header(), arrived, &inference)?;
                inference
            }
            Input::Imu(_) | Input::Joints(_) | Input::Array(..) => {
                let Some(tensor) = self.gatherer.gather(&model, &input, &self.tally)? else { return Ok(false) };
                let inference = model.infer_table(window.insert(tensor).clone())?;
                self.publish(&model, input.header(), arrived, &inference)?;
                inference
            }
        };
        self.shadow.offer(|| Answered { input, window, model, inference, latency: arrived.elapsed() });
        Ok(true)
    }

    fn observe(&mut self, model: &Model, frame: &CheckedFrame<'_>, header: &Header) -> Result<()> {
        match self.drift.observe(model, frame, header) {
            Ok(Some(report)) => {
                tracing::debug!(window = report.window, flagged = report.flagged, max_psi = report.max_psi, "drift window closed");
                self.tally.window(&report);
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
