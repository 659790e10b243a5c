//! Fills windows, closes them, and decides: two significant windows in a row flag, two clean ones clear.

use crate::decision::{Chance, alarms_per_window, levels};
use crate::evidence::Evidence;
use crate::learner::Learner;
use crate::watched::Watched;
use crate::{Baseline, BaselineSource, Error, Feature, FeatureBaseline, FeatureReport, Report, Result};

/// Fewest frames of a window, of any duration.
pub const LEAST_WINDOW_FRAMES: u64 = 20;

/// Fewest frames to learn a baseline from.
const LEAST_LEARNING_FRAMES: u64 = 100;

/// Times from frame to frame that are believed, and the one where stamps do not tell.
const SHORTEST_PERIOD_S: f64 = 1e-5;
const LONGEST_PERIOD_S: f64 = 3600.0;
const ASSUMED_PERIOD_S: f64 = 1.0 / 30.0;

/// Settings of a [`Monitor`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Frames to a window, at least 20.
    pub window_frames: u64,
    /// Close a window that has lasted as long, seconds of stamps, although it is not full, once it has 20 frames; 0: never.
    pub window_s: f64,
    /// False flags per day over all features, above 0, at most 1000.
    pub false_alarms_per_day: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config { window_frames: 100, window_s: 0.0, false_alarms_per_day: 0.1 }
    }
}

impl Config {
    /// Whether its values are in range.
    ///
    /// # Errors
    /// [`Error::Setting`] names the one that is not.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key, given: String, allowed| Err(Error::Setting { key, given, allowed });
        if self.window_frames < LEAST_WINDOW_FRAMES {
            return wrong("window_frames", self.window_frames.to_string(), "at least 20");
        }
        if !(self.window_s >= 0.0 && self.window_s <= 86_400.0) {
            return wrong("window_s", self.window_s.to_string(), "0 to 86400 seconds");
        }
        if !(self.false_alarms_per_day > 0.0 && self.false_alarms_per_day <= 1000.0) {
            let given = self.false_alarms_per_day.to_string();
            return wrong("false_alarms_per_day", given, "a number above 0 and at most 1000");
        }
        Ok(())
    }
}

/// Watches one stream of frames: each feature against its baseline, or, where there is none, against one learnt from the
/// first frames.
#[derive(Debug, Clone)]
pub struct Monitor {
    config: Config,
    /// Settings from the next window on.
    next: Config,
    /// What each value of a frame is.
    features: Vec<Feature>,
    watched: Vec<Watched>,
    learner: Learner,
    frames: u64,
    start_ns: i64,
    closed: u64,
}

impl Monitor {
    /// Watches against a baseline that is known; values are pushed in its order.
    ///
    /// # Errors
    /// [`Error::Baseline`] when it contradicts itself, [`Error::Setting`] when a setting is out of range.
    pub fn new(baseline: Baseline, config: Config) -> Result<Self> {
        let features = baseline.features.iter().map(FeatureBaseline::feature).collect();
        Self::mixed(features, Some(&baseline), LEAST_LEARNING_FRAMES, config)
    }

    /// Learns the baseline of numeric features, given by name and unit, from the first `frames` frames, then watches against it.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range; `frames` must be at least 100.
    pub fn learning(features: &[(&str, &str)], frames: u64, config: Config) -> Result<Self> {
        let features = features.iter().map(|&(name, unit)| Feature::numeric(name, unit)).collect();
        Self::mixed(features, None, frames, config)
    }

    /// Watches those of `features`, whose values are pushed in this order, that `baseline` has, and learns the baseline of the
    /// others from the first `learn_frames` frames. Of a feature that too few of these had, it goes on learning.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`learning`](Self::learning); [`Error::Baseline`] when it has a feature that is not given.
    pub fn mixed(features: Vec<Feature>, baseline: Option<&Baseline>, learn_frames: u64, config: Config) -> Result<Self> {
        config.validate()?;
        if learn_frames < LEAST_LEARNING_FRAMES {
            return Err(Error::Setting { key: "baseline frames", given: learn_frames.to_string(), allowed: "at least 100" });
        }
        let mut watched = Vec::new();
        if let Some(baseline) = baseline {
            baseline.validate()?;
            for known in &baseline.features {
                let Some(column) = features.iter().position(|feature| feature.name == known.name) else {
                    return Err(Error::Baseline { message: format!("it has a feature {:?} that is not measured", known.name) });
                };
                watched.push(Watched::new(column, baseline.source, known));
            }
        }
        let learner = Learner::new(&features, &watched, learn_frames);
        Ok(Monitor { config, next: config, features, watched, learner, frames: 0, start_ns: 0, closed: 0 })
    }

    /// The baselines that are known by now, in the order of the features; `None` while all of them are being learnt.
    pub fn baseline(&self) -> Option<Baseline> {
        let mut known: Vec<&Watched> = self.watched.iter().chain(&self.learner.ready).collect();
        known.sort_by_key(|watched| watched.column);
        Baseline::new(source(&known), known.iter().map(|watched| watched.window.baseline().clone()).collect()).ok()
    }

    /// Features whose baseline is known by now.
    pub fn known(&self) -> usize {
        self.watched.len() + self.learner.ready.len()
    }

    /// Whether the baseline of some feature is being learnt.
    pub fn is_learning(&self) -> bool {
        !self.learner.columns.is_empty()
    }

    /// Settings from the next window on.
    ///
    /// # Errors
    /// [`Error::Setting`] when one is out of range; then all stay as they are.
    pub fn configure(&mut self, config: Config) -> Result<()> {
        config.validate()?;
        self.next = config;
        Ok(())
    }

    /// Begins anew: an empty window, nothing flagged, and what was learnt is learnt anew.
    pub fn reset(&mut self) {
        self.watched.retain(|watched| watched.source != BaselineSource::Learnt);
        self.watched.iter_mut().for_each(Watched::forget);
        self.learner = Learner::new(&self.features, &self.watched, self.learner.frames);
        (self.frames, self.closed) = (0, 0);
    }

    /// Frames have other features from now on. Those that `stays` says are the same ones go on as they are, windows and all;
    /// the others are learnt.
    pub fn replace_features(&mut self, features: Vec<Feature>, stays: impl Fn(&str) -> bool) {
        self.watched.append(&mut self.learner.ready);
        self.watched.retain_mut(|watched| {
            let name = &watched.window.baseline().name;
            let Some(column) = features.iter().position(|feature| feature.name == *name && stays(name)) else { return false };
            watched.column = column;
            true
        });
        self.watched.sort_by_key(|watched| watched.column);
        self.learner = Learner::new(&features, &self.watched, self.learner.frames);
        self.features = features;
        if self.watched.is_empty() {
            self.frames = 0;
        }
    }

    /// Takes in one frame: its stamp and a value per feature. A value that is not finite is left out. Gives the report when
    /// this frame closes the window.
    ///
    /// # Errors
    /// [`Error::FeatureCount`] when there are more or fewer values than features.
    pub fn push(&mut self, stamp_ns: i64, values: &[f64]) -> Result<Option<Report>> {
        if values.len() != self.features.len() {
            return Err(Error::FeatureCount { expected: self.features.len(), given: values.len() });
        }
        if self.frames == 0 {
            self.config = self.next;
            self.start_ns = stamp_ns;
            self.watched.append(&mut self.learner.ready);
            self.watched.sort_by_key(|watched| watched.column);
        }
        self.learner.push(values)?;
        if self.watched.is_empty() {
            return Ok(None);
        }
        for watched in &mut self.watched {
            watched.window.push(values[watched.column]);
        }
        self.frames += 1;
        let lasted_s = stamp_ns.saturating_sub(self.start_ns) as f64 * 1e-9;
        let over = self.config.window_s > 0.0 && lasted_s >= self.config.window_s && self.frames >= LEAST_WINDOW_FRAMES;
        Ok((over || self.frames >= self.config.window_frames).then(|| self.close(stamp_ns)))
    }

    fn close(&mut self, end_ns: i64) -> Report {
        let duration_s = duration_s(self.start_ns, end_ns, self.frames);
        let false_alarm_rate = alarms_per_window(self.config.false_alarms_per_day, duration_s);
        let evidence: Vec<Evidence> = self.watched.iter_mut().map(Watched::evidence).collect();
        let chances: Vec<Chance> = evidence.iter().map(Evidence::pair_chance).collect();
        let levels = levels(&chances, false_alarm_rate);
        let judged = self.watched.iter_mut().zip(&evidence).zip(levels);
        let features: Vec<FeatureReport> = judged.map(|((watched, evidence), level)| watched.judge(evidence, level)).collect();
        self.frames = 0;
        self.closed += 1;
        Report {
            window: self.closed,
            start_ns: self.start_ns,
            end_ns,
            duration_s,
            baseline: source(&self.watched.iter().collect::<Vec<_>>()),
            false_alarms_per_day: self.config.false_alarms_per_day,
            false_alarm_rate,
            flagged: features.iter().any(|feature| feature.flagged),
            max_psi: features.iter().map(|feature| feature.psi).fold(0.0, f64::max),
            features,
        }
    }
}

/// The bundle's, if any of the features is.
fn source(watched: &[&Watched]) -> BaselineSource {
    let learnt = !watched.is_empty() && watched.iter().all(|watched| watched.source == BaselineSource::Learnt);
    if learnt { BaselineSource::Learnt } else { BaselineSource::Bundle }
}

/// From the first frame of a window to the first of the next, as far as its own frames tell.
fn duration_s(start_ns: i64, end_ns: i64, frames: u64) -> f64 {
    let period_s = end_ns.saturating_sub(start_ns) as f64 * 1e-9 / frames.saturating_sub(1).max(1) as f64;
    // Stamps that stand still or run backwards tell nothing.
    let period_s = if period_s > 0.0 { period_s.clamp(SHORTEST_PERIOD_S, LONGEST_PERIOD_S) } else { ASSUMED_PERIOD_S };
    period_s * frames as f64
}
