//! What a use-case can answer instead of a result. `http` and `mqtt` map these once each.

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
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
}
