//! Fills windows, closes them, and decides: two significant windows in a row flag, two clean ones clear.

use crate::null::{PsiNull, effective_size, ks_threshold};
use crate::{
    Baseline, BaselineBuilder, BaselineSource, Error, FeatureBaseline, FeatureReport, FeatureWindow, Report, Result, Window, stats,
};

/// Statistics of a feature that can alarm: psi and ks.
const ALARMING: usize = 2;

/// Settings of a [`Monitor`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Frames to a window, at least 20.
    pub window_frames: u64,
    /// Chance per window, over all features and statistics, of a false significance; above 0, at most 0.5.
    pub false_alarm_rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config { window_frames: 100, false_alarm_rate: 0.001 }
    }
}

impl Config {
    fn validate(&self) -> Result<()> {
        if self.window_frames < 20 {
            return Err(Error::Setting { key: "window_frames", given: self.window_frames.to_string(), allowed: "at least 20" });
        }
        if !(self.false_alarm_rate > 0.0 && self.false_alarm_rate <= 0.5) {
            let given = self.false_alarm_rate.to_string();
            return Err(Error::Setting { key: "false_alarm_rate", given, allowed: "a rate above 0 and at most 0.5 per window" });
        }
        Ok(())
    }
}

/// Watches one stream of frames against one baseline.
#[derive(Debug, Clone)]
pub struct Monitor {
    config: Config,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Learning { frames: u64, builder: BaselineBuilder },
    Watching(Box<Watch>),
}

#[derive(Debug, Clone)]
struct Watch {
    baseline: Baseline,
    window: Window,
    start_ns: i64,
    closed: u64,
    memories: Vec<Memory>,
}

/// What is remembered of a feature from window to window.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    was_significant: bool,
    flagged: bool,
    /// Dear to work out, and the same as long as windows hold the same number of values.
    null: Option<PsiNull>,
}

impl Memory {
    fn null(&mut self, counts: &[u64], n: u64, alpha: f64) -> PsiNull {
        match self.null {
            Some(null) if null.n() == n => null,
            _ => *self.null.insert(PsiNull::new(counts, n, alpha)),
        }
    }

    fn update(&mut self, significant: bool) -> bool {
        if significant == self.was_significant {
            self.flagged = significant;
        }
        self.was_significant = significant;
        self.flagged
    }
}

impl Monitor {
    /// Watches against a baseline that is known.
    ///
    /// # Errors
    /// [`Error::Baseline`] when it contradicts itself, [`Error::Setting`] when a setting is out of range.
    pub fn new(baseline: Baseline, config: Config) -> Result<Self> {
        config.validate()?;
        baseline.validate()?;
        Ok(Monitor { config, state: State::watching(baseline) })
    }

    /// Learns the baseline from the first `frames` frames of features given by name and unit, then watches against it.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range; `frames` must be at least 100.
    pub fn learning(features: &[(&str, &str)], frames: u64, config: Config) -> Result<Self> {
        config.validate()?;
        if frames < 100 {
            return Err(Error::Setting { key: "baseline frames", given: frames.to_string(), allowed: "at least 100" });
        }
        let builder = BaselineBuilder::new(features).source(BaselineSource::Learnt);
        Ok(Monitor { config, state: State::Learning { frames, builder } })
    }

    /// The baseline; `None` while it is being learnt.
    pub fn baseline(&self) -> Option<&Baseline> {
        match &self.state {
            State::Learning { .. } => None,
            State::Watching(watch) => Some(&watch.baseline),
        }
    }

    /// Takes in one frame: its stamp and a value per feature, in the baseline's order. A value that is not finite is left
    /// out. Gives the report when this frame fills the window.
    ///
    /// # Errors
    /// [`Error::FeatureCount`] when there are more or fewer values than features.
    pub fn push(&mut self, stamp_ns: i64, values: &[f64]) -> Result<Option<Report>> {
        match &mut self.state {
            State::Learning { frames, builder } => {
                builder.push(values)?;
                if builder.frames() >= *frames {
                    match builder.build() {
                        Ok(baseline) => self.state = State::watching(baseline),
                        // Frames without a feature (no pixels) teach nothing: wait for as many again, but hold no more.
                        Err(Error::TooFew { .. }) => builder.clear(),
                        Err(other) => return Err(other),
                    }
                }
                Ok(None)
            }
            State::Watching(watch) => watch.push(stamp_ns, values, &self.config),
        }
    }
}

impl State {
    fn watching(baseline: Baseline) -> Self {
        let window = Window::new(&baseline);
        let memories = vec![Memory::default(); baseline.features.len()];
        State::Watching(Box::new(Watch { baseline, window, start_ns: 0, closed: 0, memories }))
    }
}

impl Watch {
    fn push(&mut self, stamp_ns: i64, values: &[f64], config: &Config) -> Result<Option<Report>> {
        self.window.push(values)?;
        if self.window.frames() == 1 {
            self.start_ns = stamp_ns;
        }
        if self.window.frames() < config.window_frames {
            return Ok(None);
        }
        let window = std::mem::replace(&mut self.window, Window::new(&self.baseline));
        self.closed += 1;
        let alpha = config.false_alarm_rate / (ALARMING * self.baseline.features.len()) as f64;
        let pairs = self.baseline.features.iter().zip(window.features()).zip(&mut self.memories);
        let features: Vec<FeatureReport> = pairs.map(|((baseline, seen), memory)| judge(baseline, seen, alpha, memory)).collect();
        Ok(Some(Report {
            window: self.closed,
            start_ns: self.start_ns,
            end_ns: stamp_ns,
            baseline: self.baseline.source,
            false_alarm_rate: config.false_alarm_rate,
            flagged: features.iter().any(|feature| feature.flagged),
            max_psi: features.iter().map(|feature| feature.psi).fold(0.0, f64::max),
            features,
        }))
    }
}

fn judge(baseline: &FeatureBaseline, seen: &FeatureWindow, alpha: f64, memory: &mut Memory) -> FeatureReport {
    let (was, is) = (&baseline.counts[..], seen.counts());
    let n_effective = effective_size(seen.n(), seen.autocorrelation());
    let (psi, ks) = (stats::psi(was, is), stats::ks(was, is));
    let psi_threshold = memory.null(was, seen.n(), alpha).threshold(baseline.n_effective, n_effective);
    let ks_threshold = ks_threshold(baseline.n_effective, n_effective, alpha);
    // Comparisons with NaN (no values) are false: nothing seen, nothing alarmed.
    let significant = psi > psi_threshold || ks > ks_threshold;
    let (low, high) = (baseline.min.min(seen.min()), baseline.max.max(seen.max()));
    FeatureReport {
        name: baseline.name.clone(),
        n: seen.n(),
        n_effective,
        mean: seen.mean(),
        baseline_mean: baseline.mean,
        std: seen.std(),
        baseline_std: baseline.std,
        psi,
        psi_threshold,
        ks,
        ks_threshold,
        kl: stats::kl(was, is),
        js: stats::js(was, is),
        wasserstein: stats::wasserstein(was, is, &baseline.edges, low, high),
        edges: baseline.edges.clone(),
        counts: is.to_vec(),
        significant,
        flagged: memory.update(significant),
    }
}
