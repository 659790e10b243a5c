//! Logged models: what a training wrote, before anybody registers it.

use serde::Serialize;

use crate::{
    CoreError,
    experiment::{Lifecycle, Pair},
    limits::{check_key, check_length},
    run::Metric,
    search::{Attribute, Grammar, Scope},
};

/// Most characters of a name.
pub const MAX_NAME: usize = 500;
/// Most parameters of one request.
pub const MAX_PARAMS: usize = 100;

/// Whether its files are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ModelStatus {
    /// Files are being uploaded.
    Pending,
    /// Files are there.
    Ready,
    /// The upload failed.
    Failed,
}

impl ModelStatus {
    /// As it is stored, shown and searched.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelStatus::Pending => "PENDING",
            ModelStatus::Ready => "READY",
            ModelStatus::Failed => "FAILED",
        }
    }
}

impl std::str::FromStr for ModelStatus {
    type Err = CoreError;
    fn from_str(word: &str) -> Result<Self, CoreError> {
        let all = [ModelStatus::Pending, ModelStatus::Ready, ModelStatus::Failed];
        all.into_iter().find(|status| status.as_str() == word).ok_or_else(|| CoreError::UnknownWord {
            what: "logged model status",
            word: word.to_owned(),
            expected: "PENDING, READY, FAILED",
        })
    }
}

/// A value that was measured of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMetric {
    /// The value.
    pub metric: Metric,
    /// By which run.
    pub run_id: String,
    /// On which dataset; may be empty.
    pub dataset_name: String,
    /// Digest of that dataset; may be empty.
    pub dataset_digest: String,
}

/// A logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModel {
    /// `m-` and 32 hex digits.
    pub id: String,
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name; several may share one.
    pub name: String,
    /// Where its files are.
    pub artifact_uri: String,
    /// Kind of model, as the client says; may be empty.
    pub model_type: String,
    /// The run that logged it; may be empty.
    pub source_run_id: String,
    /// Whether its files are there.
    pub status: ModelStatus,
    /// Why not; may be empty.
    pub status_message: String,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it was last changed.
    pub updated_ms: i64,
    /// Parameters.
    pub params: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
    /// What was measured of it.
    pub metrics: Vec<ModelMetric>,
}

/// A logged model to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLoggedModel {
    /// `m-` and 32 hex digits.
    pub id: String,
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name.
    pub name: String,
    /// Kind of model; may be empty.
    pub model_type: String,
    /// The run that logs it; may be empty.
    pub source_run_id: String,
    /// Parameters.
    pub params: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
    /// When, milliseconds since the Unix epoch.
    pub created_ms: i64,
}

impl NewLoggedModel {
    /// Checks what people gave. A name is part of paths and URIs, so it has none of their signs.
    pub fn validate(&self) -> Result<(), CoreError> {
        check_name(&self.name)?;
        check_length("'model_type'", &self.model_type, MAX_NAME)?;
        check_length("'source_run_id'", &self.source_run_id, 32)?;
        check_pairs("param", &self.params)?;
        check_pairs("tag", &self.tags)
    }
}

/// A name of a logged model.
pub fn check_name(name: &str) -> Result<(), CoreError> {
    check_length("'name'", name, MAX_NAME)?;
    if name.is_empty() || name.contains(['/', ':', '.', '%', '"', '\'']) {
        let reason = format!("bad model name {name:?}: it is not empty and has no slash, colon, dot, percent sign or quote");
        return Err(CoreError::BadTracking { reason });
    }
    Ok(())
}

/// Parameters or tags of a logged model.
pub fn check_pairs(what: &str, pairs: &[Pair]) -> Result<(), CoreError> {
    if pairs.len() > MAX_PARAMS {
        return Err(CoreError::BadTracking { reason: format!("a logged model takes at most {MAX_PARAMS} {what}s at once: send several") });
    }
    pairs.iter().try_for_each(|pair| {
        check_key(what, &pair.key)?;
        check_length(&format!("the {what}'s value"), &pair.value, crate::run::MAX_TAG_VALUE)
    })
}

/// What a list of logged models is sorted by: a field of the grammar, for a metric perhaps on one dataset only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOrder {
    /// By what, and which way.
    pub order: crate::search::Order,
    /// Values measured on this dataset, `(name, digest)`; no digest is any.
    pub dataset: Option<(String, Option<String>)>,
}

/// What logged models are searched by.
pub const LOGGED_MODELS: Grammar = Grammar {
    entity: "logged model",
    attributes: &[
        Attribute::text("name", &[]),
        Attribute::text("model_id", &[]),
        Attribute::text("model_type", &[]),
        Attribute::text("status", &[]),
        Attribute::text("source_run_id", &[]),
        Attribute::text("experiment_id", &[]),
        Attribute::number("creation_timestamp", &["creation_timestamp_ms", "creation_time"]),
        Attribute::number("last_updated_timestamp", &["last_updated_timestamp_ms", "last_updated_time"]),
    ],
    scopes: &[Scope::Metric, Scope::Param, Scope::Tag],
    sortable: &[],
};
