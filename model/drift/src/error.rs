//! What can be wrong with a baseline or with what is pushed against it.

/// What can be wrong with a baseline or with what is pushed against it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `baseline.json` is not the JSON of a baseline.
    #[error("baseline.json:{}:{}: {source}", source.line(), source.column())]
    Json {
        /// What the parser says.
        #[from]
        source: serde_json::Error,
    },
    /// A baseline contradicts itself.
    #[error("the drift baseline is not usable: {message}; build it again")]
    Baseline {
        /// What is wrong.
        message: String,
    },
    /// A baseline was to be built from too few frames.
    #[error("feature {feature:?} has {n} values, too few for a baseline of {bins} bins; give at least {needed}")]
    TooFew {
        /// Feature.
        feature: String,
        /// Values seen.
        n: u64,
        /// Bins asked for.
        bins: usize,
        /// Values needed.
        needed: u64,
    },
    /// The number of values is not the number of features.
    #[error("{given} feature values were given where the baseline has {expected} features")]
    FeatureCount {
        /// Features of the baseline.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// Two windows of different baselines were to be merged.
    #[error("windows over different edges cannot be merged; merge windows of one baseline")]
    DifferentEdges,
    /// A setting is out of range.
    #[error("{key} is {given}; give {allowed}")]
    Setting {
        /// Setting.
        key: &'static str,
        /// Value given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An image's data is shorter than its size says.
    #[error("an image of {width}x{height} with {step} bytes a row needs {needed} bytes, but has {given}")]
    ImageSize {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes from one row to the next.
        step: usize,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
}

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
