//! What a use-case can answer instead of a result. `http` and `mqtt` map these once each.

use edgeflow_core::{CoreError, principal::Denied};
use edgeflow_store::StoreError;

/// Why a use-case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// The request contradicts a rule.
    #[error("{0}")]
    Invalid(String),
    /// The thing is there already, or something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// Somebody needs the thing as it is.
    #[error("{0}")]
    InUse(String),
    /// Nobody is who the token says.
    #[error("no valid token: send \"Authorization: Bearer <token>\"")]
    Unauthenticated,
    /// A bootstrap token that opens nothing.
    #[error("the bootstrap token is unknown, was used, or has expired: make another one with `edgeflow targets bootstrap`")]
    BadBootstrap,
    /// A certificate that proves nothing.
    #[error(transparent)]
    BadCertificate(#[from] edgeflow_core::identity::Invalid),
    /// Not granted.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// More bytes than are taken.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The body could not be received whole.
    #[error("the upload broke off: {0}")]
    Upload(String),
    /// A range outside of an artifact.
    #[error("the range lies outside of the artifact's {size_bytes} bytes")]
    BadRange {
        /// Size of the artifact.
        size_bytes: u64,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[source] StoreError),
    /// The folder of artifacts failed.
    #[error("{operation} failed: {source}")]
    Artifact {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken { .. } | StoreError::Held { .. } => AppError::Conflict(error.to_string()),
            StoreError::Missing { what, name } => AppError::NotFound { what, name },
            StoreError::Refused(refusal @ (CoreError::StaleRevision { .. } | CoreError::NotDecidable { .. })) => {
                AppError::Conflict(refusal.to_string())
            }
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Failed { .. } | StoreError::Corrupt { .. } => AppError::Store(error),
        }
    }
}

impl From<CoreError> for AppError {
    fn from(error: CoreError) -> Self {
        AppError::Invalid(error.to_string())
    }
}

impl AppError {
    pub(crate) fn artifact<E: std::error::Error + Send + Sync + 'static>(operation: &'static str) -> impl Fn(E) -> Self {
        move |source| AppError::Artifact { operation, source: Box::new(source) }
    }
}
