//! Why a fleet could not be simulated. That a robot ended elsewhere than it must is no error: it is the verdict.

use std::path::PathBuf;

/// Errors of a run with a fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The robots' client could not be made.
    #[error("could not make the robots' HTTP client")]
    Client(#[source] reqwest::Error),
    /// The control plane did not do as asked.
    #[error("could not {action}")]
    ControlPlane {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<crate::demo::DemoError>,
    },
    /// The control plane's program could not be started.
    #[error("could not start the control plane")]
    Server(#[source] Box<crate::faults::FaultsError>),
    /// Something this needs is not there.
    #[error("there is no {}: {remedy}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// A folder could not be made.
    #[error("could not make the folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was waited for did not come.
    #[error("waited {limit_s} s for {what}, but {seen}")]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// How long, seconds.
        limit_s: u64,
        /// What was there instead.
        seen: String,
    },
    /// The user stopped it.
    #[error("stopped before the run was over")]
    Interrupted,
}

impl From<crate::faults::FaultsError> for FleetError {
    fn from(error: crate::faults::FaultsError) -> Self {
        FleetError::Server(Box::new(error))
    }
}
