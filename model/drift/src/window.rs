//! The distribution of the features over some frames, held so that windows add up exactly.
//!
//! Counts are integers over the baseline's edges. Moments and the lag-1 products are integers too, in steps far below
//! the baseline's standard deviation: floating-point sums would depend on the order of merging. Categorical features have
//! counts only, and of neighbouring frames whether they were of one category.

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
    bins: Arc<FeatureBaseline>,
    step: f64,
    /// Values outside lie beyond anything the baseline saw.
    range: (f64, f64),
    counts: Vec<u64>,
    n: u64,
    outside: u64,
    min: f64,
    max: f64,
    /// Of the values, in steps from the baseline's mean; empty where there are categories.
    values: Sums,
    /// Of the numbers of their bins.
    places: Sums,
    /// Neighbours in one bin.
    alike: u64,
}

/// Sums of whole numbers that come one after the other, and of neighbours' products.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sum: i128,
    squares: i128,
    pairs: u64,
    products: i128,
    firsts: i128,
    seconds: i128,
    last: Option<i64>,
}

impl PartialEq for Sums {
    /// What it holds, not what it last saw.
    fn eq(&self, other: &Self) -> bool {
        (self.sum, self.squares, self.pairs) == (other.sum, other.squares, other.pairs)
            && (self.products, self.firsts, self.seconds) == (other.products, other.firsts, other.seconds)
    }
}

impl Sums {
    /// Takes in the next number; gives the one before.
    fn push(&mut self, number: i64) -> Option<i64> {
        let wide = i128::from(number);
        self.sum += wide;
        self.squares += wide * wide;
        let before = self.last.replace(number);
        if let Some(last) = before {
            let last = i128::from(last);
            self.pairs += 1;
            self.products += last * wide;
            self.firsts += last;
            self.seconds += wide;
        }
        before
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.squares += other.squares;
        self.pairs += other.pairs;
        self.products += other.products;
        self.firsts += other.firsts;
        self.seconds += other.seconds;
        self.last = None;
    }

    /// Sum of squares about the mean of the `n` numbers.
    fn centred_squares(&self, n: u64) -> f64 {
        (self.squares as f64 - self.sum as f64 * (self.sum as f64 / n as f64)).max(0.0)
    }

    /// Lag-1 autocorrelation about the mean of the `n` numbers; NaN when it is not defined.
    fn autocorrelation(&self, n: u64) -> f64 {
        let squares = self.centred_squares(n);
        if self.pairs == 0 || squares <= 0.0 {
            return f64::NAN;
        }
        let (n, pairs) = (n as f64, self.pairs as f64);
        let mean = self.sum as f64 / n;
        let covariance = (self.products as f64 - mean * (self.firsts + self.seconds) as f64) / pairs + mean * mean;
        (covariance / (squares / n)).clamp(-1.0, 1.0)
    }
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
            mine.merge(theirs)?;
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
            && (self.n, self.outside, self.min, self.max, self.alike) == (other.n, other.outside, other.min, other.max, other.alike)
            && (self.values, self.places) == (other.values, other.places)
            && self.counts == other.counts
    }
}

impl FeatureWindow {
    /// An empty window over the bins of `baseline`.
    pub fn new(baseline: &FeatureBaseline) -> Self {
        Self::over(Arc::new(baseline.clone()))
    }

    fn over(baseline: Arc<FeatureBaseline>) -> Self {
        let spread = if baseline.std > 0.0 { baseline.std } else { baseline.mean.abs().max(1.0) };
        // A power of two, so that dividing by it is exact; clamped where it would leave the normal range.
        let step = (spread.log2().floor() - f64::from(STEPS_LOG2)).clamp(-1000.0, 1000.0).exp2();
        // A baseline is written with 12 digits: its own extremes must not lie outside.
        let slack = 1e-9 * baseline.min.abs().max(baseline.max.abs());
        FeatureWindow {
            step,
            range: (baseline.min - slack, baseline.max + slack),
            counts: vec![0; baseline.counts.len()],
            bins: baseline,
            n: 0,
            outside: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            values: Sums::default(),
            places: Sums::default(),
            alike: 0,
        }
    }

    /// Takes in one frame's value. One that is not finite is left out: the frame does not have the feature.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            (self.values.last, self.places.last) = (None, None);
            return;
        }
        let bin = self.bins.bin(value);
        self.counts[bin] += 1;
        self.n += 1;
        self.alike += u64::from(self.places.push(bin as i64) == Some(bin as i64));
        if self.bins.is_categorical() {
            return;
        }
        self.outside += u64::from(value < self.range.0 || value > self.range.1);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let steps = (value - self.bins.mean) / self.step;
        self.values.push(steps.clamp(-MAX_STEPS, MAX_STEPS).round() as i64);
    }

    fn is_over_same(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.bins, &other.bins);
        let same_bins = mine.edges == theirs.edges && mine.categories == theirs.categories;
        same_bins && mine.mean == theirs.mean && self.step == other.step && self.range == other.range
    }

    /// Adds another window over the same bins; see [`Window::merge`].
    ///
    /// # Errors
    /// [`Error::DifferentEdges`] when the other belongs to another baseline; this window is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if !self.is_over_same(other) {
            return Err(Error::DifferentEdges);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.n += other.n;
        self.outside += other.outside;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.values.merge(&other.values);
        self.places.merge(&other.places);
        self.alike += other.alike;
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::over(Arc::clone(&self.bins));
    }

    /// The baseline it is over.
    pub fn baseline(&self) -> &FeatureBaseline {
        &self.bins
    }

    /// Values per bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Values taken in.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Values below the least or above the greatest of the baseline.
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// Least value; infinity when there is none.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Greatest value; minus infinity when there is none.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Mean; NaN when there is no value, and where there are categories.
    pub fn mean(&self) -> f64 {
        if self.bins.is_categorical() {
            return f64::NAN;
        }
        self.bins.mean + self.step * (self.values.sum as f64 / self.n as f64)
    }

    /// Standard deviation, with `n - 1`; NaN with fewer than 2 values, and where there are categories.
    pub fn std(&self) -> f64 {
        if self.n < 2 || self.bins.is_categorical() {
            return f64::NAN;
        }
        self.step * (self.values.centred_squares(self.n) / (self.n - 1) as f64).sqrt()
    }

    /// Lag-1 autocorrelation about the window's own mean, of the values or of the numbers of their bins, whichever is greater:
    /// the latter is not blind where few values far out make up the variance. NaN when it is not defined (too few values, or
    /// all alike). Of categories, how much more often neighbours agree than by chance.
    pub fn autocorrelation(&self) -> f64 {
        if self.bins.is_categorical() {
            return agreement(&self.counts, self.alike, self.places.pairs);
        }
        // Of NaN and a number, `max` gives the number.
        self.values.autocorrelation(self.n).max(self.places.autocorrelation(self.n))
    }
}

/// `(s - e) / (1 - e)`, where `s` is the part of neighbouring `pairs` that are `alike` and `e` what it would be if they were
/// independent (Cohen's kappa of a sequence with itself, one step on): the autocorrelation of a chain that stays where it
/// is with some probability and else draws anew. NaN without pairs, or when all values are alike.
pub(crate) fn agreement(counts: &[u64], alike: u64, pairs: u64) -> f64 {
    let n: f64 = counts.iter().map(|&count| count as f64).sum();
    let by_chance: f64 = counts.iter().map(|&count| (count as f64 / n).powi(2)).sum();
    if pairs == 0 || by_chance >= 1.0 {
        return f64::NAN;
    }
    ((alike as f64 / pairs as f64 - by_chance) / (1.0 - by_chance)).clamp(-1.0, 1.0)
}
