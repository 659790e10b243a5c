//! Drift of a feature's distribution, without crying wolf: baselines, windows, statistics, verdicts.
//!
//! Frames give one number per feature (see [`image_features`]). A [`Baseline`] holds each feature's histogram over fixed
//! edges, or its categories; a [`Monitor`] fills windows over the same bins and, when one is full, says how far it is from the
//! baseline ([`stats`]) and whether that is more than chance ([`null`]) at a stated number of false alarms a day.
//! [`Window`]s add up exactly, over time and over robots. `docs/drift.md` has the
//! formulas, their sources and the measured rates. Everything here is pure: no clock, no IO.

mod baseline;
mod builder;
mod decision;
mod error;
mod evidence;
mod features;
mod learner;
mod monitor;
pub mod null;
mod report;
pub mod stats;
mod watched;
mod window;

pub use baseline::{Baseline, BaselineSource, Category, FeatureBaseline, OTHER};
pub use builder::{BaselineBuilder, DEFAULT_BINS, Feature, Kind};
pub use error::{Error, Result};
pub use features::{IMAGE_FEATURES, ImageFeatures, OUTPUT_PREFIX, channel_means, image_features, luma};
pub use monitor::{Config, LEAST_WINDOW_FRAMES, Monitor};
pub use report::{FeatureReport, Report};
pub use window::{FeatureWindow, Window};
