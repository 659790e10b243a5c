//! What a store can answer instead of a result.

use edgeflow_core::CoreError;

/// Why a store did not do what it was asked. Nothing of it happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("{operation} failed: {source}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored does not read back as what was written.
    #[error("a stored {what} does not read back: {reason}")]
    Corrupt {
        /// Kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is taken.
    #[error("{what} {name:?} is there already")]
    Taken {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A rule refuses it.
    #[error(transparent)]
    Refused(#[from] CoreError),
}
