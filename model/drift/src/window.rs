//! The distribution of the features over some frames, held so that windows add up exactly.
//!
//! Counts are integers over the baseline's edges. Moments and the lag-1 products are integers too, in steps far below
//! the baseline's standard deviation: floating-point sums would depend on the order of merging.

use std::sync::Arc;

use crate::{Baseline, Error, FeatureBaseline, Result};

/// Steps per standard deviation of the baseline, as a power of two.
const STEPS_LOG2: i32 = 20;
/// Farthest from the baseline's mean that a value counts for the moments, in steps (32 million standard deviations).
const MAX_STEPS: f64 = (1u64 << 45) as f64;

/// Frames seen since the window was opened, one distribution per feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    features: Vec<FeatureWindow>,
    frames: u64,
}

/// One feature of a window.
#[derive(Debug, Clone)]
pub struct FeatureWindow {
    edges: Arc<[f64]>,
    centre: f64,
    step: f64,
    counts: Vec<u64>,
    n: u64,
    sum: i128,
    squares: i128,
    min: f64,
    max: f64,
    pairs: u64,
    products: i128,
    firsts: i128,
    seconds: i128,
    last: Option<i64>,
}

impl Window {
    /// An empty window over the edges of `baseline`.
    pub fn new(baseline: &Baseline) -> Self {
        Window { features: baseline.features.iter().map(FeatureWindow::new).collect(), frames: 0 }
    }

    /// Takes in one frame: a value per feature, in the baseline's order. A value that is not finite is left out: the
    /// frame does not have that feature.
    ///
    /// # Errors
    /// [`Error::FeatureCount`] when there are more or fewer values than features.
    pub fn push(&mut self, values: &[f64]) -> Result<()> {
        if values.len() != self.features.len() {
            return Err(Error::FeatureCount { expected: self.features.len(), given: values.len() });
        }
        for (feature, &value) in self.features.iter_mut().zip(values) {
            feature.push(value);
        }
        self.frames += 1;
        Ok(())
    }

    /// Adds another window over the same edges. Exact: the order and grouping of merges make no difference. The last
    /// frame of one and the first of the other do not count as neighbours.
    ///
    /// # Errors
    /// [`Error::DifferentEdges`] when the other belongs to another baseline; this window is then unchanged.
    pub fn merge(&mut self, other: &Window) -> Result<()> {
        let same = |(a, b): (&FeatureWindow, &FeatureWindow)| a.is_over_same(b);
        if self.features.len() != other.features.len() || !self.features.iter().zip(&other.features).all(same) {
            return Err(Error::DifferentEdges);
        }
        for (mine, theirs) in self.features.iter_mut().zip(&other.features) {
            mine.merge(theirs);
        }
        self.frames += other.frames;
        Ok(())
    }

    /// Frames taken in.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Features, in the baseline's order.
    pub fn features(&self) -> &[FeatureWindow] {
        &self.features
    }
}

impl PartialEq for FeatureWindow {
    /// What it holds, not what it last saw.
    fn eq(&self, other: &Self) -> bool {
        self.is_over_same(other)
            && (self.n, self.sum, self.squares, self.min, self.max) == (other.n, other.sum, other.squares, other.min, other.max)
            && (self.pairs, self.products, self.firsts, self.seconds) == (other.pairs, other.products, other.firsts, other.seconds)
            && self.counts == other.counts
    }
}

impl FeatureWindow {
    fn new(baseline: &FeatureBaseline) -> Self {
        let spread = if baseline.std > 0.0 { baseline.std } else { baseline.mean.abs().max(1.0) };
        // A power of two, so that dividing by it is exact; clamped where it would leave the normal range.
        let step = (spread.log2().floor() - f64::from(STEPS_LOG2)).clamp(-1000.0, 1000.0).exp2();
        FeatureWindow {
            edges: baseline.edges.as_slice().into(),
            centre: baseline.mean,
            step,
            counts: vec![0; baseline.edges.len() + 1],
            n: 0,
            sum: 0,
            squares: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            pairs: 0,
            products: 0,
            firsts: 0,
            seconds: 0,
            last: None,
        }
    }

    fn push(&mut self, value: f64) {
        if !value.is_finite() {
            self.last = None;
            return;
        }
        self.counts[self.edges.partition_point(|&edge| edge <= value)] += 1;
        self.n += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let steps = ((value - self.centre) / self.step).clamp(-MAX_STEPS, MAX_STEPS).round() as i64;
        let wide = i128::from(steps);
        self.sum += wide;
        self.squares += wide * wide;
        if let Some(last) = self.last.replace(steps) {
            let last = i128::from(last);
            self.pairs += 1;
            self.products += last * wide;
            self.firsts += last;
            self.seconds += wide;
        }
    }

    fn is_over_same(&self, other: &Self) -> bool {
        self.edges == other.edges && self.centre == other.centre && self.step == other.step
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.pairs += other.pairs;
        self.products += other.products;
        self.firsts += other.firsts;
        self.seconds += other.seconds;
        self.last = None;
    }

    /// Values per bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Values taken in.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Least value; infinity when there is none.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Greatest value; minus infinity when there is none.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Mean; NaN when there is no value.
    pub fn mean(&self) -> f64 {
        self.centre + self.step * (self.sum as f64 / self.n as f64)
    }

    /// Standard deviation, with `n - 1`; NaN with fewer than 2 values.
    pub fn std(&self) -> f64 {
        if self.n < 2 {
            return f64::NAN;
        }
        self.step * (self.centred_squares() / (self.n - 1) as f64).sqrt()
    }

    fn centred_squares(&self) -> f64 {
        (self.squares as f64 - self.sum as f64 * (self.sum as f64 / self.n as f64)).max(0.0)
    }

    /// Lag-1 autocorrelation about the window's own mean; NaN when it is not defined (too few values, or all alike).
    pub fn autocorrelation(&self) -> f64 {
        let squares = self.centred_squares();
        if self.pairs == 0 || squares <= 0.0 {
            return f64::NAN;
        }
        let (n, pairs) = (self.n as f64, self.pairs as f64);
        let mean = self.sum as f64 / n;
        let covariance = (self.products as f64 - mean * (self.firsts + self.seconds) as f64) / pairs + mean * mean;
        (covariance / (squares / n)).clamp(-1.0, 1.0)
    }
}
