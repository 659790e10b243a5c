//! The thread that computes frames, one after the other, and publishes what they gave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgeflow_ros::Publisher;
use edgeflow_ros::edgeflow_msgs::msg::{DriftReport, InferenceResult};

use super::drift::DriftWatch;
use super::frames::{FrameQueue, Queued};
use super::messages;
use crate::engine::Engine;
use crate::{Error, Result};

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Results published.
    pub results: u64,
    /// Frames that were refused, or on which the model failed.
    pub refused: u64,
    /// Frames that came while no model was loaded.
    pub without_model: u64,
    /// Frames that did not fit the queue.
    pub dropped: u64,
}

/// How often at most a fault that repeats with every frame is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    engine: Arc<Engine>,
    queue: Arc<FrameQueue>,
    results: Publisher<InferenceResult>,
    reports: Publisher<DriftReport>,
    drift: DriftWatch,
    counters: Counters,
    logged: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        engine: Arc<Engine>,
        queue: Arc<FrameQueue>,
        results: Publisher<InferenceResult>,
        reports: Publisher<DriftReport>,
        drift: DriftWatch,
    ) -> Self {
        Self { engine, queue, results, reports, drift, counters: Counters::default(), logged: None }
    }

    /// Computes frames until the queue is closed and empty.
    pub(super) fn run(mut self) -> Counters {
        while let Some(queued) = self.queue.pop() {
            match self.one(queued) {
                Ok(()) => self.counters.results += 1,
                Err(Error::NoModel) => {
                    self.counters.without_model += 1;
                    self.log(&Error::NoModel);
                }
                Err(error) => {
                    self.counters.refused += 1;
                    self.log(&error);
                }
            }
        }
        self.counters.dropped = self.queue.dropped();
        self.counters
    }

    /// One frame: the model is taken once, so that result and drift are about the same one.
    fn one(&mut self, Queued { image, arrived }: Queued) -> Result<()> {
        let model = self.engine.current()?;
        let frame = messages::frame(&image).check()?;
        let inference = model.infer_frame(&frame);
        if let Ok(inference) = &inference {
            let mut result = messages::result(&model, image.header.clone(), inference);
            result.latency_us = u32::try_from(arrived.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.results.publish(&result)?;
        }
        // After the result, which somebody waits for. A frame the model failed on was still seen by the camera.
        match self.drift.observe(&model, &frame, &image.header) {
            Ok(Some(report)) => {
                tracing::debug!(window = report.window, flagged = report.flagged, max_psi = report.max_psi, "drift window closed");
                self.reports.publish(&report)?;
            }
            Ok(None) => {}
            Err(error) => self.log(&error),
        }
        inference.map(drop)
    }

    fn log(&mut self, error: &Error) {
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.logged = Some(Instant::now());
            let Counters { refused, without_model, .. } = self.counters;
            tracing::warn!(%error, refused, without_model, "frame without a result");
        }
    }
}
