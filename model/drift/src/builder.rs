//! Makes a baseline from samples: frames of the training set, or a node's first frames.

use crate::null::effective_size;
use crate::{Baseline, BaselineSource, Error, FeatureBaseline, Result};

/// Bins of a baseline unless asked otherwise: deciles, the usual choice for PSI.
pub const DEFAULT_BINS: usize = 10;

/// Values a bin needs on average for its share to mean something.
const VALUES_PER_BIN: u64 = 5;

/// Collects values per feature and cuts them into bins of equal shares.
#[derive(Debug, Clone)]
pub struct BaselineBuilder {
    names: Vec<(String, String)>,
    values: Vec<Vec<f64>>,
    bins: usize,
    source: BaselineSource,
    frames: u64,
}

impl BaselineBuilder {
    /// An empty builder for features given by name and unit.
    pub fn new(features: &[(&str, &str)]) -> Self {
        BaselineBuilder {
            names: features.iter().map(|&(name, unit)| (name.to_owned(), unit.to_owned())).collect(),
            values: vec![Vec::new(); features.len()],
            bins: DEFAULT_BINS,
            source: BaselineSource::Bundle,
            frames: 0,
        }
    }

    /// Bins per feature, at least 2; [`DEFAULT_BINS`] unless set. Values that occur very often get bins of their own.
    #[must_use]
    pub fn bins(mut self, bins: usize) -> Self {
        self.bins = bins.max(2);
        self
    }

    /// Where the values come from; [`BaselineSource::Bundle`] unless set.
    #[must_use]
    pub fn source(mut self, source: BaselineSource) -> Self {
        self.source = source;
        self
    }

    /// Takes in one frame: a value per feature, in order of time. Values that are not finite are left out.
    ///
    /// # Errors
    /// [`Error::FeatureCount`] when there are more or fewer values than features.
    pub fn push(&mut self, values: &[f64]) -> Result<()> {
        if values.len() != self.values.len() {
            return Err(Error::FeatureCount { expected: self.values.len(), given: values.len() });
        }
        for (all, &value) in self.values.iter_mut().zip(values) {
            if value.is_finite() {
                all.push(value);
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// Frames taken in.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn clear(&mut self) {
        self.values.iter_mut().for_each(Vec::clear);
        self.frames = 0;
    }

    /// The baseline of what was taken in.
    ///
    /// # Errors
    /// [`Error::TooFew`] when a feature has fewer than 5 values per bin.
    pub fn build(&self) -> Result<Baseline> {
        let features = self.names.iter().zip(&self.values).map(|((name, unit), values)| self.feature(name, unit, values));
        let baseline = Baseline { v: 1, source: self.source, features: features.collect::<Result<_>>()? };
        baseline.validate()?;
        Ok(baseline)
    }

    fn feature(&self, name: &str, unit: &str, values: &[f64]) -> Result<FeatureBaseline> {
        let n = values.len() as u64;
        let needed = VALUES_PER_BIN * self.bins as u64;
        if n < needed {
            return Err(Error::TooFew { feature: name.to_owned(), n, bins: self.bins, needed });
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let products = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
        let mut feature = FeatureBaseline {
            name: name.to_owned(),
            unit: unit.to_owned(),
            edges: quantile_edges(&sorted, self.bins),
            counts: Vec::new(),
            n,
            n_effective: written(effective_size(n, products / squares)),
            mean: written(mean),
            std: written((squares / (n - 1) as f64).sqrt()),
            min: written(sorted[0]),
            max: written(sorted[sorted.len() - 1]),
        };
        feature.counts = vec![0; feature.edges.len() + 1];
        for &value in values {
            let bin = feature.bin(value);
            feature.counts[bin] += 1;
        }
        Ok(feature)
    }
}

/// Edges between bins of equal shares. A value on which several edges fall is cut out into a narrow bin of its own, so
/// that a feature with a constant or frequent value still sees values to either side of it.
fn quantile_edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    let cuts: Vec<f64> = (1..bins).map(|i| sorted[i * sorted.len() / bins]).collect();
    let reach = sorted.iter().fold(0.0, |reach: f64, value| reach.max(value.abs()));
    let narrow = if reach > 0.0 { reach * 1e-9 } else { 1e-9 };
    let mut edges: Vec<f64> = Vec::new();
    for same in cuts.chunk_by(|a, b| a == b) {
        let (low, high) = if same.len() > 1 { (same[0] - narrow, same[0] + narrow) } else { (same[0], same[0]) };
        for edge in [low, high].map(written) {
            if edges.last().is_none_or(|&last| edge > last) {
                edges.push(edge);
            }
        }
    }
    edges
}

/// The value as `baseline.json` has it: 12 significant digits, which every JSON parser reads back to the same number.
fn written(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}
