//! The reference a robot's frames are held against: one histogram per feature, and its moments.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a baseline comes from; a report says it, because a learnt one only knows what this camera saw at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaselineSource {
    /// It came with the model.
    #[default]
    Bundle,
    /// A node learnt it from its first frames.
    Learnt,
}

impl BaselineSource {
    /// `bundle` or `learnt`, as in `DriftReport.msg`.
    pub fn name(self) -> &'static str {
        match self {
            BaselineSource::Bundle => "bundle",
            BaselineSource::Learnt => "learnt",
        }
    }
}

/// Content of `baseline.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the format: 1.
    pub v: u32,
    /// Where it comes from.
    #[serde(default)]
    pub source: BaselineSource,
    /// One per feature, in the order values are pushed.
    pub features: Vec<FeatureBaseline>,
}

/// Distribution of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureBaseline {
    /// Name, such as `brightness`.
    pub name: String,
    /// Unit of its values, such as `0..255`.
    pub unit: String,
    /// Interior bin edges, strictly ascending. Bin `i` holds `edges[i-1] <= value < edges[i]`; the outer bins are open.
    pub edges: Vec<f64>,
    /// Values per bin, `edges.len() + 1` of them.
    pub counts: Vec<u64>,
    /// Values in all.
    pub n: u64,
    /// Independent values they amount to: fewer than `n` when neighbouring frames resemble each other.
    pub n_effective: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with `n - 1`.
    pub std: f64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl Baseline {
    /// Reads and checks `baseline.json`.
    ///
    /// # Errors
    /// [`Error::Json`] with line and column, [`Error::Baseline`] when it contradicts itself.
    pub fn from_json(text: &str) -> Result<Self> {
        let baseline: Baseline = serde_json::from_str(text)?;
        baseline.validate()?;
        Ok(baseline)
    }

    /// As `baseline.json`.
    ///
    /// # Errors
    /// [`Error::Baseline`] when it contradicts itself.
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let bad = |message: String| Err(Error::Baseline { message });
        if self.v != 1 {
            return bad(format!("it has version {}, this program knows 1", self.v));
        }
        if self.features.is_empty() {
            return bad("it has no features".to_owned());
        }
        for (i, feature) in self.features.iter().enumerate() {
            let name = &feature.name;
            if name.is_empty() || self.features[..i].iter().any(|other| other.name == *name) {
                return bad(format!("feature name {name:?} is empty or there twice"));
            }
            if feature.counts.len() != feature.edges.len() + 1 {
                return bad(format!("{name}: {} edges want {} counts", feature.edges.len(), feature.edges.len() + 1));
            }
            if !feature.edges.iter().all(|edge| edge.is_finite()) || !feature.edges.is_sorted_by(|a, b| a < b) {
                return bad(format!("{name}: edges are not finite and strictly ascending"));
            }
            let sum = feature.counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
            if feature.n == 0 || sum != Some(feature.n) {
                return bad(format!("{name}: counts do not add up to n = {}", feature.n));
            }
            if !(feature.n_effective > 0.0 && feature.n_effective <= feature.n as f64) {
                return bad(format!("{name}: n_effective is not in (0, n]"));
            }
            let moments = [feature.mean, feature.std, feature.min, feature.max];
            if !moments.iter().all(|value| value.is_finite()) || feature.std < 0.0 || feature.min > feature.max {
                return bad(format!("{name}: mean, std, min or max make no sense"));
            }
        }
        Ok(())
    }
}

impl FeatureBaseline {
    /// Bin a value falls into.
    pub fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|&edge| edge <= value)
    }
}
