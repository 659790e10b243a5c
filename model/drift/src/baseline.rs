//! The reference a robot's frames are held against: one histogram per feature, and its moments.

use serde::{Deserialize, Serialize};

use crate::{Error, Feature, Result};

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
    /// Version of the format: 1, or 2 when a feature has categories.
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
    #[serde(default)]
    pub unit: String,
    /// What the values of a categorical feature may be, by ascending code; empty for a numeric one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// Interior bin edges, strictly ascending. Bin `i` holds `edges[i-1] <= value < edges[i]`; the outer bins are open.
    /// Empty for a categorical feature.
    #[serde(default)]
    pub edges: Vec<f64>,
    /// Values per bin, `edges.len() + 1` of them; for a categorical feature one per category and, last, all others.
    pub counts: Vec<u64>,
    /// Values in all.
    pub n: u64,
    /// Independent values they amount to: fewer than `n` when neighbouring frames resemble each other.
    pub n_effective: f64,
    /// Mean; 0 where there are categories, as are the next three.
    #[serde(default)]
    pub mean: f64,
    /// Standard deviation, with `n - 1`.
    #[serde(default)]
    pub std: f64,
    /// Least value.
    #[serde(default)]
    pub min: f64,
    /// Greatest value.
    #[serde(default)]
    pub max: f64,
}

/// One value of a categorical feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// The number it is pushed as, such as a class id.
    pub code: i64,
    /// Its name.
    pub name: String,
}

/// Name of the bin of all values that are not among the categories.
pub const OTHER: &str = "(other)";

/// Versions of the format this program reads.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

impl Baseline {
    /// A baseline of these features, in the oldest version of the format that can hold them.
    ///
    /// # Errors
    /// [`Error::Baseline`] when they contradict themselves or each other.
    pub fn new(source: BaselineSource, features: Vec<FeatureBaseline>) -> Result<Self> {
        let v = if features.iter().any(FeatureBaseline::is_categorical) { 2 } else { 1 };
        let baseline = Baseline { v, source, features };
        baseline.validate()?;
        Ok(baseline)
    }

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
        if !VERSIONS.contains(&self.v) {
            return bad(format!("it has version {}, this program knows {} and {}", self.v, VERSIONS.start(), VERSIONS.end()));
        }
        if self.features.is_empty() {
            return bad("it has no features".to_owned());
        }
        for (i, feature) in self.features.iter().enumerate() {
            let name = &feature.name;
            if name.is_empty() || self.features[..i].iter().any(|other| other.name == *name) {
                return bad(format!("feature name {name:?} is empty or there twice"));
            }
            if !feature.categories.is_sorted_by(|a, b| a.code < b.code) {
                return bad(format!("{name}: codes of categories are not strictly ascending"));
            }
            if feature.is_categorical() && (!feature.edges.is_empty() || feature.counts.len() != feature.categories.len() + 1) {
                let wanted = feature.categories.len() + 1;
                return bad(format!("{name}: {} categories want {wanted} counts and no edges", feature.categories.len()));
            }
            if !feature.is_categorical() && feature.counts.len() != feature.edges.len() + 1 {
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
    /// What it is called and what its values are.
    pub fn feature(&self) -> Feature {
        if !self.is_categorical() {
            return Feature::numeric(&self.name, &self.unit);
        }
        let named =
            |code: usize| self.categories.iter().find(|category| category.code == code as i64).map(|category| category.name.clone());
        Feature::categorical(&self.name, (0..self.categories.len()).map_while(named).collect())
    }

    /// Whether its values are codes of categories.
    pub fn is_categorical(&self) -> bool {
        !self.categories.is_empty()
    }

    /// Bin a value falls into. A categorical value is a code; one that is unknown falls into the last bin.
    pub fn bin(&self, value: f64) -> usize {
        if self.is_categorical() {
            // Adding 0 makes a negative zero a positive one.
            let code = value.round() + 0.0;
            let found = self.categories.binary_search_by(|category| (category.code as f64).total_cmp(&code));
            return found.unwrap_or(self.categories.len());
        }
        self.edges.partition_point(|&edge| edge <= value)
    }

    /// Names of the bins of a categorical feature; none for a numeric one.
    pub fn bin_names(&self) -> Vec<String> {
        if !self.is_categorical() {
            return Vec::new();
        }
        self.categories.iter().map(|category| category.name.clone()).chain([OTHER.to_owned()]).collect()
    }
}
