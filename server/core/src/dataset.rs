//! Datasets, as runs describe what went in: the beginning of every lineage.

use crate::{CoreError, experiment::Pair, limits::check_length};

/// Most characters of a name.
pub const MAX_NAME: usize = 500;
/// Most characters of a digest.
pub const MAX_DIGEST: usize = 36;
/// Most bytes of a source, and of a schema.
pub const MAX_SOURCE: usize = 1_048_575;
/// Most bytes of a profile.
pub const MAX_PROFILE: usize = 16_777_215;

/// A dataset. Its name and digest are its identity within an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// What tells one content from another, as the client computed it.
    pub digest: String,
    /// Kind of source: `local`, `http`, `hugging_face`, ...
    pub source_type: String,
    /// Where it comes from, mostly JSON.
    pub source: String,
    /// Its columns or tensors, mostly JSON.
    pub schema: Option<String>,
    /// Counts and summaries, mostly JSON.
    pub profile: Option<String>,
}

impl Dataset {
    /// Checks what people gave.
    pub fn validate(&self) -> Result<(), CoreError> {
        if self.name.is_empty() {
            return Err(CoreError::BadTracking { reason: "a dataset has a name".to_owned() });
        }
        check_length("the dataset's 'name'", &self.name, MAX_NAME)?;
        check_length("the dataset's 'digest'", &self.digest, MAX_DIGEST)?;
        check_length("the dataset's 'source_type'", &self.source_type, MAX_DIGEST)?;
        check_length("the dataset's 'source'", &self.source, MAX_SOURCE)?;
        check_length("the dataset's 'schema'", self.schema.as_deref().unwrap_or_default(), MAX_SOURCE)?;
        check_length("the dataset's 'profile'", self.profile.as_deref().unwrap_or_default(), MAX_PROFILE)
    }
}

/// A dataset that went into a run, with what it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInput {
    /// Which.
    pub dataset: Dataset,
    /// For what: [`CONTEXT_TAG`](crate::run::CONTEXT_TAG) says `train`, `eval`, ...
    pub tags: Vec<Pair>,
}

/// A dataset of an experiment, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// Number of the experiment.
    pub experiment: i64,
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What it was for, where a run said so.
    pub context: Option<String>,
}
