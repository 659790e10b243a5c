//! Makes a baseline from samples: frames of the training set, or a node's first frames.

use std::collections::BTreeMap;

use crate::null::effective_size;
use crate::window::agreement;
use crate::{Baseline, BaselineSource, Category, Error, FeatureBaseline, Result};

/// Bins of a baseline unless asked otherwise: deciles, the usual choice for PSI.
pub const DEFAULT_BINS: usize = 10;

/// Values a bin needs on average for its share to mean something.
const VALUES_PER_BIN: u64 = 5;

/// Categories of a feature that are told apart; the rarer ones share the last bin.
const MAX_CATEGORIES: usize = 32;

/// What a feature is called and what its values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Name, such as `brightness`.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// What a feature's values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Numeric {
        /// Their unit, such as `0..255`.
        unit: String,
    },
    /// Codes of categories: whole numbers.
    Categorical {
        /// Names of the codes 0, 1, 2 ... as far as they are known; any other code is named by its number.
        labels: Vec<String>,
    },
}

impl Feature {
    /// A feature whose values are numbers.
    pub fn numeric(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Feature { name: name.into(), kind: Kind::Numeric { unit: unit.into() } }
    }

    /// A feature whose values are codes of categories, the first of them named.
    pub fn categorical(name: impl Into<String>, labels: Vec<String>) -> Self {
        Feature { name: name.into(), kind: Kind::Categorical { labels } }
    }
}

/// Collects values per feature and cuts them into bins of equal shares, or into categories.
#[derive(Debug, Clone)]
pub struct BaselineBuilder {
    features: Vec<Feature>,
    values: Vec<Vec<f64>>,
    bins: usize,
    source: BaselineSource,
    frames: u64,
}

impl BaselineBuilder {
    /// An empty builder for numeric features given by name and unit.
    pub fn new(features: &[(&str, &str)]) -> Self {
        Self::of(features.iter().map(|&(name, unit)| Feature::numeric(name, unit)).collect())
    }

    /// An empty builder for features of any kind.
    pub fn of(features: Vec<Feature>) -> Self {
        let values = vec![Vec::new(); features.len()];
        BaselineBuilder { features, values, bins: DEFAULT_BINS, source: BaselineSource::Bundle, frames: 0 }
    }

    /// Bins per numeric feature, at least 2; [`DEFAULT_BINS`] unless set. Values that occur very often get bins of their own.
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

    /// Goes on with the features of these places only, which must ascend; keeps their values.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        let all = std::mem::take(&mut self.features).into_iter().zip(std::mem::take(&mut self.values)).enumerate();
        let kept = all.filter(|(place, _)| places.contains(place)).map(|(_, kept)| kept);
        (self.features, self.values) = kept.unzip();
    }

    /// The baseline of what was taken in.
    ///
    /// # Errors
    /// [`Error::TooFew`] when a feature has fewer than 5 values per bin.
    pub fn build(&self) -> Result<Baseline> {
        let features = (0..self.features.len()).map(|i| self.feature(i));
        Baseline::new(self.source, features.collect::<Result<_>>()?)
    }

    /// The feature of that place, in the order of the names.
    ///
    /// # Errors
    /// [`Error::TooFew`] when it has fewer than 5 values per bin.
    pub(crate) fn feature(&self, place: usize) -> Result<FeatureBaseline> {
        let (feature, values) = (&self.features[place], &self.values[place]);
        let n = values.len() as u64;
        let needed = VALUES_PER_BIN * self.bins as u64;
        if n < needed {
            return Err(Error::TooFew { feature: feature.name.clone(), n, bins: self.bins, needed });
        }
        Ok(match &feature.kind {
            Kind::Numeric { unit } => numeric(&feature.name, unit, values, self.bins),
            Kind::Categorical { labels } => categorical(&feature.name, labels, values),
        })
    }
}

fn numeric(name: &str, unit: &str, values: &[f64], bins: usize) -> FeatureBaseline {
    let n = values.len() as u64;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let mut feature = FeatureBaseline {
        name: name.to_owned(),
        unit: unit.to_owned(),
        categories: Vec::new(),
        edges: quantile_edges(&sorted, bins),
        counts: Vec::new(),
        n,
        n_effective: 0.0,
        mean: written(mean),
        std: written((squares / (n - 1) as f64).sqrt()),
        min: written(sorted[0]),
        max: written(sorted[sorted.len() - 1]),
    };
    feature.counts = vec![0; feature.edges.len() + 1];
    let places: Vec<f64> = count(&mut feature, values).into_iter().map(|place| place as f64).collect();
    // As windows have it.
    let correlation = autocorrelation(values).max(autocorrelation(&places));
    feature.n_effective = written(effective_size(n, correlation));
    feature
}

/// Lag-1 autocorrelation; NaN when all values are alike.
fn autocorrelation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / squares
}

fn categorical(name: &str, labels: &[String], values: &[f64]) -> FeatureBaseline {
    let mut seen: BTreeMap<i64, u64> = BTreeMap::new();
    values.iter().for_each(|&value| *seen.entry(value.round() as i64).or_default() += 1);
    if labels.len() <= MAX_CATEGORIES {
        (0..labels.len() as i64).for_each(|code| _ = seen.entry(code).or_default());
    }
    let mut frequent: Vec<(i64, u64)> = seen.into_iter().collect();
    frequent.sort_by_key(|&(code, count)| (std::cmp::Reverse(count), code));
    frequent.truncate(MAX_CATEGORIES);
    frequent.sort_unstable();
    let named = |code: i64| usize::try_from(code).ok().and_then(|i| labels.get(i)).cloned().unwrap_or_else(|| code.to_string());
    let categories: Vec<Category> = frequent.iter().map(|&(code, _)| Category { code, name: named(code) }).collect();
    let mut feature = FeatureBaseline {
        name: name.to_owned(),
        unit: String::new(),
        edges: Vec::new(),
        counts: vec![0; categories.len() + 1],
        categories,
        n: values.len() as u64,
        n_effective: 0.0,
        mean: 0.0,
        std: 0.0,
        min: 0.0,
        max: 0.0,
    };
    let places = count(&mut feature, values);
    let alike = places.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    let pairs = places.len().saturating_sub(1) as u64;
    feature.n_effective = written(effective_size(feature.n, agreement(&feature.counts, alike, pairs)));
    feature
}

/// Counts the values into the feature's bins; gives the bin of each.
fn count(feature: &mut FeatureBaseline, values: &[f64]) -> Vec<usize> {
    let places: Vec<usize> = values.iter().map(|&value| feature.bin(value)).collect();
    places.iter().for_each(|&bin| feature.counts[bin] += 1);
    places
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
