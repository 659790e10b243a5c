//! Drift of a feature's distribution, without crying wolf: baselines, windows, statistics, verdicts.
//!
//! Frames give one number per feature (see [`image_features`]). A [`Baseline`] holds each feature's histogram over fixed
//! edges; a [`Monitor`] fills [`Window`]s over the same edges and, when one is full, says how far it is from the baseline
//! ([`stats`]) and whether that is more than chance ([`null`]) at a stated false-alarm rate. `docs/drift.md` has the
//! formulas, their sources and the measured rates. Everything here is pure: no clock, no IO.

mod baseline;
mod builder;
mod error;
mod features;
mod monitor;
pub mod null;
mod report;
pub mod stats;
mod window;

pub use baseline::{Baseline, BaselineSource, FeatureBaseline};
pub use builder::{BaselineBuilder, DEFAULT_BINS};
pub use error::{Error, Result};
pub use features::{IMAGE_FEATURES, ImageFeatures, image_features};
pub use monitor::{Config, Monitor};
pub use report::{FeatureReport, Report};
pub use window::{FeatureWindow, Window};
