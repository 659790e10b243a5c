//! Watches the frames the model sees against its bundle's baseline, or against one learnt from the first frames.

use edgeflow_drift::{Config, IMAGE_FEATURES, Monitor, image_features};
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::std_msgs::msg::Header;

use super::messages;
use crate::Result;
use crate::engine::Model;
use crate::image::{CheckedFrame, gray};

/// The drift of one stream of frames.
pub(super) struct DriftWatch {
    config: Config,
    learn_frames: u64,
    watching: Option<Watching>,
}

struct Watching {
    /// Text of the bundle's baseline; `None` when it is learnt here.
    baseline: Option<String>,
    monitor: Monitor,
    /// For each of the baseline's features, its place in [`IMAGE_FEATURES`].
    order: Vec<usize>,
    learning: bool,
}

impl DriftWatch {
    /// A watch that begins with the first frame.
    ///
    /// # Errors
    /// Settings out of range.
    pub(super) fn new(config: Config, learn_frames: u64) -> Result<Self> {
        Monitor::learning(&IMAGE_FEATURES, learn_frames, config)?;
        Ok(Self { config, learn_frames, watching: None })
    }

    /// Takes in a frame that `model` saw; gives a report when it fills a window.
    ///
    /// The reference follows the model: another baseline begins a new window. A baseline that is the same to the byte
    /// (or none, which means that frames are held against the camera's own first ones) keeps the window going.
    ///
    /// # Errors
    /// A baseline that cannot be used.
    pub(super) fn observe(&mut self, model: &Model, frame: &CheckedFrame<'_>, header: &Header) -> Result<Option<DriftReport>> {
        let watching = match self.watching.take() {
            Some(watching) if watching.baseline.as_ref() == model.baseline.as_ref().map(|(text, _)| text) => watching,
            _ => self.begin(model)?,
        };
        let watching = self.watching.insert(watching);
        let (pixels, step) = gray(frame);
        let values = image_features(&pixels, frame.width, frame.height, step)?.values();
        let ordered: Vec<f64> = watching.order.iter().map(|i| values[*i]).collect();
        let report = watching.monitor.push(messages::nanoseconds(&header.stamp), &ordered)?;
        if watching.learning && watching.monitor.baseline().is_some() {
            watching.learning = false;
            tracing::info!(frames = self.learn_frames, "drift baseline learnt; from here on frames are held against it");
        }
        Ok(report.map(|r| messages::drift_report(model, header.clone(), &r)))
    }

    fn begin(&self, model: &Model) -> Result<Watching> {
        let place = |name: &str| IMAGE_FEATURES.iter().position(|(known, _)| *known == name);
        Ok(match &model.baseline {
            Some((text, baseline)) => Watching {
                baseline: Some(text.clone()),
                // The model's load has refused features a frame does not have.
                order: baseline.features.iter().filter_map(|f| place(&f.name)).collect(),
                monitor: Monitor::new(baseline.clone(), self.config)?,
                learning: false,
            },
            None => {
                tracing::info!(frames = self.learn_frames, model = %model.name, "the bundle has no baseline.json: learning a drift baseline from the first frames");
                Watching {
                    baseline: None,
                    order: (0..IMAGE_FEATURES.len()).collect(),
                    monitor: Monitor::learning(&IMAGE_FEATURES, self.learn_frames, self.config)?,
                    learning: true,
                }
            }
        })
    }
}
