//! Experiments: folders for runs. Numbers count up within an organisation; number 0 is there from the start.

use serde::Serialize;

use crate::{
    CoreError,
    limits::{check_key, check_length},
    search::{Attribute, Grammar, Scope},
};

/// Number and name of the experiment every organisation has.
pub const DEFAULT_EXPERIMENT: (i64, &str) = (0, "Default");
/// Most characters of a name.
pub const MAX_NAME: usize = 500;
/// Most characters of a tag's value.
pub const MAX_TAG_VALUE: usize = 65_535;

/// Whether something is there, or was removed and can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// There.
    Active,
    /// Removed, until it is restored.
    Deleted,
}

impl Lifecycle {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Lifecycle::Active => "active",
            Lifecycle::Deleted => "deleted",
        }
    }
}

impl std::str::FromStr for Lifecycle {
    type Err = CoreError;
    fn from_str(word: &str) -> Result<Self, CoreError> {
        match word {
            "active" => Ok(Lifecycle::Active),
            "deleted" => Ok(Lifecycle::Deleted),
            _ => Err(CoreError::UnknownWord { what: "lifecycle", word: word.to_owned(), expected: "active, deleted" }),
        }
    }
}

/// What of both is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// What is there.
    #[default]
    Active,
    /// What was removed.
    Deleted,
    /// Both.
    All,
}

impl View {
    /// Lifecycles that are seen.
    pub fn lifecycles(self) -> &'static [Lifecycle] {
        match self {
            View::Active => &[Lifecycle::Active],
            View::Deleted => &[Lifecycle::Deleted],
            View::All => &[Lifecycle::Active, Lifecycle::Deleted],
        }
    }
}

/// A key with its value: a parameter or a tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
pub struct Pair {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

impl Pair {
    /// A pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Its number, which is its id.
    pub number: i64,
    /// Its name, one of its kind.
    pub name: String,
    /// Where the artifacts of its runs are kept.
    pub artifact_location: String,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it was last changed.
    pub updated_ms: i64,
    /// Its tags, by key.
    pub tags: Vec<Pair>,
}

/// An experiment to be made. Its number is given by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExperiment {
    /// Its name.
    pub name: String,
    /// Where the artifacts of its runs are kept; `mlflow-artifacts:/` and its number when not given.
    pub artifact_location: Option<String>,
    /// Its tags.
    pub tags: Vec<Pair>,
    /// When, milliseconds since the Unix epoch.
    pub created_ms: i64,
}

impl NewExperiment {
    /// Checks what people gave.
    pub fn validate(&self) -> Result<(), CoreError> {
        check_name(&self.name)?;
        if let Some(location) = &self.artifact_location {
            check_length("the artifact location", location, 4096)?;
        }
        self.tags.iter().try_for_each(check_tag)
    }
}

/// A name of an experiment.
pub fn check_name(name: &str) -> Result<(), CoreError> {
    if name.is_empty() {
        return Err(CoreError::BadTracking { reason: "an experiment's name is not empty".to_owned() });
    }
    check_length("'name'", name, MAX_NAME)
}

/// A tag of an experiment.
pub fn check_tag(tag: &Pair) -> Result<(), CoreError> {
    check_key("tag", &tag.key)?;
    check_length("the tag's value", &tag.value, MAX_TAG_VALUE)
}

/// Where its artifacts are kept when nobody said where.
pub fn default_location(number: i64) -> String {
    format!("mlflow-artifacts:/{number}")
}

/// The number an experiment's id says.
pub fn number(id: &str) -> Result<i64, CoreError> {
    id.parse().map_err(|_| CoreError::BadTracking { reason: format!("bad experiment id {id:?}: an id is an integer") })
}

/// What experiments are searched by.
pub const EXPERIMENTS: Grammar = Grammar {
    entity: "experiment",
    attributes: &[
        Attribute::text("name", &[]),
        Attribute::text("experiment_id", &[]),
        Attribute::number("creation_time", &[]),
        Attribute::number("last_update_time", &[]),
    ],
    scopes: &[Scope::Tag],
    sortable: &[],
};
